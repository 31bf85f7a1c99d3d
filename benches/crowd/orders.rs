//! The order to go on: a line on stdin.

use std::io::BufRead;
use tokio::sync::oneshot;

/// The exit code of a part whose first process is gone.
const ORPHAN_EXIT: i32 = 4;

/// The order that a part waits for once.
pub struct Orders(oneshot::Receiver<()>);

impl Orders {
    /// Begins to listen. When stdin ends the first process is gone, and this
    /// one goes too.
    pub fn listen() -> Orders {
        let (order, orders) = oneshot::channel();
        std::thread::spawn(move || {
            let mut lines = std::io::stdin().lock().lines();
            if let Some(Ok(_)) = lines.next() {
                let _ = order.send(());
                while let Some(Ok(_)) = lines.next() {}
            }
            std::process::exit(ORPHAN_EXIT);
        });
        Orders(orders)
    }

    /// Resolves when the order has come.
    pub async fn come(self) {
        // The sender is dropped only with the process.
        let _ = self.0.await;
    }
}
