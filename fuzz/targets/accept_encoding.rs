//! Any value of an `Accept-Encoding` field, and the same said otherwise.

use std::path::Path;
use xdphttpd::http::negotiate::Weights;
use xdphttpd::site::Coding;

const ALL: [Coding; 4] = [Coding::Brotli, Coding::Zstd, Coding::Gzip, Coding::Identity];

pub fn run(_site: &Path, value: &[u8]) {
    let weights = Weights::parse(value);
    assert!(ALL.iter().all(|coding| weights.of(*coding) <= 1000));

    // Neither the order of the elements matters nor that they are said twice, nor
    // capitals, nor what is not known.
    let mut elements: Vec<_> = value.split(|&byte| byte == b',').collect();
    elements.reverse();
    let backward = elements.join(&b',');
    assert_eq!(Weights::parse(&backward), weights);
    assert_eq!(Weights::parse(&[value, b",", value].concat()), weights);
    assert_eq!(Weights::parse(&value.to_ascii_uppercase()), weights);
    assert_eq!(Weights::parse(&[b"unknown;q=1,", value].concat()), weights);

    // What is refused last is not liked more for it, and what is liked most stays so.
    for (name, coding) in [("br", ALL[0]), ("zstd", ALL[1]), ("gzip", ALL[2])] {
        let liked = Weights::parse(&[value, b",", name.as_bytes()].concat());
        assert_eq!(liked.of(coding), 1000);
        let refused = Weights::parse(&[value, b",", name.as_bytes(), b";q=0"].concat());
        assert!(refused.of(coding) <= weights.of(coding));
    }
}
