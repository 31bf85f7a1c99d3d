//! The other programs of DisGraFS on the same address: a web server on 7474 and a
//! WebSocket on 9090, both with the kernel's TCP, while port 80 is the server's.

use crate::lab::{assert_same, noise, text};
use crate::site::Site;
use crate::tree;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

const DATABASE: u16 = 7474;
const EVENTS: u16 = 9090;

/// Gives each connection to a port of the outer address to `serve`, in a thread, as long
/// as the test runs.
fn listen(site: &Site, port: u16, serve: fn(TcpStream)) {
    let address = format!("{}:{port}", site.lab.outer());
    let listener = TcpListener::bind(&address);
    let listener = listener.unwrap_or_else(|error| panic!("binding {address}: {error}"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
}

/// What the database answers to a request line.
fn answer(request: &str) -> String {
    format!(r#"{{"asked":"{request}"}}"#).repeat(1_000)
}

/// One request and its response.
fn serve_database(mut stream: TcpStream) {
    let lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
    let head = lines.map_while(Result::ok);
    let head: Vec<String> = head.take_while(|line| !line.is_empty()).collect();
    let body = answer(&head[0]);
    let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let _ = stream.write_all((head + &body).as_bytes());
}

/// Sends every message back until the client closes.
fn serve_events(stream: TcpStream) {
    let mut socket = tungstenite::accept(stream).expect("a handshake");
    while let Ok(message) = socket.read() {
        // Pongs and the close have been answered by the library.
        if message.is_text() || message.is_binary() {
            socket.send(message).expect("echoed");
        }
    }
}

/// A WebSocket from the namespace.
fn open_events(site: &Site) -> WebSocket<TcpStream> {
    let url = format!("ws://{}:{EVENTS}/events?username=x", site.lab.outer());
    let (socket, response) =
        tungstenite::client(url, site.lab.connect(EVENTS)).expect("a handshake");
    assert_eq!(response.status(), 101);
    socket
}

/// Sends messages of every kind, each of which must come back.
fn converse(socket: &mut WebSocket<TcpStream>) {
    for message in [
        Message::text(""),
        Message::text("move /jfs/a.md"),
        Message::text("1_实验报告模板.md ".repeat(5_000)),
        Message::binary(noise(71, 1 << 20)),
        Message::text("the last"),
    ] {
        socket.send(message.clone()).expect("sent");
        assert!(socket.read().expect("the echo") == message, "changed");
    }
    let ping = Message::Ping("are you there?".into());
    socket.send(ping).expect("sent");
    let pong = socket.read().expect("the answer");
    assert_eq!(pong, Message::Pong("are you there?".into()));
}

fn close(mut socket: WebSocket<TcpStream>) {
    let frame = CloseFrame {
        code: CloseCode::Normal,
        reason: "enough".into(),
    };
    socket.close(Some(frame.clone())).expect("sent");
    let answer = socket.read().expect("the close comes back");
    assert_eq!(answer, Message::Close(Some(frame)));
    let end = socket.read().expect_err("then nothing");
    assert!(
        matches!(end, tungstenite::Error::ConnectionClosed),
        "{end:?}"
    );
}

#[test]
fn programs_on_other_ports_work_while_port_80_is_served() {
    let site = Site::new(&[]);
    listen(&site, DATABASE, serve_database);
    listen(&site, EVENTS, serve_events);
    let mut pages = site.client();
    let mut events = open_events(&site);
    let files = tree::files();
    std::thread::scope(|scope| {
        let pages = scope.spawn(|| pages.assert_gets_all(&files));
        let mut rounds = 0;
        while rounds < 3 || !pages.is_finished() {
            converse(&mut events);
            let url = format!("http://{}:{DATABASE}/db/{rounds}", site.lab.outer());
            let said = text(site.lab.curl(&[&url]));
            let request = format!("GET /db/{rounds} HTTP/1.1");
            assert_same(said.as_bytes(), answer(&request).as_bytes());
            rounds += 1;
        }
        pages.join().expect("all files");
    });
    // A WebSocket outlives the server that shares its address.
    let Site { server, lab, .. } = &site;
    server.signal(rustix::process::Signal::TERM);
    crate::lab::wait_until("the program to be detached", || !lab.has_xdp());
    converse(&mut events);
    close(events);
}
