//! The server's response as the client sees it.

use super::request::remove_hop_by_hop;
use crate::exchange::Head;
use hyper::Response;
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::header;

/// What is said of a response before its body; `is_head`: of one to HEAD.
pub(super) fn head(response: &Response<Incoming>, is_head: bool) -> Head {
    let status = response.status();
    let has_body = !is_head
        && !status.is_informational()
        && status != StatusCode::NO_CONTENT
        && status != StatusCode::NOT_MODIFIED;
    let said = response.headers().get(header::CONTENT_LENGTH);
    let said = said.and_then(|value| value.to_str().ok()?.parse().ok());
    let length = match has_body {
        true => response.body().size_hint().exact(),
        // RFC 9110 section 8.6.
        false if status == StatusCode::NO_CONTENT => None,
        false => said,
    };
    Head {
        status: status.as_u16(),
        lines: lines(response),
        length,
        has_body,
        has_date: response.headers().contains_key(header::DATE),
    }
}

/// The status line, and the fields that are the client's business.
fn lines(response: &Response<Incoming>) -> Vec<u8> {
    let status = response.status();
    let reason = match response.extensions().get::<ReasonPhrase>() {
        Some(reason) => reason.as_bytes(),
        None => status.canonical_reason().unwrap_or_default().as_bytes(),
    };
    let mut lines = format!("HTTP/1.1 {} ", status.as_str()).into_bytes();
    lines.extend_from_slice(reason);
    lines.extend_from_slice(b"\r\n");
    let mut fields = response.headers().clone();
    let protocol = fields.get(header::UPGRADE).cloned();
    remove_hop_by_hop(&mut fields);
    fields.remove(header::CONTENT_LENGTH);
    if let (StatusCode::SWITCHING_PROTOCOLS, Some(protocol)) = (status, protocol) {
        fields.insert(header::UPGRADE, protocol);
    }
    for (name, value) in &fields {
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
    lines
}
