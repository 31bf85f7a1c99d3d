//! The whole site, served: the tree, and the mount at `/jfs`.

use crate::lab::{Lab, PATIENCE, Response, Server, assert_same};
use crate::mount::{Files, Mount};
use crate::tree;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// The server with what it serves. The mount goes first: while it hangs, no signal ends
/// who waits for it.
pub struct Site {
    /// At `jfs` beneath the root.
    pub mount: Mount,
    /// xdphttpd.
    pub server: Server,
    /// Where both are.
    pub lab: Lab,
}

impl Site {
    /// Serves with more `flags`.
    pub fn new(flags: &[&str]) -> Site {
        let lab = Lab::new();
        tree::plant(&lab);
        let jfs = lab.root().join("jfs");
        std::fs::create_dir(&jfs).expect("a directory");
        let mount = Mount::new(&jfs);
        // Some of the tree are .DS_Store.
        let server = lab.serve(&[&["--dotfiles"], flags].concat());
        Site { mount, server, lab }
    }

    /// The files at `/jfs`.
    pub fn jfs(&self) -> &Files {
        self.mount.files()
    }

    /// A connection from the namespace.
    pub fn client(&self) -> Client {
        Client(BufReader::new(self.lab.connect(80)))
    }

    /// Begins to download `target` over a connection of its own.
    pub fn download(&self, target: &str) -> Download {
        let mut client = self.client();
        client.ask(target);
        Download::new(client.0)
    }
}

/// A keep-alive connection.
pub struct Client(pub BufReader<TcpStream>);

impl Client {
    /// Sends a request for `target`, as it is.
    #[track_caller]
    pub fn ask(&mut self, target: &str) {
        let request = format!("GET {target} HTTP/1.1\r\nHost: disgrafs\r\n\r\n");
        let sent = self.0.get_mut().write_all(request.as_bytes());
        sent.unwrap_or_else(|error| panic!("asking for {target}: {error}"));
    }

    /// The response to the next request that has none.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        Response::read(&mut self.0)
    }

    /// Asks for `target`.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Response {
        self.ask(target);
        self.response()
    }

    /// Fails unless `target` is there with this content, and the connection goes on.
    #[track_caller]
    pub fn assert_gets(&mut self, target: &str, content: &[u8]) {
        let response = self.get(target);
        assert_eq!(response.status(), "200", "{target}: {}", response.head);
        assert_eq!(response.field("connection"), None, "{target}");
        assert_same(&response.body, content);
    }

    /// Fails unless all of these files of the tree are there.
    #[track_caller]
    pub fn assert_gets_all(&mut self, files: &[tree::File]) {
        for file in files {
            self.assert_gets(&file.target(), &file.content());
        }
    }
}

/// A response that a thread reads to its end.
pub struct Download {
    body: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<std::io::Result<()>>,
}

impl Download {
    fn new(mut stream: BufReader<TcpStream>) -> Download {
        let body = Arc::new(Mutex::new(Vec::new()));
        let into = body.clone();
        let thread = std::thread::spawn(move || {
            let head = Response::read_head(&mut stream);
            assert_eq!(head.status(), "200", "{}", head.head);
            let mut left: usize = head
                .field("content-length")
                .and_then(|length| length.parse().ok())
                .expect("a length");
            let mut part = vec![0; 64 << 10];
            while left > 0 {
                let most = left.min(part.len());
                let read = match stream.read(&mut part[..most])? {
                    0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                    read => read,
                };
                left -= read;
                into.lock()
                    .expect("no panic while locked")
                    .extend_from_slice(&part[..read]);
            }
            Ok(())
        });
        Download { body, thread }
    }

    /// What of the body has come so far.
    pub fn body(&self) -> Vec<u8> {
        self.body.lock().expect("no panic while locked").clone()
    }

    /// How much that is.
    pub fn received(&self) -> usize {
        self.body.lock().expect("no panic while locked").len()
    }

    /// Waits for its end: the body as far as it came, and whether it came whole.
    #[track_caller]
    pub fn end(self, patience: Duration) -> (Vec<u8>, std::io::Result<()>) {
        crate::lab::wait_at_most(patience + PATIENCE, "the end of a download", || {
            self.thread.is_finished()
        });
        let outcome = self.thread.join().expect("a download that does not panic");
        let body = std::mem::take(&mut *self.body.lock().expect("nobody holds it"));
        (body, outcome)
    }
}
