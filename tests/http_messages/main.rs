//! Messages (RFC 9112): request bytes, and every byte that answers them, however they are cut up.

#[path = "../http_support/mod.rs"]
mod http_support;

mod chunks;
mod connections;
mod fields;
mod framing;
mod going_on;
mod lines;
mod want;

use http_support::Fixture;
use http_support::cases::{Case, check_byte_by_byte, check_cut, check_whole, random_lengths};
use std::collections::HashSet;

fn cases(fixture: &Fixture) -> Vec<Case> {
    let mut table = want::Table::new(fixture);
    lines::fill(&mut table);
    fields::fill(&mut table);
    framing::fill(&mut table);
    chunks::fill(&mut table);
    connections::fill(&mut table);
    table.cases
}

#[test]
fn each_request_gets_exactly_its_response() {
    let fixture = want::fixture();
    let cases = cases(&fixture);
    println!("{} cases", cases.len());
    check_whole(&fixture, &cases);
}

#[test]
fn each_request_may_come_byte_by_byte() {
    let fixture = want::fixture();
    check_byte_by_byte(&fixture, &cases(&fixture));
}

#[test]
fn each_request_may_be_cut_anywhere() {
    let fixture = want::fixture();
    let cases = cases(&fixture);
    for seed in 0..16 {
        println!("seed {seed}");
        check_cut(&fixture, &cases, &random_lengths(seed));
    }
}

#[test]
fn no_two_cases_have_the_same_name() {
    let fixture = want::fixture();
    let mut names = HashSet::new();
    for case in cases(&fixture) {
        assert!(names.insert(case.what.clone()), "{}", case.what);
    }
}
