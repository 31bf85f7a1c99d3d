//! What the client is told when it was done.

use super::Done;
use crate::exchange::{Call, Gone, Head, Said, Voice};
use crate::site::rules::PATH_ESCAPES;
use bytes::Bytes;
use percent_encoding::percent_encode;

/// Says it.
pub(super) async fn say(voice: &Voice, call: &Call, done: Done) -> Result<(), Gone> {
    let (head, page) = match done {
        Done::Put { etag, is_new: true } => {
            let lines = format!("ETag: {etag}\r\nLocation: {}\r\n", path(&call.name));
            (head(201, "Created", &lines, Some(0)), String::new())
        }
        Done::Put {
            etag,
            is_new: false,
        } => {
            let lines = format!("ETag: {etag}\r\n");
            (head(204, "No Content", &lines, None), String::new())
        }
        Done::Deleted => (head(204, "No Content", "", None), String::new()),
        Done::Form(names) => {
            let page = page(&call.name, &names);
            let fields =
                "Content-Type: text/html; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n";
            let lines = match &names[..] {
                [only] => format!("{fields}Location: {}\r\n", path(&beneath(&call.name, only))),
                _ => fields.to_owned(),
            };
            (head(201, "Created", &lines, Some(page.len() as u64)), page)
        }
    };
    voice.say(Said::Head(head)).await?;
    if !page.is_empty() {
        voice.say(Said::Data(Bytes::from(page))).await?;
    }
    voice.say(Said::End).await
}

fn head(status: u16, reason: &str, lines: &str, length: Option<u64>) -> Head {
    Head {
        status,
        lines: format!("HTTP/1.1 {status} {reason}\r\nServer: xdphttpd\r\n{lines}").into_bytes(),
        length,
        has_body: length.is_some_and(|length| length > 0),
        has_date: false,
    }
}

fn path(name: &[u8]) -> String {
    format!("/{}", percent_encode(name, PATH_ESCAPES))
}

fn beneath(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory {
        [] | [.., b'/'] => [directory, name].concat(),
        directory => [directory, b"/", name].concat(),
    }
}

/// A page with a link to each file; names are shown as addresses, in which nothing is markup.
fn page(directory: &[u8], names: &[Vec<u8>]) -> String {
    let links = names.iter().map(|name| {
        let path = path(&beneath(directory, name));
        format!("<li><a href=\"{path}\">{path}</a></li>\n")
    });
    let links: String = links.collect();
    format!(
        "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>Stored</title>\n<h1>Stored</h1>\n<ul>\n{links}</ul>\n"
    )
}
