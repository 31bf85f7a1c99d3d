//! A request as the server behind sees it.

use super::{RequestBody, Upstream};
use crate::exchange::{Body, Call};
use crate::http::limits::Limits;
use crate::http::request::{Request as Parsed, Slots};
use crate::http::target::Form;
use futures_util::stream;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Version};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Fields that concern one connection (RFC 9110 section 7.6.1), or that say what our own do.
pub(super) const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Nothing.
pub(super) fn no_body() -> RequestBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// The client's body, as it comes; each piece has `moved` set.
pub(super) fn stream(body: Body, moved: Arc<AtomicBool>) -> RequestBody {
    let pieces = stream::unfold((body, moved), |(mut body, moved)| async move {
        let piece = body.next().await?;
        moved.store(true, Ordering::Relaxed);
        Some((piece.map(Frame::data), (body, moved)))
    });
    StreamBody::new(pieces).boxed_unsync()
}

/// A request that cannot be passed on.
#[derive(Debug)]
pub(super) struct Unfit;

/// Whether the client would go on in another protocol.
pub(super) fn wants_upgrade(call: &Call) -> bool {
    let mut slots = Slots::new();
    let request = Parsed::parse(&call.head, &mut slots, &Limits::default());
    request.is_ok_and(|request| protocol(call, &request).is_some())
}

/// The protocol that the client would go on in, if it may be asked for (RFC 9110 section 7.8): not in 1.0, not with a
/// body, and not HTTP/2, in which it could ask for anything.
fn protocol<'b>(call: &Call, request: &Parsed<'_, 'b>) -> Option<&'b [u8]> {
    let connection = request.header("connection");
    let mut options = connection.flat_map(|value| value.split(|&byte| byte == b','));
    let is_named = options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    let mut protocols = request.header("upgrade");
    let first = protocols.next().filter(|_| protocols.next().is_none())?;
    let is_http = first
        .to_ascii_lowercase()
        .windows(2)
        .any(|two| two == b"h2")
        || first.to_ascii_lowercase().starts_with(b"http");
    let may_be = request.minor_version > 0 && call.body_bytes == Some(0) && !is_http;
    (is_named && may_be).then_some(first)
}

/// The same request for `upstream`.
///
/// # Errors
/// Something in it is beyond hyper.
pub(super) fn build(
    call: &Call,
    upstream: &Upstream,
    body: RequestBody,
) -> Result<Request<RequestBody>, Unfit> {
    let mut slots = Slots::new();
    let parsed = Parsed::parse(&call.head, &mut slots, &Limits::default()).map_err(|_| Unfit)?;
    let (Form::Origin(target) | Form::Absolute(_, target)) = parsed.form else {
        return Err(Unfit);
    };
    let text = |bytes| str::from_utf8(bytes).map_err(|_| Unfit);
    let query = target.query.map(text).transpose()?;
    let rest = call.rest.map(|at| call.name.get(at..).unwrap_or_default());
    let address = upstream.address(text(target.path)?, query, &call.name, rest);
    let mut request = Request::builder()
        .method(parsed.token)
        .uri(address)
        .version(Version::HTTP_11)
        .body(body)
        .map_err(|_| Unfit)?;
    *request.headers_mut() = fields(call, &parsed, upstream)?;
    Ok(request)
}

fn fields(call: &Call, parsed: &Parsed<'_, '_>, upstream: &Upstream) -> Result<HeaderMap, Unfit> {
    let mut fields = HeaderMap::new();
    for (name, value) in parsed.fields() {
        // Some take it for a hyphen: then anybody could say what only we may.
        if name.contains('_') {
            continue;
        }
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Unfit)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| Unfit)?;
        fields.append(name, value);
    }
    remove_hop_by_hop(&mut fields);
    for name in [header::EXPECT, FORWARDED_HOST, HTTP2_SETTINGS] {
        fields.remove(name);
    }
    frame(&mut fields, call, parsed);
    if let Some(protocol) = protocol(call, parsed) {
        let protocol = HeaderValue::from_bytes(protocol).map_err(|_| Unfit)?;
        fields.insert(header::UPGRADE, protocol);
        fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    // In a target of the absolute form there is the better one (RFC 9112 section 3.2.2).
    if let Some(authority) = parsed.authority() {
        let host = HeaderValue::from_bytes(authority).map_err(|_| Unfit)?;
        fields.insert(header::HOST, host.clone());
        fields.insert(FORWARDED_HOST, host);
    } else {
        // HTTP/1.0 may say nothing.
        let host = HeaderValue::from_str(upstream.authority()).map_err(|_| Unfit)?;
        fields.insert(header::HOST, host);
    }
    add_who_asks(&mut fields, call)?;
    Ok(fields)
}

/// Says where the body ends: once, and in one way.
fn frame(fields: &mut HeaderMap, call: &Call, parsed: &Parsed<'_, '_>) {
    fields.remove(header::CONTENT_LENGTH);
    match call.body_bytes {
        None => {
            let chunked = HeaderValue::from_static("chunked");
            fields.insert(header::TRANSFER_ENCODING, chunked);
        }
        Some(0) if parsed.header("content-length").next().is_none() => {}
        Some(bytes) => {
            fields.insert(header::CONTENT_LENGTH, bytes.into());
        }
    }
}

/// Says who asks: `X-Forwarded-For` and RFC 7239's `Forwarded`, behind what others have said, and `Via` (RFC 9110
/// section 7.6.3).
fn add_who_asks(fields: &mut HeaderMap, call: &Call) -> Result<(), Unfit> {
    let client = call.remote.ip().to_string();
    let host = fields.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.map_or(String::new(), |host| format!(";host=\"{host}\""));
    for (name, value) in [
        (FORWARDED_FOR, client.clone()),
        (header::FORWARDED, format!("for={client}{host};proto=http")),
        (header::VIA, "1.1 xdphttpd".to_owned()),
    ] {
        let earlier = fields.get_all(&name).iter().map(HeaderValue::as_bytes);
        let mut values: Vec<&[u8]> = earlier.collect();
        // What is not ended would swallow ours.
        let quotes = values.iter().flat_map(|value| value.iter());
        if quotes.filter(|&&byte| byte == b'"').count() % 2 > 0 {
            values.clear();
        }
        values.push(value.as_bytes());
        let value = HeaderValue::from_bytes(&values.join(&b", "[..])).map_err(|_| Unfit)?;
        fields.insert(name, value);
    }
    fields.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    Ok(())
}

/// Takes out what concerns one connection, what `Connection` names included.
pub(super) fn remove_hop_by_hop(fields: &mut HeaderMap) {
    let named: Vec<HeaderName> = fields
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        // A client that has these removed would change what the request is.
        if !matches!(*name, header::HOST | header::CONTENT_LENGTH) {
            fields.remove(name);
        }
    }
}
