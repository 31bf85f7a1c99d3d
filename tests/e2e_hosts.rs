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
