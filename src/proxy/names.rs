//! The addresses of a server that is known by name. The system is asked for them by one
//! thread at most, however many requests wait for the answer: it may take longer than all
//! of them, and the threads are those that read files.

use hyper_util::client::legacy::connect::dns::Name;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tower_service::Service;

/// How long addresses are used before they are asked for again.
const KEPT: Duration = Duration::from_secs(5);
/// How long it is believed that there are none.
const NONE_KEPT: Duration = Duration::from_secs(1);

type LookUp = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// The addresses of one name, with port 0; clones share them.
#[derive(Clone)]
pub struct Names {
    look_up: Arc<LookUp>,
    /// How long a request waits for them.
    limit: Duration,
    /// Locked while the system is asked.
    last: Arc<Mutex<Option<Answer>>>,
}

/// What the system said, and when.
struct Answer {
    at: Instant,
    addresses: Result<Vec<SocketAddr>, String>,
}

impl Names {
    /// Asks the system (getaddrinfo), for `limit` at most.
    pub fn new(limit: Duration) -> Names {
        Names::asking(limit, |host| Ok((host, 0).to_socket_addrs()?.collect()))
    }

    fn asking(
        limit: Duration,
        look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Names {
        Names {
            look_up: Arc::new(look_up),
            limit,
            last: Arc::default(),
        }
    }

    /// The addresses of `host`, which is the same each time.
    async fn addresses(&self, host: &str) -> Result<Vec<SocketAddr>, String> {
        let mut last = self.last.clone().lock_owned().await;
        if let Some(answer) = last.as_ref().filter(|answer| answer.holds(Instant::now())) {
            return answer.addresses.clone();
        }
        let (look_up, host) = (self.look_up.clone(), host.to_owned());
        // Whoever waits may go: the lock stays with the thread until there is an answer.
        let asked = spawn_blocking(move || {
            let addresses = look_up(&host).map_err(|error| error.to_string());
            let at = Instant::now();
            last.insert(Answer { at, addresses }).addresses.clone()
        });
        asked.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

impl Answer {
    fn holds(&self, now: Instant) -> bool {
        let kept = match self.addresses {
            Ok(_) => KEPT,
            Err(_) => NONE_KEPT,
        };
        now.duration_since(self.at) < kept
    }
}

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let names = self.clone();
        Box::pin(async move {
            match timeout(names.limit, names.addresses(name.as_str())).await {
                Ok(addresses) => addresses.map(Vec::into_iter).map_err(io::Error::other),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 0))
    }

    /// Whoever asks waits for an order, which is the answer; and how often somebody asked.
    fn ordered(limit: Duration) -> (Names, mpsc::Sender<io::Result<u8>>, Arc<AtomicUsize>) {
        let (order, orders) = mpsc::channel::<io::Result<u8>>();
        let orders = std::sync::Mutex::new(orders);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let names = Names::asking(limit, move |host| {
            assert_eq!(host, "behind.example");
            count.fetch_add(1, Ordering::SeqCst);
            let answer = orders.lock().unwrap().recv().unwrap();
            answer.map(|last| vec![address(last), address(200)])
        });
        (names, order, asked)
    }

    async fn ask(names: &Names) -> io::Result<Vec<SocketAddr>> {
        let name = "behind.example".parse().unwrap();
        names.clone().call(name).await.map(Iterator::collect)
    }

    #[tokio::test]
    async fn many_that_want_to_know_are_one_question() {
        let (names, order, asked) = ordered(PATIENCE);
        order.send(Ok(1)).unwrap();
        for found in join_all((0..100).map(|_| ask(&names))).await {
            assert_eq!(found.unwrap(), [address(1), address(200)]);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn those_that_gave_up_left_one_thread_waiting_and_what_it_learns_is_used() {
        let (names, order, asked) = ordered(Duration::from_millis(20));
        for outcome in join_all((0..100).map(|_| ask(&names))).await {
            assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        order.send(Ok(2)).unwrap();
        let patient = Names {
            limit: PATIENCE,
            ..names
        };
        assert_eq!(ask(&patient).await.unwrap(), [address(2), address(200)]);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_name_without_addresses_is_an_error_for_all_who_asked() {
        let (names, order, asked) = ordered(PATIENCE);
        order.send(Err(io::Error::other("no such name"))).unwrap();
        for outcome in join_all((0..10).map(|_| ask(&names))).await {
            assert_eq!(outcome.unwrap_err().to_string(), "no such name");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn the_system_knows_this_machine() {
        let mut names = Names::new(PATIENCE);
        let found: Vec<_> = names
            .call("localhost".parse().unwrap())
            .await
            .unwrap()
            .collect();
        assert!(
            found.iter().all(|address| address.ip().is_loopback()) && !found.is_empty(),
            "{found:?}"
        );
    }

    #[test]
    fn an_answer_holds_for_a_while_and_none_for_less() {
        let at = Instant::now();
        let cases = [
            (Ok(vec![address(1)]), KEPT),
            (Err(String::new()), NONE_KEPT),
        ];
        for (addresses, kept) in cases {
            let answer = Answer { at, addresses };
            assert!(answer.holds(at + kept - Duration::from_nanos(1)));
            assert!(!answer.holds(at + kept));
        }
    }
}
