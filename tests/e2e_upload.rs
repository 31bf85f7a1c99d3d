//! Files that clients put, over the wire. Needs root, some tests /dev/fuse.

mod lab;
mod mount;

use lab::{Lab, PATIENCE, assert_same, noise, text, wait_until};
use mount::plain::{Knows, Plain};
use mount::{Mount, Op, Trouble};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// curl's flags for a request with a body: its status, and what was said.
fn ask(lab: &Lab, path: &str, flags: &[&str]) -> (String, String) {
    let url = lab.url(path);
    let said = text(lab.curl(&[&["-w", "\n%{http_code}", &url], flags].concat()));
    let (body, status) = said.rsplit_once('\n').expect("a status");
    (status.to_owned(), body.to_owned())
}

/// The status alone. A server that has answered may close before all has been sent, which curl calls a failure.
fn status_of(lab: &Lab, path: &str, flags: &[&str]) -> String {
    let url = lab.url(path);
    let curl = [
        "curl",
        "-s",
        "-m",
        "30",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        &url,
    ];
    text(lab.exec(&[&curl, flags].concat()).stdout)
}

/// A file with made content outside of what is served.
fn source(directory: &Path, name: &str, content: &[u8]) -> String {
    let path = directory.join(name);
    fs::write(&path, content).expect("a file");
    path.to_str().expect("UTF-8").to_owned()
}

/// The names in a directory, hidden ones included.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort();
    names
}

fn lab_with_directory() -> (Lab, PathBuf, tempfile::TempDir) {
    let lab = Lab::new();
    lab.file("index.html", b"a page");
    let up = lab.root().join("up");
    fs::create_dir(&up).expect("a directory");
    (lab, up, tempfile::tempdir().expect("a directory"))
}

const ANYBODY: [&str; 3] = [
    "--upload=/up",
    "--upload-anonymous",
    "--upload-max-bytes=8MiB",
];

#[test]
fn files_are_put_replaced_and_deleted() {
    let (lab, up, outside) = lab_with_directory();
    let server = lab.serve(&ANYBODY);
    let (one, two) = (noise(81, 5_000_000), noise(82, 300));
    let first = source(outside.path(), "one", &one);
    let second = source(outside.path(), "two", &two);
    assert_eq!(ask(&lab, "/up/报告.bin", &["-T", &first]).0, "201");
    assert_same(&fs::read(up.join("报告.bin")).expect("a file"), &one);
    assert_same(&lab.get("/up/报告.bin"), &one);
    // In chunks, for its length is not known.
    let put = format!(
        "curl -sS -m 30 -T - -w '%{{http_code}}' '{}' < {second}",
        lab.url("/up/报告.bin")
    );
    assert_eq!(text(lab.run(&["sh", "-c", &put])), "204");
    assert_same(&fs::read(up.join("报告.bin")).expect("a file"), &two);
    wait_until("the new version", || lab.get("/up/报告.bin") == two);
    assert_eq!(ask(&lab, "/up/empty", &["-X", "PUT", "-d", ""]).0, "201");
    assert_eq!(fs::read(up.join("empty")).expect("a file"), b"");
    assert_eq!(names(&up), ["empty", "报告.bin"]);
    for name in ["empty", "报告.bin"] {
        assert_eq!(
            ask(&lab, &format!("/up/{name}"), &["-X", "DELETE"]).0,
            "204"
        );
    }
    assert!(names(&up).is_empty());
    wait_until("its end to be seen", || {
        lab.status("/up/empty", &[]) == "404"
    });
    assert_eq!(ask(&lab, "/up/empty", &["-X", "DELETE"]).0, "404");
    server.stop();
}

#[test]
fn what_is_refused_changes_nothing() {
    let (lab, up, outside) = lab_with_directory();
    fs::create_dir(up.join("directory")).expect("a directory");
    fs::write(up.join("old"), "old").expect("a file");
    std::os::unix::fs::symlink(outside.path(), up.join("out")).expect("a link");
    let server = lab.serve(&ANYBODY);
    let large = source(outside.path(), "large", &vec![7; 9 << 20]);
    let small = source(outside.path(), "small", b"new");
    let before = names(&up);
    for (path, flags, status) in [
        ("/index.html", &["-T", &small][..], "405"),
        ("/upper", &["-T", &small], "405"),
        ("/up/large", &["-T", &large], "413"),
        (
            "/up/large",
            &["-T", &large, "-H", "Transfer-Encoding: chunked"],
            "413",
        ),
        ("/up/large", &["-T", &large, "-H", "Expect:"], "413"),
        (
            "/up/part",
            &["-T", &small, "-H", "Content-Range: bytes 0-2/9"],
            "400",
        ),
        ("/up/directory", &["-T", &small], "409"),
        ("/up/directory/", &["-X", "PUT", "-d", "x"], "409"),
        ("/up/none/file", &["-T", &small], "409"),
        ("/up/old/file", &["-T", &small], "409"),
        ("/up/.hidden", &["-T", &small], "403"),
        ("/up/out/file", &["-T", &small], "403"),
        ("/up/directory", &["-X", "DELETE"], "409"),
        ("/up/none", &["-X", "DELETE"], "404"),
        ("/up/", &["-X", "POST", "-d", "a=b"], "415"),
        ("/up/", &["-F", "text=only"], "400"),
        (
            "/up/",
            &["-F", &format!("f=@{small};filename=.hidden")],
            "403",
        ),
        (
            "/up/",
            &["-F", &format!("f=@{small};filename=directory")],
            "409",
        ),
        (
            "/up/",
            &["-F", &format!("f=@{small}"), "-F", &format!("f=@{large}")],
            "413",
        ),
        ("/up/old", &["-T", &small, "-H", "If-None-Match: *"], "412"),
        ("/up/old", &["-T", &small, "-H", "If-Match: \"no\""], "412"),
        (
            "/up/old",
            &["-X", "DELETE", "-H", "If-Match: \"no\""],
            "412",
        ),
        ("/up/new", &["-T", &small, "-H", "If-Match: *"], "412"),
    ] {
        assert_eq!(status_of(&lab, path, flags), status, "{path} {flags:?}");
    }
    assert_eq!(names(&up), before);
    assert_eq!(fs::read(up.join("old")).expect("a file"), b"old");
    assert_eq!(names(outside.path()), ["large", "small"]);
    server.stop();
}

#[test]
fn conditions_that_hold() {
    let (lab, up, outside) = lab_with_directory();
    fs::write(up.join("old"), "old").expect("a file");
    let server = lab.serve(&ANYBODY);
    let small = source(outside.path(), "small", b"new");
    let etag = |path: &str| {
        let head = text(lab.curl(&["-I", &lab.url(path)]));
        let line = head
            .lines()
            .find_map(|line| line.strip_prefix("ETag: ").map(str::to_owned));
        line.expect("an entity tag")
    };
    let matches = format!("If-Match: {}", etag("/up/old"));
    assert_eq!(
        ask(&lab, "/up/old", &["-T", &small, "-H", &matches]).0,
        "204"
    );
    assert_eq!(fs::read(up.join("old")).expect("a file"), b"new");
    assert_eq!(
        ask(&lab, "/up/old", &["-T", &small, "-H", &matches]).0,
        "412",
        "it is another one now"
    );
    assert_eq!(
        ask(&lab, "/up/fresh", &["-T", &small, "-H", "If-None-Match: *"]).0,
        "201"
    );
    // What the answer says is what a GET says.
    let answer = text(lab.curl(&["-i", "-T", &small, &lab.url("/up/told")]));
    let told = answer
        .lines()
        .find_map(|line| line.strip_prefix("ETag: "))
        .expect("an entity tag");
    assert_eq!(etag("/up/told"), told);
    assert!(answer.contains("Location: /up/told\r\n"), "{answer}");
    server.stop();
}

#[test]
fn a_browsers_form() {
    let (lab, up, outside) = lab_with_directory();
    let server = lab.serve(&ANYBODY);
    let (one, two) = (noise(83, 2_000_000), noise(84, 1));
    let first = source(outside.path(), "one", &one);
    let second = source(outside.path(), "two", &two);
    let (status, page) = ask(
        &lab,
        "/up",
        &[
            "-F",
            "comment=hello",
            "-F",
            &format!("file=@{first};filename=C:\\dir\\报告 1.pdf"),
            "-F",
            &format!("file=@{second};filename=../../<b>"),
            "-F",
            "none=;filename=",
        ],
    );
    assert_eq!(status, "201", "{page}");
    assert_eq!(names(&up), ["<b>", "报告 1.pdf"]);
    assert_same(&fs::read(up.join("报告 1.pdf")).expect("a file"), &one);
    assert_same(&fs::read(up.join("<b>")).expect("a file"), &two);
    assert!(
        page.contains("<a href=\"/up/%3Cb%3E\">") && !page.contains("<b>"),
        "{page}"
    );
    server.stop();
}

#[test]
fn the_whole_site_may_be_open_to_uploads() {
    let (lab, up, outside) = lab_with_directory();
    let server = lab.serve(&["--upload=/", "--upload-anonymous"]);
    let file = source(outside.path(), "one", b"one");
    let field = format!("file=@{file};filename=form.txt");
    let (status, page) = ask(&lab, "/", &["-F", &field]);
    assert_eq!(status, "201", "{page}");
    assert_eq!(ask(&lab, "/up/put.txt", &["-T", &file]).0, "201");
    for path in [lab.root().join("form.txt"), up.join("put.txt")] {
        assert_eq!(fs::read(path).expect("a file"), b"one");
    }
    server.stop();
}

#[test]
fn nobody_puts_files_without_a_password_by_mistake() {
    let (lab, up, outside) = lab_with_directory();
    let mut refused = lab.launch(&["--upload=/up"]);
    assert!(!refused.process.end(PATIENCE).success());
    let why = refused
        .stderr
        .wait_for("a reason", |text| text.ends_with('\n'));
    assert!(
        why.contains("--upload: anybody could put files beneath /up: ") && why.contains("[[auth]]"),
        "{why}"
    );
    let hash = "$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW";
    let config = outside.path().join("front.toml");
    let settings = format!(
        "root = \"{}\"\n[[upload]]\npath = \"/up\"\nmax-bytes = \"1MiB\"\n\
         [[auth]]\npath = \"/up\"\nrealm = \"r\"\nusers = {{ ann = \"{hash}\" }}\n",
        lab.root().display()
    );
    fs::write(&config, settings).expect("a file");
    let server = lab.serve(&["--config", config.to_str().expect("UTF-8")]);
    let small = source(outside.path(), "small", b"new");
    let large = source(outside.path(), "large", &[7; 2 << 20]);
    for flags in [
        &["-T", &small][..],
        &["-T", &large],
        &["-T", &small, "-u", "ann:wrong"],
        &["-X", "DELETE"],
    ] {
        assert_eq!(status_of(&lab, "/up/x", flags), "401", "{flags:?}");
    }
    assert!(names(&up).is_empty());
    assert_eq!(
        ask(&lab, "/up/x", &["-T", &small, "-u", "ann:sesame"]).0,
        "201"
    );
    server.stop();
}

/// Sends the head and the beginning of an upload, and waits until it has been begun.
fn begin(lab: &Lab, up: &Path) -> std::net::TcpStream {
    let mut stream = lab.connect(80);
    stream
        .write_all(b"PUT /up/x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")
        .expect("sending");
    let mut said = [0; 25];
    std::io::Read::read_exact(&mut stream, &mut said).expect("an answer");
    assert_eq!(&said, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&[7; 500_000]).expect("sending");
    std::thread::sleep(Duration::from_millis(200));
    assert!(
        !up.join("x").exists(),
        "nobody sees it before it is complete"
    );
    stream
}

#[test]
fn what_breaks_off_leaves_nothing() {
    let (lab, up, _outside) = lab_with_directory();
    let mut server = lab.serve(&ANYBODY);
    drop(begin(&lab, &up));
    wait_until("nothing to be left", || names(&up).is_empty());
    assert_eq!(lab.get("/"), b"a page");
    let _stream = begin(&lab, &up);
    server.signal(rustix::process::Signal::KILL);
    server.process.end(PATIENCE);
    assert!(names(&up).is_empty(), "{:?}", names(&up));
    assert!(!lab.has_xdp());
}

/// Ends what it mounted.
struct Mounted(PathBuf);

impl Mounted {
    /// A file system of 1 MiB in memory.
    fn small(at: &Path) -> Mounted {
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("none", at, "tmpfs", flags, Some(c"size=1m")).expect("root mounts");
        Mounted(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_is_said_and_nothing_is_left_on_it() {
    let (lab, up, outside) = lab_with_directory();
    let _mounted = Mounted::small(&up);
    let server = lab.serve(&ANYBODY);
    let large = source(outside.path(), "large", &vec![7; 3 << 20]);
    let small = source(outside.path(), "small", &noise(85, 900_000));
    for flags in [&["-T", &large][..], &["-T", &large, "-H", "Expect:"]] {
        assert_eq!(status_of(&lab, "/up/large", flags), "507", "{flags:?}");
        wait_until("nothing to be left", || names(&up).is_empty());
    }
    assert_eq!(
        ask(&lab, "/up/small", &["-T", &small]).0,
        "201",
        "there is room again"
    );
    server.stop();
}

#[test]
fn a_form_that_has_no_end_is_no_form() {
    let (lab, up, _outside) = lab_with_directory();
    let server = lab.serve(&ANYBODY);
    let before = server.resident_kib();
    for beginning in [
        "--b\r\nX: ",
        "",
        "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n",
    ] {
        let mut stream = lab.connect(80);
        let head = "POST /up/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\
                    Content-Type: multipart/form-data; boundary=b\r\n\r\n";
        stream.write_all(head.as_bytes()).expect("sending");
        if !beginning.is_empty() {
            stream
                .write_all(format!("{:x}\r\n{beginning}\r\n", beginning.len()).as_bytes())
                .expect("sending");
        }
        let chunk = [b"10000\r\n", &[b'a'; 0x10000][..], b"\r\n"].concat();
        // More than it may be: then it is answered, and the rest thrown away or refused.
        for _ in 0..200 {
            if stream.write_all(&chunk).is_err() {
                break;
            }
        }
        let mut answer = [0; 12];
        std::io::Read::read_exact(&mut stream, &mut answer).expect("an answer");
        assert!(
            matches!(&answer, b"HTTP/1.1 400" | b"HTTP/1.1 413"),
            "{beginning}: {answer:?}"
        );
    }
    let after = server.resident_kib();
    assert!(after < before + 32 * 1024, "{before} KiB, then {after}");
    assert!(names(&up).is_empty());
    server.stop();
}

#[test]
fn a_form_puts_nothing_where_its_sender_may_not() {
    let (lab, up, outside) = lab_with_directory();
    fs::write(up.join("old"), "old").expect("a file");
    let config = outside.path().join("front.toml");
    let settings = format!(
        "root = \"{}\"\n[[upload]]\npath = \"/up\"\nanonymous = true\n\
         [[access]]\npath = \"/up/notice.html\"\nallow = []\n",
        lab.root().display()
    );
    fs::write(&config, settings).expect("a file");
    let server = lab.serve(&["--config", config.to_str().expect("UTF-8")]);
    let small = source(outside.path(), "small", b"new");
    let named = |name: &str| format!("f=@{small};filename={name}");
    for (fields, flags, status) in [
        (vec![named("notice.html")], &[][..], "403"),
        (vec![named("notice.html.gz")], &[], "403"),
        (vec![named("a"), named("notice.html")], &[], "403"),
        (vec![named("a"), named("b/a")], &[], "400"),
        (
            vec![named("a"), named("old")],
            &["-H", "If-None-Match: *"],
            "412",
        ),
    ] {
        let fields: Vec<&str> = fields.iter().flat_map(|field| ["-F", field]).collect();
        assert_eq!(
            ask(&lab, "/up", &[&fields[..], flags].concat()).0,
            status,
            "{fields:?}"
        );
        assert_eq!(names(&up), ["old"], "{fields:?}");
    }
    assert_eq!(fs::read(up.join("old")).expect("a file"), b"old");
    assert_eq!(ask(&lab, "/up", &["-F", &named("old")]).0, "201");
    assert_eq!(fs::read(up.join("old")).expect("a file"), b"new");
    server.stop();
}

/// Heals a mount before a server is waited for that hangs in it.
struct Healed<'m>(&'m Mount);

impl Drop for Healed<'_> {
    fn drop(&mut self) {
        self.0.files().heal();
    }
}

#[test]
fn a_mount_that_hangs_keeps_nobody_beside_it() {
    let (lab, up, outside) = lab_with_directory();
    let at = up.join("jfs");
    fs::create_dir(&at).expect("a directory");
    std::os::unix::fs::symlink("jfs", up.join("link")).expect("a link");
    let mount = Mount::new(&at);
    mount.files().put("there", 1, 10);
    let server = lab.serve(&[&ANYBODY[..], &["--file-timeout=1"]].concat());
    let small = source(outside.path(), "small", b"new");
    let delete = ["-X", "DELETE"];
    let _healed = Healed(&mount);
    mount.files().trouble(Op::LookUp, None, Trouble::Hang);
    std::thread::scope(|scope| {
        // More than may be done at once there, by both ways that lead there.
        for name in 0..10 {
            let (lab, small) = (&lab, &small);
            for directory in ["jfs", "link"] {
                let path = format!("/up/{directory}/{name}");
                scope.spawn(move || assert_eq!(status_of(lab, &path, &["-T", small]), "504"));
            }
        }
        scope.spawn(|| assert_eq!(status_of(&lab, "/up/jfs/there", &delete), "504"));
    });
    assert_eq!(status_of(&lab, "/up/jfs/there", &delete), "504");
    for status in ["201", "204"] {
        assert_eq!(ask(&lab, "/up/beside", &["-T", &small]).0, status);
    }
    let form = format!("f=@{small};filename=formed");
    assert_eq!(ask(&lab, "/up", &["-F", &form]).0, "201");
    assert_eq!(fs::read(up.join("formed")).expect("a file"), b"new");
    assert_eq!(ask(&lab, "/up/beside", &delete).0, "204");
    mount.files().heal();
    wait_until("it to answer again, which is read-only", || {
        status_of(&lab, "/up/jfs/there", &delete) == "403"
    });
    server.stop();
}

#[test]
fn a_mount_point_is_no_file() {
    let (lab, up, outside) = lab_with_directory();
    let (directory, file) = (up.join("directory"), up.join("file"));
    fs::create_dir(&directory).expect("a directory");
    let mount = Mount::new(&directory);
    mount.files().put("there", 1, 10);
    fs::write(&file, "around").expect("a file");
    let small = source(outside.path(), "small", b"new");
    rustix::mount::mount_bind(&small, &file).expect("root mounts");
    let _mounted = Mounted(file);
    let server = lab.serve(&ANYBODY);
    for name in ["directory", "file"] {
        let path = format!("/up/{name}");
        let form = format!("f=@{small};filename={name}");
        assert_eq!(ask(&lab, &path, &["-T", &small]).0, "409", "{name}");
        assert_eq!(ask(&lab, &path, &["-X", "DELETE"]).0, "409", "{name}");
        assert_eq!(ask(&lab, "/up", &["-F", &form]).0, "409", "{name}");
    }
    assert_eq!(names(&up), ["directory", "file"]);
    server.stop();
}

#[test]
fn a_file_of_the_year_12000_is_replaced_and_deleted() {
    let (lab, up, outside) = lab_with_directory();
    let _mounted = Mounted::small(&up);
    let old = fs::File::create(up.join("old")).expect("a file");
    let future = SystemTime::UNIX_EPOCH + Duration::from_secs(316_516_000_000);
    old.set_modified(future).expect("tmpfs keeps any time");
    assert_eq!(
        old.metadata().and_then(|about| about.modified()).ok(),
        Some(future)
    );
    let server = lab.serve(&ANYBODY);
    let small = source(outside.path(), "small", b"new");
    let delete = ["-X", "DELETE"];
    let since = "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT";
    assert_eq!(
        status_of(&lab, "/up/old", &["-T", &small, "-H", since]),
        "412"
    );
    assert_eq!(ask(&lab, "/up/old", &["-T", &small]).0, "204");
    assert_eq!(fs::read(up.join("old")).expect("a file"), b"new");
    let file = fs::File::options().write(true).open(up.join("old"));
    let again = file.expect("a file").set_modified(future);
    again.expect("tmpfs keeps any time");
    assert_eq!(ask(&lab, "/up/old", &delete).0, "204");
    assert!(names(&up).is_empty());
    server.stop();
}

#[test]
fn nothing_is_replaced_by_mistake_on_file_systems_that_know_little() {
    for knows in [Knows::NoReplace, Knows::Link] {
        let (lab, up, outside) = lab_with_directory();
        let mount = Plain::new(&up, knows);
        let server = lab.serve(&ANYBODY);
        let (one, two) = (noise(86, 300_000), noise(87, 10));
        let first = source(outside.path(), "one", &one);
        let second = source(outside.path(), "two", &two);
        let new = |path: &str| ["-T", path, "-H", "If-None-Match: *"].map(str::to_owned);
        let put = |flags: &[String]| {
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            ask(&lab, "/up/a", &flags).0
        };
        assert_eq!(put(&new(&first)), "201", "{knows:?}");
        assert!(
            mount.files() == [("a".to_owned(), one.clone())],
            "{knows:?}"
        );
        assert_eq!(put(&new(&second)), "412", "{knows:?}");
        assert!(mount.files() == [("a".to_owned(), one)], "{knows:?}");
        assert_eq!(put(&["-T".to_owned(), second]), "204", "{knows:?}");
        assert_eq!(mount.files(), [("a".to_owned(), two)], "{knows:?}");
        server.stop();
    }
}
