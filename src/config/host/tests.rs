use super::*;
use crate::config::services::Work;
use std::path::Path;

/// The hosts of this file, with these flags.
fn with(flags: Table, text: &str) -> Result<Vec<Host>, String> {
    let file = File::parse("/etc/site.toml".as_ref(), text.to_owned());
    let file = file.map_err(|error| error.to_string())?;
    hosts(Some(&file), &flags).map_err(|error| error.to_string())
}

fn refusal(text: &str) -> String {
    with(Table::default(), text).expect_err(text)
}

#[test]
fn a_host_has_what_the_top_has_unless_it_says_otherwise() {
    let text = "root = \"www\"\nlist = true\n\
                [[host]]\nnames = [\"a\", \"*.B.\"]\n\
                [[host]]\nnames = [\"c\"]\nroot = \"/srv/c\"\nlist = false\n";
    let hosts = with(Table::default(), text).expect("valid");
    let seen: Vec<(usize, &Path, bool)> = hosts
        .iter()
        .map(|host| (host.names.len(), host.root.as_path(), host.files.list))
        .collect();
    let own = Path::new("/etc/www");
    let other = Path::new("/srv/c");
    assert_eq!(seen, [(0, own, true), (2, own, true), (1, other, false)]);
    assert_eq!(hosts[1].names[1].to_string(), "*.b");
}

#[test]
fn flags_win_over_the_top_of_the_file() {
    let flags = Table {
        root: Some("here".into()),
        ..Table::default()
    };
    let text = "root = \"www\"\n[[host]]\nnames = [\"a\"]\n[[host]]\nnames = [\"b\"]\nroot = \"b\"";
    let hosts = with(flags.clone(), text).expect("valid");
    let roots: Vec<&Path> = hosts.iter().map(|host| host.root.as_path()).collect();
    assert_eq!(roots, ["here", "here", "/etc/b"].map(Path::new));
    assert!(with(flags.clone(), "").is_ok(), "a file without a root");
    assert!(super::hosts(None, &flags).is_ok(), "no file");
}

#[test]
fn what_cannot_be_is_said_with_its_place() {
    for (text, words) in [
        ("list = true", ":1:1: there is no root; "),
        (
            "root = \"a\"\nnames = [\"b\"]",
            ":2:9: the default host has no names",
        ),
        (
            "root = \"a\"\n[[host]]\nlist = true",
            ":2:1: a host needs names",
        ),
        (
            "root = \"a\"\n[[host]]\nnames = []",
            ":2:1: a host needs names",
        ),
        (
            "root = \"a\"\n[[host]]\nnames = [\"b\", \"c:80\"]",
            ":3:15: \"c:80\" is no name of a host: a name has no port",
        ),
        (
            "root = \"a\"\n[[host]]\nnames = [\"b\"]\n[[host]]\nnames = [\"c\", \"B.\"]",
            ":5:15: there is another host b before",
        ),
        (
            "root = \"a\"\n[[host]]\nnames = [\"b\"]\n[[host.host]]\nnames = [\"c\"]",
            ":4:1: a host stands on its own",
        ),
    ] {
        let why = refusal(text);
        assert!(
            why.starts_with("/etc/site.toml:") && why.contains(words),
            "{why}"
        );
        assert!(!why.contains('\n'), "{why}");
    }
    let many = format!("root = \"a\"\n{}", "[[host]]\n".repeat(MAX_HOSTS));
    assert!(refusal(&many).contains("there are 4097 hosts, and 4096 can be"));
}

#[test]
fn settings_of_files_become_those_of_the_site() {
    let text = r#"
        root = "www"
        index = ["index.html", "index.htm"]
        compress = "fast"
        charset = "koi8-r"
        cache-control = "no-cache"
        mime = { md = "text/markdown", "LICENSE" = "text/plain; charset=us-ascii" }
        cors = { origins = ["https://a.example"], max-age = 60 }
        [[headers]]
        match = "*.css"
        set = { Cache-Control = "max-age=60", X-A = "1" }
        remove = ["X-Content-Type-Options"]
        [[host]]
        names = ["b"]
        compress = "off"
        headers = []
        mime = {}
    "#;
    let flags = Table {
        compress: Some(cli::Compress::Best),
        ..Table::default()
    };
    let hosts = with(flags, text).expect("valid");
    let files: Vec<&Settings> = hosts.iter().map(|host| &host.files).collect();
    assert_eq!(files[1].index, ["index.html", "index.htm"]);
    let compress = [files[0].compress, files[1].compress];
    assert_eq!(compress, [Compress::Best, Compress::Off]);
    let types = ["a.md", "LICENSE"].map(|name| files[0].media_types.of(name.as_bytes()));
    assert_eq!(
        types,
        [
            "text/markdown; charset=koi8-r",
            "text/plain; charset=us-ascii"
        ]
    );
    assert_eq!(
        files[1].media_types.of(b"LICENSE"),
        "application/octet-stream"
    );
    let fields = files[0].headers.of(b"a.css");
    assert_eq!(fields.for_caches, "Cache-Control: max-age=60\r\n");
    assert_eq!(fields.others, "X-A: 1\r\n");
    assert_eq!(
        files[1].headers.of(b"a.css").for_caches,
        "Cache-Control: no-cache\r\n"
    );
    assert!(hosts.iter().all(|host| host.http.cors.is_some()));
}

#[test]
fn settings_of_files_that_cannot_be() {
    for (text, words) in [
        (
            "index = [\"a\", \"b/c\"]",
            ":2:15: \"b/c\" is no name of a file",
        ),
        ("index = [\".a\"]", ":2:10: \".a\" is no name of a file"),
        ("compress = \"hard\"", ":2:12: unknown variant `hard`"),
        (
            "charset = \"a b\"",
            ":2:11: \"a b\" is no name of a charset",
        ),
        ("mime = { a = \"b\" }", ":2:14: \"b\" is no media type"),
        (
            "cache-control = \"\"",
            ":2:17: the value of Cache-Control is empty",
        ),
        ("[[headers]]\nset = {}", ":2:1: missing field `match`"),
        ("[[headers]]\nmatch = \"a/b\"", ":3:9: \"a/b\" has a slash"),
        ("[[headers]]\nmatch = \"[a\"", ":3:9: \"[a\" is no pattern"),
        (
            "[[headers]]\nmatch = \"*\"\nset = { X-A = \"1\", date = \"2\" }",
            ":4:27: date can be neither set nor removed",
        ),
        (
            "[[headers]]\nmatch = \"*\"\nset = { X-A = \"1\", x-a = \"2\" }",
            ":4:26: x-a is there twice, in another spelling",
        ),
        (
            "[[headers]]\nmatch = \"*\"\nset = { X-A = \"a\\nb\" }",
            ":4:15: the value of X-A",
        ),
        (
            "[[headers]]\nmatch = \"*\"\nremove = [\"Content-Length\"]",
            ":4:11: Content-Length can be neither",
        ),
        (
            "[[headers]]\nmatch = \"*\"\nset = { Access-Control-Max-Age = \"1\" }",
            ":4:34: Access-Control-Max-Age is what cors decides about",
        ),
        (
            "[[host]]\nnames = [\"b\"]\nmax-fields = 5",
            ":4:14: this is for all hosts",
        ),
        (
            "error-page = { 200 = \"/a\" }",
            ":2:22: \"200\" is no status of an error here; there are 400, 401, 403, ",
        ),
        (
            "error-page = { 404 = \"a\" }",
            ":2:22: \"a\" is no path of a file",
        ),
        (
            "error-page = { 404 = \"/a/\" }",
            ":2:22: \"/a/\" is no path of a file",
        ),
        (
            "error-page = { 404 = \"/../a\" }",
            ":2:22: \"/../a\" is no path of a file",
        ),
        ("spa = \"/a/\"", ":2:7: \"/a/\" is no path of a file"),
        ("spa = 1", ":2:7: expected true, false or the path"),
        ("cors = { origins = [] }", ":2:8: origins is empty"),
        (
            "cors = { origins = [\"*\"], credentials = true }",
            ":2:8: credentials are never sent for",
        ),
        ("[cors]\norigins = [\"a\"]", ": \"a\" is no origin"),
        ("[cors]\norigin = [\"*\"]", ":3:1: unknown field `origin`"),
    ] {
        let why = refusal(&format!("root = \"a\"\n{text}"));
        assert!(
            why.starts_with("/etc/site.toml:") && why.contains(words),
            "{why}"
        );
        assert!(!why.contains('\n'), "{why}");
    }
}

#[test]
fn flags_that_cannot_be_are_named() {
    let spanned = |text: &str| Spanned::new(0..0, text.to_owned());
    let flags = Table {
        root: Some("a".into()),
        ..Table::default()
    };
    for (flags, words) in [
        (Table::default(), "--root: there is no root"),
        (
            Table {
                index: Some(vec![spanned("a/b")]),
                ..flags.clone()
            },
            "--index: \"a/b\" is no name",
        ),
        (
            Table {
                cache_control: Some(spanned("a\nb")),
                ..flags.clone()
            },
            "--cache-control: the value of Cache-Control",
        ),
    ] {
        let why = super::hosts(None, &flags).expect_err(words).to_string();
        assert!(why.starts_with(words), "{why}");
    }
}

#[test]
fn pages_are_names_of_files() {
    let text = r#"
        root = "www"
        spa = true
        [error-page]
        404 = "/errors/404.html"
        503 = "/b%20usy.html"
        [[host]]
        names = ["b"]
        spa = false
        error-page = { 404 = "/other.html" }
    "#;
    let hosts = with(Table::default(), text).expect("valid");
    let pages = |host: &Host| {
        let pages = host.http.error_pages.clone().into_iter();
        pages
            .map(|(status, name)| (status, name.into_vec()))
            .collect::<Vec<_>>()
    };
    let busy = (503, b"b usy.html".to_vec());
    assert_eq!(pages(&hosts[0]), [(404, b"errors/404.html".to_vec()), busy]);
    assert_eq!(pages(&hosts[1]), [(404, b"other.html".to_vec())]);
    assert_eq!(hosts[0].http.fallback.as_deref(), Some(&b"index.html"[..]));
    assert_eq!(hosts[1].http.fallback, None);
}

#[test]
fn the_example_in_the_readme_is_valid() {
    let readme = include_str!("../../../README.md");
    let (_, example) = readme.split_once("```toml\n").expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    let hosts = with(Table::default(), example).expect("valid");
    let names: Vec<String> = hosts
        .iter()
        .flat_map(|host| host.names.iter().map(HostName::to_string))
        .collect();
    assert_eq!(names, ["app.example.org", "*.example.org"]);
    let fields = hosts[0].headers_of("assets/a.css");
    assert_eq!(
        fields,
        "Cache-Control: public, max-age=31536000, immutable\r\n"
    );
    assert!(hosts[1].http.fallback.is_some() && hosts[2].http.cors.is_some());
}

impl Host {
    fn headers_of(&self, name: &str) -> String {
        let fields = self.files.headers.of(name.as_bytes());
        fields.for_caches + &fields.others
    }
}

const HASH: &str = "$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW";

#[test]
fn a_host_says_who_may_ask_and_where_names_lead() {
    let text = format!(
        "root = \"a\"\nhealth-path = \"/up\"\n\
         [[access]]\npath = \"/office\"\nallow = [\"10.0.0.0/8\"]\ndeny = [\"10.1.0.0/16\"]\n\
         [[auth]]\npath = \"/attic\"\nrealm = \"the attic\"\nusers = {{ ann = \"{HASH}\" }}\n\
         [[redirect]]\nfrom = \"/old\"\nto = \"/new\"\nprefix = true\ncode = 308\n\
         [[rewrite]]\nfrom = \"/short\"\nto = \"/long/name\"\n\
         [[host]]\nnames = [\"b\"]\nhealth-path = \"off\"\nauth = []\n"
    );
    let hosts = with(Table::default(), &text).expect("valid");
    let [a, b] = [0, 1].map(|host| &hosts[host].http.policy);
    assert_eq!((a.health.as_deref(), &b.health), (Some(&b"up"[..]), &None));
    for policy in [a, b] {
        let (networks, _) = policy.access.longest(b"office/x").expect("a list");
        let allowed = ["10.0.0.1", "10.1.0.1", "192.0.2.1"]
            .map(|address| networks.allow(address.parse().expect("an address")));
        assert_eq!(allowed, [true, false, false]);
        assert!(policy.rules.find(b"old/x").is_some() && policy.rules.find(b"short").is_some());
        assert!(policy.rules.find(b"short/x").is_none());
    }
    let (realm, _) = a.auth.longest(b"attic/x").expect("a realm");
    assert_eq!(realm.hash(b"ann").text(), HASH);
    assert!(b.auth.is_empty());
}

#[test]
fn what_cannot_be_of_that_is_said_with_its_place() {
    let auth = |rest: &str| format!("[[auth]]\npath = \"/a\"\nrealm = \"r\"\n{rest}");
    for (text, words) in [
        (
            "health-path = \"up\"".into(),
            ":2:15: \"up\" is no path of a site",
        ),
        (
            "[[access]]\npath = \"/a\"\nallow = [\"10.0.0.1/8\"]".into(),
            ":4:10: 10.0.0.1/8 has bits behind its prefix",
        ),
        (
            "[[access]]\npath = \"/a\"\n[[access]]\npath = \"/a/\"".into(),
            ":5:8: there is another table for /a/ before",
        ),
        (
            "[[access]]\npath = \"a\"".into(),
            ":3:8: \"a\" is no path of a site",
        ),
        (
            auth("users = { ann = \"sesame\" }"),
            ":5:17: the password is not hashed with bcrypt",
        ),
        (
            auth("users-file = \"/nowhere/x\""),
            ":5:14: the users of /nowhere/x: No such file",
        ),
        (
            auth("users = { \"a:b\" = \"\" }"),
            ":5:19: the password is not hashed",
        ),
        (
            "[[redirect]]\nfrom = \"/a\"\nto = \"b\"".into(),
            ":3:8: \"b\" is no target",
        ),
        (
            "[[redirect]]\nfrom = \"/a\"\nto = \"/b\"\ncode = 200".into(),
            ":5:8: 200 is no code of a redirect",
        ),
        (
            "[[rewrite]]\nfrom = \"/a\"\nto = \"/b\"\n[[rewrite]]\nfrom = \"/a\"\nto = \"/c\""
                .into(),
            ":6:8: there are two rules for",
        ),
        (
            "[[redirect]]\nto = \"/b\"".into(),
            ":2:1: missing field `from`",
        ),
        (
            "[[access]]\npath = \"/a/index.html\"".into(),
            ":3:8: index.html is the index of its directory",
        ),
    ] {
        let text: String = text;
        let why = refusal(&format!("root = \"a\"\n{text}"));
        assert!(why.contains(words), "{text}: {why}");
    }
}

#[test]
fn what_is_answered_elsewhere() {
    let text = format!(
        "root = \"a\"\n[[proxy]]\npath = \"/api\"\nto = \"http://127.0.0.1:9090\"\n\
         [[upload]]\npath = \"/in/box/\"\n[[auth]]\npath = \"/in\"\nrealm = \"r\"\nusers = {{ ann = \"{HASH}\" }}\n\
         [[host]]\nnames = [\"b\"]\nproxy = []\n[[host]]\nnames = [\"c\"]\nauth = []\n\
         upload = [{{ path = \"/x\", max-bytes = \"1KiB\", anonymous = true }}]\n"
    );
    let hosts = with(Table::default(), &text).expect("valid");
    let services = |host: &Host| -> Vec<String> {
        let describe = |service: &super::Service| match &service.work {
            Work::Proxy(to) => format!("{} to {to}", service.path),
            Work::Upload { max_bytes, .. } => format!("{} up to {max_bytes}", service.path),
        };
        host.services.iter().map(describe).collect()
    };
    let gibi = "/in/box/ up to 1073741824";
    assert_eq!(services(&hosts[0]), ["/api to http://127.0.0.1:9090", gibi]);
    assert_eq!(services(&hosts[1]), [gibi]);
    assert_eq!(
        services(&hosts[2]),
        ["/api to http://127.0.0.1:9090", "/x up to 1024"]
    );
}

#[test]
fn what_cannot_be_answered_elsewhere() {
    for (text, words) in [
        (
            "[[proxy]]\npath = \"api\"\nto = \"http://a\"",
            ":3:8: \"api\" is no path of a site",
        ),
        (
            "[[proxy]]\npath = \"/api\"\nto = \"a:80\"",
            ":4:6: \"a:80\" is no address of a server",
        ),
        (
            "[[proxy]]\npath = \"/a\"\nto = \"http://a\"\n[[upload]]\npath = \"/%61/\"\nanonymous = true",
            ":6:8: there is another table for /%61/ before",
        ),
        (
            "[[upload]]\npath = \"/a\"",
            ":3:8: anybody could put files beneath /a",
        ),
        (
            "[[upload]]\npath = \"/a\"\n[[auth]]\npath = \"/a/b\"\nrealm = \"r\"",
            ":3:8: anybody could put files beneath /a",
        ),
    ] {
        let why = refusal(&format!("root = \"a\"\n{text}"));
        assert!(
            why.starts_with("/etc/site.toml:") && why.contains(words),
            "{why}"
        );
    }
    let guarded = format!(
        "root = \"a\"\n[[upload]]\npath = \"/a\"\n[[auth]]\npath = \"/\"\nrealm = \"r\"\n\
         users = {{ ann = \"{HASH}\" }}\n[[host]]\nnames = [\"b\"]\nauth = []"
    );
    let why = refusal(&guarded);
    assert!(
        why.contains(":8:1: anybody could put files beneath /a"),
        "{why}"
    );
}
