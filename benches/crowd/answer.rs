//! A request, and the answer compared with the file byte by byte.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest response head understood, and the least to read into, bytes.
pub const HEAD_BYTES: usize = 2 * 1024;
/// Fields of a response head understood.
const HEAD_FIELDS: usize = 32;

/// A file as the server must send it.
pub struct File {
    /// The GET for it, keeping the connection.
    pub keep: Vec<u8>,
    /// The GET for it, ending the connection.
    pub close: Vec<u8>,
    /// Its content.
    pub body: Vec<u8>,
}

impl File {
    /// The file at `path`, which begins with a slash, below `root`.
    pub fn read(root: &Path, path: &str, host: Ipv4Addr) -> io::Result<File> {
        let below = root.join(path.trim_start_matches('/'));
        let body = std::fs::read(&below)
            .map_err(|error| io::Error::other(format!("{}: {error}", below.display())))?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n");
        Ok(File {
            keep: format!("{head}\r\n").into_bytes(),
            close: format!("{head}Connection: close\r\n\r\n").into_bytes(),
            body,
        })
    }

    /// Sends `request` (one of the two) and reads the whole answer, through
    /// `buffer`, of [`HEAD_BYTES`] or more.
    pub async fn fetch(
        &self,
        stream: &mut TcpStream,
        request: &[u8],
        buffer: &mut [u8],
    ) -> io::Result<()> {
        stream.write_all(request).await?;
        check(stream, &self.body, buffer).await
    }
}

/// Reads one response with status 200 whose body must be `want`.
async fn check(
    stream: &mut (impl AsyncRead + Unpin),
    want: &[u8],
    buffer: &mut [u8],
) -> io::Result<()> {
    let (head, filled) = read_head(stream, want.len(), buffer).await?;
    let mut rest = strip(want, &buffer[head..filled])?;
    while !rest.is_empty() {
        let read = stream.read(buffer).await?;
        if read == 0 {
            return Err(wrong(format!("the body ends {} bytes early", rest.len())));
        }
        rest = strip(rest, &buffer[..read])?;
    }
    Ok(())
}

/// Reads until the head is whole; its length, and that of all read so far.
async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
    body_bytes: usize,
    buffer: &mut [u8],
) -> io::Result<(usize, usize)> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Err(wrong(format!("the end after {filled} bytes of a head")));
        }
        filled += read;
        if let Some(head) = judge_head(&buffer[..filled], body_bytes)? {
            return Ok((head, filled));
        }
    }
}

/// The length of a head that promises 200 and so many bytes; `None` while it
/// isn't whole.
fn judge_head(bytes: &[u8], body_bytes: usize) -> io::Result<Option<usize>> {
    let mut fields = [httparse::EMPTY_HEADER; HEAD_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head) = response.parse(bytes).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let length = response
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))
        .map(|field| String::from_utf8_lossy(field.value).into_owned());
    if response.code != Some(200) || length.as_deref() != Some(&body_bytes.to_string()) {
        let code = response.code.unwrap_or_default();
        return Err(wrong(format!("{code} with Content-Length {length:?}")));
    }
    Ok(Some(head))
}

/// What of `want` is left after `got`, which must be its beginning.
fn strip<'a>(want: &'a [u8], got: &[u8]) -> io::Result<&'a [u8]> {
    want.strip_prefix(got)
        .ok_or_else(|| wrong("the body isn't the file's".to_owned()))
}

fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";

    #[tokio::test]
    async fn only_the_file_itself_is_an_answer() {
        for (name, answer, good) in [
            ("whole", format!("{HEAD}body"), true),
            ("short", format!("{HEAD}bod"), false),
            ("other", format!("{HEAD}bodY"), false),
            ("more", format!("{HEAD}body!"), false),
            ("half a head", HEAD[..30].to_owned(), false),
            ("another length", HEAD.replace('4', "5") + "body!", false),
            ("another status", HEAD.replace("200", "404") + "body", false),
            ("no HTTP", "what?\r\n\r\n".to_owned(), false),
        ] {
            let mut stream = answer.as_bytes();
            let got = check(&mut stream, b"body", &mut [0; HEAD_BYTES]).await;
            assert_eq!(got.is_ok(), good, "{name}: {got:?}");
        }
    }
}
