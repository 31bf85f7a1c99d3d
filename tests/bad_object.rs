//! A user's own XDP object: what is wrong with it is said, and one that sends everything to the
//! sockets is served all the same.

mod lab;
mod refusal;

use lab::{INNER, Lab, assert_same, ip, noise, wait_until};
use refusal::{assert_says, object, refused};
use std::path::Path;

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn a_file_that_is_no_object_is_named() {
    let lab = Lab::new();
    let empty = lab.file("empty.o", b"");
    let text = lab.file(
        "text.o",
        b"no ELF file at all, however long it is: 64 bytes and more......",
    );
    let cut = {
        let whole = std::fs::read(object("redirect_all", lab.root())).expect("an object");
        lab.file("cut.o", &whole[..whole.len() / 2])
    };
    let missing = lab.root().join("missing.o");
    for (file, why) in [
        (&missing, "No such file or directory"),
        (&empty, "format"),
        (&text, "format"),
        (&cut, ""),
    ] {
        let line = refused(&lab, &["--filename", path(file)]);
        assert_says(&line, &["BPF object", path(file), why]);
    }
    assert_says(
        &refused(&lab, &["--filename", path(lab.root())]),
        &[path(lab.root())],
    );
}

#[test]
fn an_object_without_the_map_or_the_program_is_told_so() {
    let lab = Lab::new();
    let pass = object("pass", lab.root());
    let why = refused(&lab, &["--filename", path(&pass)]);
    assert_says(&why, &[path(&pass), "no map xsks_map", "XSKMAP"]);

    let redirect_all = object("redirect_all", lab.root());
    let why = refused(
        &lab,
        &["--filename", path(&redirect_all), "--progname", "nosuch"],
    );
    assert_says(
        &why,
        &[
            path(&redirect_all),
            "no XDP program nosuch",
            "xdp_sock_prog",
        ],
    );

    let two = object("two_programs", lab.root());
    let why = refused(&lab, &["--filename", path(&two)]);
    assert_says(
        &why,
        &[path(&two), "first_prog", "second_prog", "--progname"],
    );
}

#[test]
fn a_program_that_the_verifier_refuses_is_told_its_reason() {
    let lab = Lab::new();
    let wild = object("wild", lab.root());
    let why = refused(&lab, &["--filename", path(&wild)]);
    assert_says(&why, &["kernel refused", path(&wild), "verifier", "packet"]);
}

#[test]
fn a_program_that_redirects_everything_is_served() {
    let lab = Lab::new();
    let content = noise(2, 1 << 20);
    lab.file("noise", &content);
    let redirect_all = object("redirect_all", lab.root());
    let file = [
        "--filename",
        path(&redirect_all),
        "--progname",
        "xdp_sock_prog",
    ];
    let server = lab.serve(&[&file[..], &["--stats", "0.2"]].concat());

    // ARP reaches the kernel no more.
    let link = ip(&format!("-j link show dev {}", lab.name));
    let (_, mac) = link.split_once("\"address\":\"").expect("an address");
    let (mac, _) = mac.split_once('"').expect("its end");
    let neighbour = format!("{} lladdr {mac} dev {INNER}", lab.outer());
    ip(&format!("-n {} neigh replace {neighbour}", lab.name));

    assert_same(&lab.get("/noise"), &content);
    let outer = lab.outer();
    assert!(
        !lab.exec(&["ping", "-c", "3", "-i", "0.1", "-W", "1", &outer])
            .status
            .success()
    );
    let other_port = format!("http://{outer}:81/");
    assert!(
        !lab.exec(&["curl", "-sS", "-m", "1", &other_port])
            .status
            .success()
    );
    server
        .stdout
        .wait_for("what is not ours to be counted", |text| {
            text.contains("not TCP ") && text.contains("not our port or address ")
        });
    assert_same(&lab.get("/noise"), &content);
    server.stop();
    assert!(!lab.has_xdp());
    lab.run(&["ping", "-c", "1", "-W", "5", &outer]);
}

#[test]
fn a_program_for_frames_of_one_buffer_bounds_the_mtu() {
    let lab = Lab::new();
    let set_mtu = |outer: u32, inner: u32| {
        ip(&format!("link set {} mtu {outer}", lab.name));
        ip(&format!("-n {} link set {INNER} mtu {inner}", lab.name));
    };
    let redirect_all = object("redirect_all", lab.root());
    let file = [
        "--filename",
        path(&redirect_all),
        "--progname",
        "xdp_sock_prog",
    ];
    let with = |mode| [&file[..], &[mode]].concat();
    set_mtu(9000, 9000);
    let command = format!("ip link set dev {} mtu 3826", lab.name);
    for mode in ["-A", "-S"] {
        let why = refused(&lab, &with(mode));
        assert_says(&why, &[&lab.name, "MTU of 9000", "3826", &command]);
    }
    for (outer, inner) in [(9000, 9000), (1500, 9000), (3800, 3800)] {
        set_mtu(outer, inner);
        let why = refused(&lab, &with("-N"));
        assert_says(&why, &[&lab.name, "native", "MTU", "3506", "ip link set"]);
    }
    let server = lab.serve(&with("-A"));
    assert_says(&server.stdout.text(), &["generic"]);
    wait_until("the reason on stderr", || {
        server.stderr.text().contains("3506")
    });
    server.stop();
    assert!(!lab.has_xdp());
}
