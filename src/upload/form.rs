//! Files from a browser's form (RFC 7578).

use super::draft::Draft;
use super::place::Place;
use super::{Done, Inbox, Refusal};
use crate::exchange::{Body, Broken, Call, Said, Voice};
use crate::http::Status;
use crate::http::wishes::Wishes;
use crate::site::resolve::Dotfiles;
use futures_util::stream;
use multer::{Field, Multipart};
use std::sync::Arc;

/// Files that one form may have.
const MAX_FILES: usize = 64;

/// What separates the parts of a form, if the type of the content is that of one.
pub(super) fn boundary<'b>(mut content_type: impl Iterator<Item = &'b [u8]>) -> Option<String> {
    let text = str::from_utf8(content_type.next()?).ok()?;
    multer::parse_boundary(text).ok()
}

impl Inbox {
    /// Puts the files of a form beneath the directory that it is sent to, all of them when all are there.
    pub(super) async fn take_form(
        &self,
        call: &Call,
        boundary: String,
        body: Body,
        voice: &Voice,
    ) -> Result<Done, Refusal> {
        if call.body_bytes == Some(0) {
            return Err(Status::BadRequest.into());
        }
        // What is around the files is not much.
        if call
            .body_bytes
            .is_some_and(|bytes| bytes > self.max_bytes.saturating_add(1 << 20))
        {
            return Err(Status::ContentTooLarge.into());
        }
        let directory = Call {
            name: as_directory(&call.name),
            ..call.clone()
        };
        let directory = Arc::new(self.place_to_put(&directory).await?);
        let hides = self.roots.get(call.host).map(|root| root.dotfiles());
        voice.say(Said::Continue).await?;
        let pieces = stream::unfold(body, |mut body| async move {
            let piece = body.next().await?;
            Some((piece, body))
        });
        let mut parts = Multipart::new(pieces, boundary);
        let mut drafts = Vec::new();
        let mut left = self.max_bytes;
        while let Some(mut field) = parts.next_field().await.map_err(refusal)? {
            let Some(name) = field.file_name().map(file_name) else {
                // What else a form says is of no interest, and as little is kept of it.
                while field.chunk().await.map_err(refusal)?.is_some() {}
                continue;
            };
            let is_hidden = name.starts_with(b".") && hides != Some(Dotfiles::Served);
            if name.is_empty() {
                // A field for a file, and none was chosen.
                continue;
            }
            if is_hidden || name == b"." || name == b".." {
                return Err(Status::Forbidden.into());
            }
            if drafts.len() == MAX_FILES {
                return Err(Status::ContentTooLarge.into());
            }
            drafts.push(
                self.take_file(&directory, name, &mut field, &mut left)
                    .await?,
            );
        }
        if drafts.is_empty() {
            return Err(Status::BadRequest.into());
        }
        let mut names = Vec::new();
        for (place, draft) in drafts {
            names.push(place.name.clone());
            self.step(move || draft.put(&place, &Wishes::default()))
                .await?;
        }
        Ok(Done::Form(names))
    }

    async fn take_file(
        &self,
        directory: &Arc<Place>,
        name: Vec<u8>,
        field: &mut Field<'_>,
        left: &mut u64,
    ) -> Result<(Place, Draft), Refusal> {
        let directory = directory.clone();
        let begin = move || {
            let directory = rustix::io::fcntl_dupfd_cloexec(&directory.directory, 0)?;
            let place = Place { directory, name };
            place.current()?;
            let draft = Draft::new(&place)?;
            Ok((place, draft))
        };
        let (place, mut draft) = self.step(begin).await?;
        while let Some(piece) = field.chunk().await.map_err(refusal)? {
            *left = left
                .checked_sub(piece.len() as u64)
                .ok_or(Status::ContentTooLarge)?;
            draft = self.step(move || draft.write(&piece)).await?;
        }
        Ok((place, draft))
    }
}

/// The name with a slash behind it.
fn as_directory(name: &[u8]) -> Box<[u8]> {
    match name {
        [] | [.., b'/'] => name.into(),
        name => [name, b"/"].concat().into(),
    }
}

/// The last component of what a client calls its file: some say where it was, in their way.
fn file_name(said: &str) -> Vec<u8> {
    let name = said.rsplit(['/', '\\']).next().unwrap_or_default();
    name.bytes()
        .filter(|byte| !byte.is_ascii_control())
        .collect()
}

fn refusal(error: multer::Error) -> Refusal {
    if let multer::Error::StreamReadFailed(cause) = &error
        && cause.is::<Broken>()
    {
        return Refusal::Gone;
    }
    Status::BadRequest.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        for (said, name) in [
            ("a.txt", "a.txt"),
            ("C:\\dir\\报告.pdf", "报告.pdf"),
            ("/etc/passwd", "passwd"),
            ("../..", ".."),
            ("a/", ""),
            ("a\0b\n", "ab"),
        ] {
            assert_eq!(file_name(said), name.as_bytes(), "{said:?}");
        }
    }

    #[test]
    fn boundaries() {
        for (content_type, expected) in [
            (&[&b"multipart/form-data; boundary=x"[..]][..], Some("x")),
            (&[b"multipart/form-data; boundary=\"a b\""], Some("a b")),
            (&[b"multipart/mixed; boundary=x"], None),
            (&[b"multipart/form-data"], None),
            (&[b"text/plain"], None),
            (&[b"\xff"], None),
            (&[], None),
        ] {
            let found = boundary(content_type.iter().copied());
            assert_eq!(found.as_deref(), expected, "{content_type:?}");
        }
    }
}
