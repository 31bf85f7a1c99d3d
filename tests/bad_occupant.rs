//! Somebody else has the device already: they keep it, unless `-F` says otherwise, and then they
//! get it back.

mod lab;
mod refusal;

use lab::{Lab, ip};
use refusal::{assert_says, object, program_id, refusal};

/// A lab whose device has somebody else's program on it, attached as `how` says, and its id.
fn occupied(how: &str) -> (Lab, u32) {
    let lab = Lab::new();
    lab.file("index.html", b"a page");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let foreign = object("pass", directory.path());
    ip(&format!(
        "link set dev {} {how} obj {} sec xdp",
        lab.name,
        foreign.display()
    ));
    let id = program_id(&lab.name).expect("a program on the device");
    (lab, id)
}

#[test]
fn a_foreign_program_is_named_and_stays() {
    for how in ["xdpdrv", "xdpgeneric"] {
        let (lab, id) = occupied(how);
        let why = refusal(refusal::command(&lab, &[], &[]));
        assert_says(
            &why,
            &[&lab.name, "foreign_pass", &format!("id {id}"), "-F"],
        );
        assert_eq!(program_id(&lab.name), Some(id));
    }
}

#[test]
fn a_foreign_program_replaced_comes_back() {
    for how in ["xdpdrv", "xdpgeneric"] {
        let (lab, id) = occupied(how);
        let server = lab.serve(&["-F"]);
        assert_ne!(program_id(&lab.name), Some(id));
        assert_eq!(lab.get("/"), b"a page");
        server.stop();
        assert_eq!(program_id(&lab.name), Some(id), "{how}");
    }
}

#[test]
fn a_second_server_leaves_the_first_alone_even_by_force() {
    let lab = Lab::new();
    lab.file("index.html", b"from the first");
    let first = lab.serve(&[]);
    let id = program_id(&lab.name);
    for (flags, words) in [
        (&[][..], ["xdphttpd", "already"]),
        (&["-F"], ["queue 0", "is taken"]),
        (&["-F", "--port", "81"], ["queue 0", "is taken"]),
    ] {
        let why = refusal(refusal::command(&lab, &[], flags));
        assert_says(&why, &words);
        assert_says(&why, &[&lab.name]);
        assert_eq!(program_id(&lab.name), id, "{flags:?}");
        assert_eq!(lab.get("/"), b"from the first", "{flags:?}");
    }
    first.stop();
    assert!(!lab.has_xdp());
}

#[test]
fn a_server_that_was_killed_leaves_the_device_to_the_next() {
    let lab = Lab::new();
    lab.file("index.html", b"from either");
    let mut killed = lab.serve(&[]);
    killed.signal(rustix::process::Signal::KILL);
    killed.process.end(lab::PATIENCE);
    lab::wait_until("the device to be free", || !lab.has_xdp());
    let next = lab.serve(&[]);
    assert_eq!(lab.get("/"), b"from either");
    next.stop();
}
