//! HTTP as real clients see it: curl and raw connections in a namespace, the
//! server on the other end of the veth pair. Needs root.

mod lab;

use lab::{Lab, assert_same, noise, text};

#[test]
fn small_and_larger_files_arrive_byte_exact() {
    let lab = Lab::new();
    let server = lab.serve(&[]);
    for (seed, len) in [(1, 0), (2, 1), (3, 1024), (4, 1 << 20)] {
        let content = noise(seed, len);
        let name = format!("{len}.bin");
        lab.file(&name, &content);
        assert_same(&lab.get(&format!("/{name}")), &content);
        let headers = text(lab.curl(&["-I", &lab.url(&format!("/{name}"))]));
        assert!(headers.starts_with("HTTP/1.1 200 "), "{headers}");
        assert!(
            headers
                .to_lowercase()
                .contains(&format!("content-length: {len}\r\n")),
            "{headers}"
        );
    }
    server.stop();
    assert!(!lab.has_xdp());
}
