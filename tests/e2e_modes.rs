//! Flags that change how the server works but not what it serves. Needs root.

mod lab;

use lab::{Lab, Server, assert_same, ip, noise};

/// Serves with `flags`, and checks small and large files.
#[track_caller]
fn assert_serves(lab: &Lab, flags: &[&str]) -> Server {
    let (small, large) = (noise(61, 700), noise(62, 1 << 20));
    lab.file("small", &small);
    lab.file("large", &large);
    let server = lab.serve(flags);
    assert_same(&lab.get("/small"), &small);
    assert_same(&lab.get("/large"), &large);
    server
}

/// What `ip` calls the mode of the attached program, beside its name.
fn attached_mode(lab: &Lab) -> &'static str {
    let link = ip(&format!("-d link show dev {}", lab.name));
    let first = link.lines().next().unwrap_or_default();
    match first.split(' ').find(|word| word.starts_with("xdp")) {
        Some("xdp") => "native",
        Some("xdpgeneric") => "generic",
        other => panic!("{other:?} in {link}"),
    }
}

#[test]
fn modes_and_copying_and_polling() {
    let lab = Lab::new();
    for (flags, mode) in [
        (&["-S"][..], "generic"),
        (&["-N"], "native"),
        (&["-A"], "native"),
        (&["-p"], "native"),
        (&["-c"], "native"),
        (&["-S", "-c", "-p"], "generic"),
    ] {
        let server = assert_serves(&lab, flags);
        assert_eq!(attached_mode(&lab), mode, "{flags:?}");
        let ready = server.stdout.text();
        assert!(
            ready.contains(&format!("on {}, {mode}, copy, 1 queue,", lab.name)),
            "{ready}"
        );
        server.stop();
        assert!(!lab.has_xdp(), "{flags:?}");
    }
}

#[test]
fn zero_copy_that_the_driver_lacks_is_refused_in_one_line() {
    let lab = Lab::new();
    let mut server = lab.launch(&["-z"]);
    let status = server.process.end(lab::PATIENCE);
    assert_eq!(status.code(), Some(1), "{status}");
    let said = server
        .stderr
        .wait_for("the reason", |text| text.contains("xdphttpd: "));
    assert!(
        said.contains(&lab.name) && said.to_lowercase().contains("zero copy"),
        "{said}"
    );
    assert_eq!(server.stdout.text(), "");
    assert!(!lab.has_xdp(), "nothing stays attached");
}

#[test]
fn quiet_says_nothing_and_serves() {
    let lab = Lab::new();
    lab.file("file", b"content");
    let server = lab.launch(&["-q"]);
    lab::wait_until("the program to be attached", || lab.has_xdp());
    // Until the sockets are in place the kernel refuses.
    assert_eq!(
        lab.curl(&[
            "--retry",
            "20",
            "--retry-connrefused",
            "--retry-delay",
            "1",
            &lab.url("/file")
        ]),
        b"content"
    );
    assert_eq!(
        (server.stdout.text(), server.stderr.text()),
        (String::new(), String::new())
    );
    server.stop();
}

#[test]
fn strict_checksums_want_them_computed() {
    let lab = Lab::new();
    let set_offload = |state| {
        lab.run(&["ethtool", "-K", lab::INNER, "tx", state]);
    };
    set_offload("off");
    assert_serves(&lab, &["--rx-checksum", "strict"]).stop();

    // A client on this machine leaves checksums to a device that never
    // computes them.
    set_offload("on");
    let server = lab.serve(&["--rx-checksum", "strict", "--stats", "0.2"]);
    let output = lab.exec(&["curl", "-sS", "-m", "1", &lab.url("/small")]);
    assert_eq!(output.status.code(), Some(28), "curl times out: {output:?}");
    server
        .stdout
        .wait_for("the count", |text| text.contains("bad TCP checksum "));
    assert!(
        !server.stdout.text().contains("(1 accepted"),
        "{}",
        server.stdout.text()
    );
    server.stop();

    for judge in ["auto", "ignore"] {
        let server = assert_serves(&lab, &["--rx-checksum", judge, "--stats", "0.2"]);
        let report = server
            .stdout
            .wait_for("a report", |text| text.contains("(2 accepted"));
        assert!(!report.contains("bad TCP checksum"), "{report}");
        server.stop();
    }
}

/// How often the workers went to sleep so far, and their processor time in clock ticks.
fn workers(server: &Server) -> (u64, u64) {
    let tasks = format!("/proc/{}/task", server.process.0.id());
    let (mut sleeps, mut ticks) = (0, 0);
    for task in std::fs::read_dir(tasks).expect("the server runs") {
        let dir = task.expect("a task").path();
        let read = |name| std::fs::read_to_string(dir.join(name)).expect("a task's file");
        let (stat, status) = (read("stat"), read("status"));
        if !stat.contains("(xdphttpd-q") {
            continue;
        }
        let count = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sleeps += count
            .and_then(|n| n.trim().parse::<u64>().ok())
            .expect("a count");
        // utime and stime are the 12th and 13th behind the name (proc_pid_stat(5)).
        let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
        let times = fields.split(' ').skip(11).take(2);
        ticks += times.map(|n| n.parse::<u64>().expect("ticks")).sum::<u64>();
    }
    (sleeps, ticks)
}

/// A worker looks around once a second, and when a connection's socket is taken back.
#[test]
fn with_nothing_to_do_workers_sleep() {
    const SECONDS: u64 = 3;
    for (queues, flags) in [
        (1, &[][..]),
        (1, &["-p"]),
        (1, &["--spin", "1000"]),
        (1, &["--busy-poll"]),
        (2, &["--cores", "0"]),
        (2, &[]),
    ] {
        let lab = Lab::with_queues(queues);
        lab.file("file", b"x");
        let server = lab.serve(flags);
        let open = lab.connect(80);
        assert_eq!(lab.get("/file"), b"x");
        std::thread::sleep(std::time::Duration::from_secs(2));
        let before = workers(&server);
        std::thread::sleep(std::time::Duration::from_secs(SECONDS));
        let after = workers(&server);
        let (sleeps, ticks) = (after.0 - before.0, after.1 - before.1);
        let most = (SECONDS + 2) * u64::from(queues);
        assert!((1..=most).contains(&sleeps), "{flags:?}: {sleeps} sleeps");
        assert!(ticks <= 2, "{flags:?}: {ticks} ticks");
        drop(open);
        server.stop();
    }
}

/// Busy polling as far as this veth has it: what is missing is said, and all is served.
#[test]
fn busy_polling_serves_and_says_what_it_lacks() {
    let lab = Lab::new();
    let dir = format!("/sys/class/net/{}", lab.name);
    let settings =
        ["napi_defer_hard_irqs", "gro_flush_timeout"].map(|name| format!("{dir}/{name}"));
    let read = || {
        settings
            .clone()
            .map(|path| std::fs::read_to_string(path).expect("a setting"))
    };
    let before = read();
    let server = assert_serves(&lab, &["--busy-poll"]);
    let text = server.stderr.text();
    for path in &settings {
        assert!(text.contains(path), "{text}");
    }
    assert_eq!(read(), before, "nothing is changed");
    server.stop();
    std::fs::write(&settings[0], "2").expect("a device of ours");
    std::fs::write(&settings[1], "200000").expect("a device of ours");
    for flags in [&["--busy-poll", "20"][..], &["--busy-poll", "-S"]] {
        let server = assert_serves(&lab, flags);
        assert!(!server.stderr.text().contains("echo"), "{flags:?}");
        server.stop();
        assert!(!lab.has_xdp());
    }
}

#[test]
fn one_queue_of_two_is_served_with_a_warning() {
    let lab = Lab::with_queues(2);
    let content = noise(63, 300_000);
    lab.file("file", &content);
    let server = lab.serve(&["-Q", "0"]);
    let warning = server
        .stderr
        .wait_for("a warning", |text| text.contains("leave -Q away"));
    assert!(
        warning.contains("1 of 2 RX queues have no socket (1); ")
            && warning.contains(&format!(
                "ethtool -N {} flow-type tcp4 dst-port 80",
                lab.name
            )),
        "{warning}"
    );
    assert!(
        server.stdout.text().contains(" 1 queue,"),
        "{}",
        server.stdout.text()
    );
    // Which queue a connection meets is the client kernel's choice: the other
    // one leads to the kernel, which refuses.
    let mut served = 0;
    for _ in 0..200 {
        let output = lab.exec(&["curl", "-sS", "-m", "10", &lab.url("/file")]);
        match output.status.code() {
            Some(0) => {
                assert_same(&output.stdout, &content);
                served += 1;
            }
            code => assert_eq!(code, Some(7), "served or refused: {output:?}"),
        }
        if served == 3 {
            break;
        }
    }
    assert_eq!(served, 3, "of 200 connections");
    server.stop();
}

#[test]
fn a_queue_that_is_not_there_is_named() {
    let lab = Lab::with_queues(2);
    let mut server = lab.launch(&["-Q", "2"]);
    assert_eq!(server.process.end(lab::PATIENCE).code(), Some(1));
    let want = format!("xdphttpd: -Q 2: {} has RX queues 0 to 1\n", lab.name);
    server
        .stderr
        .wait_for("the reason", |text| text.ends_with(&want));
    assert!(!lab.has_xdp(), "nothing stays attached");
}

#[test]
fn statistics_count_requests_and_connections() {
    const REQUESTS: u64 = 300;
    let lab = Lab::new();
    lab.file("file", &noise(64, 1000));
    let server = lab.serve(&["--stats", "1"]);
    lab.curl(&["-o", "/dev/null", &lab.url("/file?[1-300]")]);
    lab.talk(b"nonsense\r\n\r\n");
    let want = format!(" {REQUESTS} requests, 0 connections (2 accepted, 2 closed)");
    let text = server
        .stdout
        .wait_for("a report", |text| text.contains(&want));
    // A frame each way for every request, and those of handshake and end.
    for direction in ["rx", "tx"] {
        let frames = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix(direction)?.strip_prefix(": "))
            .filter_map(|line| line.split_once(" packets")?.0.parse::<u64>().ok())
            .next_back()
            .expect("a count of packets");
        assert!(
            (REQUESTS..2 * REQUESTS).contains(&frames),
            "{direction}: {frames} in\n{text}"
        );
    }
    assert!(
        text.contains("drops and troubles: bad request head 1"),
        "{text}"
    );
    // The refused one was closed by the server, which keeps it in TIME-WAIT.
    assert!(
        text.contains("tcp: 0 half-open, 0 closing, 1 in TIME-WAIT, 0 sockets"),
        "{text}"
    );
    let redirected = |line: &str| {
        let count = line.trim().strip_prefix("xdp: ")?.split(' ').next()?;
        count.parse::<u64>().ok()
    };
    let redirected = text
        .lines()
        .filter_map(redirected)
        .next_back()
        .expect("an xdp line");
    assert!(redirected > REQUESTS, "{text}");
    server.stop();
}

/// Sets the MTU of both ends.
fn set_mtu(lab: &Lab, outer: u32, inner: u32) {
    ip(&format!("link set {} mtu {outer}", lab.name));
    ip(&format!(
        "-n {} link set {} mtu {inner}",
        lab.name,
        lab::INNER
    ));
}

#[test]
fn frames_of_any_size_are_served_whole() {
    let lab = Lab::new();
    let sizes = [
        0,
        1,
        700,
        4_000,
        8_948,
        32_769,
        65_483,
        65_536,
        300_007,
        10 << 20,
    ];
    for size in sizes {
        lab.file(&size.to_string(), &noise(size as u64, size));
    }
    for (outer, inner) in [
        (1_280, 1_280),
        // The most that plain XDP is run with on veth, and a little more.
        (3_506, 3_506),
        (3_826, 3_826),
        (3_827, 3_827),
        (4_083, 4_083),
        (9_000, 9_000),
        (30_000, 30_000),
        (65_535, 65_535),
        (65_535, 1_500),
        (1_500, 65_535),
    ] {
        set_mtu(&lab, outer, inner);
        let server = lab.serve(&["-N", "--stats", "0.2"]);
        for size in sizes {
            assert_same(&lab.get(&format!("/{size}")), &noise(size as u64, size));
        }
        // A request as large as any packet, and one of several.
        for bytes in [12_000, 15_000] {
            let field = format!("X-Filler: {}", "x".repeat(bytes));
            assert_same(
                &lab.curl(&["-H", &field, &lab.url("/700")]),
                &noise(700, 700),
            );
        }
        let report = server
            .stdout
            .wait_for("a report", |text| text.contains("(12 accepted"));
        for trouble in [
            "bad TX descriptor",
            "bad RX descriptor",
            "pieces",
            "TX frame refused",
        ] {
            assert!(!report.contains(trouble), "{outer}, {inner}: {report}");
        }
        server.stop();
    }
}

#[test]
fn jumbo_frames_in_generic_mode() {
    let lab = Lab::new();
    for mtu in [9_000, 65_535] {
        set_mtu(&lab, mtu, mtu);
        assert_serves(&lab, &["-S"]).stop();
    }
}
