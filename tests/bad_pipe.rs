//! Nobody listens any more to what the server says, such as after `xdphttpd … 2>&1 | head`: that is
//! no reason to stop serving.

mod lab;
mod refusal;

use lab::{Lab, PATIENCE, Running, ip, wait_until};
use rustix::process::{Signal, kill_process};
use std::process::Stdio;

#[test]
fn a_server_whose_listeners_have_left_goes_on() {
    let lab = Lab::new();
    lab.file("index.html", b"still here");
    let mut command = refusal::command(&lab, &[], &["--stats", "0.1", "-v"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut server = Running::start(&mut command);
    // Closes both pipes at their reading ends: whatever is said from now on fails.
    drop((server.0.stdout.take(), server.0.stderr.take()));
    wait_until("the program on the device", || {
        lab.has_xdp() || server.has_ended()
    });
    assert_eq!(
        lab.curl(&["--retry", "5", "--retry-connrefused", &lab.url("/")]),
        b"still here"
    );
    // Each of these is worth a line.
    ip(&format!("link set {} down", lab.name));
    ip(&format!("link set {} up", lab.name));
    ip(&format!(
        "addr add 10.77.{}.3/24 dev {}",
        lab.number, lab.name
    ));
    wait_until("the new address to be served", || {
        let url = format!("http://10.77.{}.3/", lab.number);
        lab.exec(&["curl", "-sS", "-m", "5", &url]).stdout == b"still here"
    });
    assert!(!server.has_ended());
    kill_process(server.pid(), Signal::TERM).expect("a child of ours");
    assert_eq!(server.end(PATIENCE).code(), Some(0));
    assert!(!lab.has_xdp());
}

#[test]
fn a_refusal_that_nobody_hears_is_still_exit_code_1() {
    let lab = Lab::new();
    let mut command = refusal::command(&lab, &[], &["--port", "0"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut server = Running::start(&mut command);
    drop(server.0.stderr.take());
    assert_eq!(server.end(PATIENCE).code(), Some(1));
}
