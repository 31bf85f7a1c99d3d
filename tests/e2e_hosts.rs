//! Hosts by name from a configuration file, as real clients see them. Needs root.

mod lab;
mod refusal;

use lab::{Lab, text};
use refusal::assert_says;
use std::path::PathBuf;

/// A directory beside the lab's root for each host, and the file that names them.
fn configure(lab: &Lab, settings: &str) -> PathBuf {
    for (host, content) in [("org", "the org"), ("wild", "any other")] {
        lab.file(&format!("hosts/{host}/index.html"), content.as_bytes());
    }
    lab.file("index.html", b"the default");
    lab.file("site.toml", settings.as_bytes())
}

const HOSTS: &str = r#"
# The default host; the flag --root wins over this one.
root = "nowhere"

[[host]]
names = ["example.org", "www.example.org"]
root = "hosts/org"

[[host]]
names = ["*.example.org"]
root = "hosts/wild"
"#;

#[test]
fn the_host_that_is_asked_for_answers() {
    let lab = Lab::new();
    let config = configure(&lab, HOSTS);
    let server = lab.serve(&["--config", config.to_str().expect("UTF-8")]);
    for (host, body) in [
        ("example.org", "the org"),
        ("EXAMPLE.ORG.:8080", "the org"),
        ("www.example.org", "the org"),
        ("a.example.org", "any other"),
        ("a.b.example.org", "any other"),
        ("example.com", "the default"),
    ] {
        let field = format!("Host: {host}");
        let answer = text(lab.curl(&["-H", &field, &lab.url("/")]));
        assert_eq!(answer, body, "{host}");
    }
    let resolve = format!("www.example.org:80:{}", lab.outer());
    let answer = lab.curl(&["--resolve", &resolve, "http://www.example.org/"]);
    assert_eq!(text(answer), "the org");
    let proxy = text(lab.curl(&["-x", &lab.url(":80"), "http://a.example.org/"]));
    assert_eq!(proxy, "any other", "an absolute target");
    server.stop();
    assert!(!lab.has_xdp());
}

#[test]
fn a_configuration_that_cannot_be_is_refused_before_anything_is_attached() {
    let lab = Lab::new();
    for (settings, words) in [
        ("rot = \"a\"", &["site.toml:1:1: unknown field `rot`"][..]),
        (
            "[[host]]\nnames = [\"a\"]\n[[host]]\nnames = [\"A\"]",
            &["site.toml:4:10: ", "another host a"],
        ),
        (
            "[[host]]\nnames = [\"a\"]\nroot = \"none\"",
            &["cannot open the root directory", "none", "give a directory"],
        ),
    ] {
        let config = configure(&lab, settings);
        let flags = ["--config", config.to_str().expect("UTF-8")];
        assert_says(&refusal::refused(&lab, &flags), words);
        assert!(!lab.has_xdp());
    }
    let why = refusal::refused(&lab, &["--config", "/nonexistent/site.toml"]);
    assert_says(
        &why,
        &["configuration file /nonexistent/site.toml", "No such file"],
    );
}

/// `sesame` is the password.
const SETTINGS: &str = r#"
list = true
error-page = { 404 = "/errors/404.html", 401 = "/errors/401.html" }
cache-control = "no-cache"
cors = { origins = ["https://app.example.org"] }

[[headers]]
match = "*.css"
set = { Cache-Control = "max-age=86400" }

[[auth]]
path = "/members"
realm = "members"
users = { ann = "$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW" }

[[access]]
path = "/office"
allow = ["192.0.2.0/24"]

[[redirect]]
from = "/old"
to = "/new"
prefix = true

[[rewrite]]
from = "/latest"
to = "/new/page"

[[host]]
names = ["app.example.org"]
spa = true
"#;

#[test]
fn settings_as_curl_sees_them() {
    let lab = Lab::new();
    for (name, content) in [
        ("new/page", "the page"),
        ("members/list", "ann and others"),
        ("office/plan", "a plan"),
        ("a.css", "b{}"),
        ("errors/404.html", "nothing here"),
        ("errors/401.html", "who are you?"),
    ] {
        lab.file(name, content.as_bytes());
    }
    let config = configure(&lab, SETTINGS);
    let server = lab.serve(&["--config", config.to_str().expect("UTF-8")]);
    let app = "Host: app.example.org";
    let cases: [(&str, &[&str], &str); 14] = [
        ("/new/page", &[], "the page 200"),
        (
            "/old/page?q",
            &["-L", "-w", " %{http_code} %{url_effective}"],
            "the page 200 URL/new/page?q",
        ),
        ("/old/page", &[], "302"),
        ("/latest", &[], "the page 200"),
        ("/members/list", &[], "who are you? 401"),
        ("//x/..%2e/%6dembers/list", &[], "nothing here 404"),
        ("/%6dembers//list", &[], "who are you? 401"),
        ("/members/list", &["-u", "ann:Sesame"], "who are you? 401"),
        ("/members/list", &["-u", "ann:sesame"], "ann and others 200"),
        ("/members/nobody", &["-u", "ann:sesame"], "nothing here 404"),
        ("/office/plan", &[], "403"),
        ("/none", &[], "nothing here 404"),
        ("/none", &["-H", app], "the default 200"),
        ("/.well-known/health", &[], "ok\n 200"),
    ];
    for (path, flags, want) in cases {
        let url = lab.url(path);
        let ask = [
            &["--path-as-is", "-w", " %{http_code}"],
            flags,
            &[url.as_str()],
        ]
        .concat();
        let got = text(lab.curl(&ask)).replace(lab.url("").trim_end_matches('/'), "URL");
        assert!(got.ends_with(want), "{path} {flags:?}: {got}");
    }
    for (path, flags, want) in [
        ("/a.css", &[][..], "cache-control: max-age=86400"),
        ("/new/page", &[], "cache-control: no-cache"),
        (
            "/new/page",
            &["-H", "Origin: https://app.example.org"],
            "access-control-allow-origin: https://app.example.org",
        ),
        (
            "/members/",
            &[],
            "www-authenticate: Basic realm=\"members\", charset=\"UTF-8\"",
        ),
        (
            "/new/",
            &["-H", "Accept: application/json"],
            "content-type: application/json",
        ),
    ] {
        let url = lab.url(path);
        let head = text(lab.curl(&[&["-I", url.as_str()], flags].concat()));
        let has = head.lines().any(|line| {
            let (name, value) = line.split_once(": ").unwrap_or((line, ""));
            format!("{}: {value}", name.to_ascii_lowercase()) == want
        });
        assert!(has, "{path}: {want} in {head}");
    }
    server.stop();
}
