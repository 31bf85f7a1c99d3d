//! A real browser: a page with all that belongs to it, a file of the mount, and a
//! WebSocket through the proxy. What it came to, the page puts back by an upload.

use crate::lab::{Lab, text, wait_at_most};
use crate::mount::{Mount, content};
use crate::tree::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// How long a browser may take on a busy machine.
const BROWSER_PATIENCE: Duration = Duration::from_secs(100);
const PAGE: &str = "GraphGui/index.html";
const MESSAGE: &str = "the graph has 42 nodes, 图形";

/// The parts of the page that have this ending.
fn parts(ending: &str) -> Vec<File> {
    let files = tree::files().into_iter();
    let is_part = |file: &File| file.path.starts_with("GraphGui/") && file.path.ends_with(ending);
    files.filter(is_part).collect()
}

/// A part as the browser takes it, as long as in the tree: `begin`, and then a comment.
fn padded(begin: &str, size_bytes: usize) -> Vec<u8> {
    let rest = size_bytes.checked_sub(begin.len() + 4);
    let rest = rest.expect("parts are longer than what they say");
    format!("{begin}/*{}*/", "x".repeat(rest)).into_bytes()
}

/// The page with all scripts and styles of its directory. Its last picture comes when the
/// message has, so that it counts as loaded only then.
fn page() -> String {
    let scripts = parts(".js");
    let scripts = scripts
        .iter()
        .map(|file| format!("<script src=\"/{}\"></script>\n", file.path));
    let styles = parts(".css");
    let styles = styles
        .iter()
        .map(|file| format!("<link rel=\"stylesheet\" href=\"/{}\">\n", file.path));
    let (styles, scripts): (String, String) = (styles.collect(), scripts.collect());
    format!(
        r#"<!DOCTYPE html><meta charset="utf-8"><title>DisGraFS</title>
<script>const loaded = [];</script>
{styles}{scripts}<h1>DisGraFS</h1><p id="scripts"></p><p id="file"></p><p id="message">no message</p>
<script>
document.getElementById("scripts").textContent = loaded.length + " scripts";
const show = (id, text) => {{ document.getElementById(id).textContent = text; }};
const file = fetch("/jfs/1_实验报告模板.md").then(response => response.arrayBuffer());
const socket = new WebSocket("ws://" + location.host + "/events?username=x");
socket.onopen = () => socket.send("{MESSAGE}");
socket.onmessage = async event => {{
    show("message", event.data);
    const bytes = (await file).byteLength;
    show("file", "a file of the mount: " + bytes + " bytes");
    const styles = [...document.styleSheets].length;
    const result = [loaded.length, styles, bytes, event.data].join("\n");
    await fetch("/inbox/result", {{ method: "PUT", body: result }});
    socket.close();
}};
</script>
<img src="/picture" alt="the last picture">
"#
    )
}

fn listen(serve: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
    address
}

/// Sends messages back, and says when a conversation is over.
fn events(over: Sender<()>) -> SocketAddr {
    listen(move |stream| {
        let mut socket = tungstenite::accept(stream).expect("a handshake");
        while let Ok(message) = socket.read() {
            if message.is_text() {
                socket.send(message).expect("echoed");
            }
        }
        let _ = over.send(());
    })
}

/// Puts the page and its parts in the place of what the tree has there.
fn plant(lab: &Lab) {
    tree::plant(lab);
    lab.file(PAGE, page().as_bytes());
    for file in parts(".js") {
        let begin = format!("loaded.push(\"{}\");", file.path);
        lab.file(file.path, &padded(&begin, file.size_bytes));
    }
    for file in parts(".css") {
        lab.file(file.path, &padded("h1{color:teal}", file.size_bytes));
    }
    std::fs::create_dir(lab.root().join("inbox")).expect("a directory");
}

/// What the browser says of it.
fn browse(lab: &Lab, screenshot: &Path) -> String {
    let profile = tempfile::tempdir().expect("a directory");
    let words = [
        "chromium".to_owned(),
        "--headless".to_owned(),
        "--no-sandbox".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--enable-logging=stderr".to_owned(),
        "--window-size=800,400".to_owned(),
        format!("--user-data-dir={}", profile.path().display()),
        format!("--screenshot={}", screenshot.display()),
        lab.url(&format!("/{PAGE}")),
    ];
    let words = words.each_ref().map(String::as_str);
    let output = lab.exec(&words);
    let said = text(output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    said
}

#[test]
fn a_browser_shows_a_page_with_all_its_scripts_and_a_message_through_the_proxy() {
    let lab = Lab::new();
    plant(&lab);
    let jfs = lab.root().join("jfs");
    std::fs::create_dir(&jfs).expect("a directory");
    let mount = Mount::new(&jfs);
    mount.files().put("1_实验报告模板.md", 5, 12_345);
    let (told, over) = channel();
    let events = events(told);
    let picture = listen(move |mut stream| {
        let mut lines = BufReader::new(stream.try_clone().expect("a copy")).lines();
        while lines
            .next()
            .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
        {}
        let _ = over.recv_timeout(BROWSER_PATIENCE);
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    });
    let flags = [
        format!("--proxy=/events=http://{events}"),
        format!("--proxy=/picture=http://{picture}"),
        "--upload=/inbox".to_owned(),
        "--upload-anonymous".to_owned(),
        "--dotfiles".to_owned(),
    ];
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    let access_log = format!("--access-log={}", log.display());
    let mut flags = flags.each_ref().map(String::as_str).to_vec();
    flags.push(&access_log);
    let server = lab.serve(&flags);
    let screenshot = match std::env::var_os("XDPHTTPD_SCREENSHOT") {
        Some(path) => path.into(),
        None => directory.path().join("screenshot.png"),
    };
    let browser = browse(&lab, &screenshot);
    let result = lab.root().join("inbox/result");
    wait_at_most(BROWSER_PATIENCE, "what the page has to say", || {
        result.exists()
    });
    let said = text(std::fs::read(result).expect("a file"));
    let (scripts, styles) = (parts(".js").len(), parts(".css").len());
    assert!(scripts > 20, "{scripts}");
    let file = content(5, 0..12_345).len();
    let expected = format!("{scripts}\n{styles}\n{file}\n{MESSAGE}");
    let asked = || std::fs::read_to_string(&log).unwrap_or_default();
    assert_eq!(said, expected, "asked for:\n{}\n{browser}", asked());
    let picture = std::fs::read(screenshot).expect("a screenshot");
    assert!(
        picture.starts_with(b"\x89PNG") && picture.len() > 5_000,
        "{} bytes",
        picture.len()
    );
    server.stop();
    drop(mount);
}
