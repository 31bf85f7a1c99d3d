//! Files from a browser's form (RFC 7578).

use super::draft::{Draft, put_all};
use super::lanes::Decision;
use super::place::Place;
use super::{Done, Inbox, Refusal};
use crate::exchange::{Body, Broken, Call, PIECE_BYTES, PIECES, Said, Voice};
use crate::http::Status;
use crate::http::wishes::Wishes;
use crate::site::resolve::Dotfiles;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use multer::{Constraints, Field, Multipart, SizeLimit};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Files that one form may have.
const MAX_FILES: usize = 64;

/// What separates the parts of a form, if the type of the content is that of one.
pub(super) fn boundary<'b>(mut content_type: impl Iterator<Item = &'b [u8]>) -> Option<String> {
    let text = str::from_utf8(content_type.next()?).ok()?;
    multer::parse_boundary(text).ok()
}

/// What of a form may be in memory that is not of a file: the piece that a part's head is in, and what of them has come
/// already.
const AROUND_BYTES: usize = 64 * 1024 + PIECES * PIECE_BYTES;
/// The same in all.
const AROUND_ALL_BYTES: u64 = 1 << 20;

/// Why the parser gets no more of a form.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("what is around the files of a form is too long")]
    TooLong,
}

/// A form that is being received.
pub(super) struct Form<'f> {
    inbox: &'f Inbox,
    call: &'f Call,
    wishes: Arc<Wishes<'static>>,
    /// Bytes that may come before the next file begins; while one comes, any number.
    around_bytes: Arc<AtomicUsize>,
    /// Bytes that the files may still have.
    left_bytes: u64,
}

impl<'f> Form<'f> {
    /// One that is sent by `call`, with conditions for each of its files.
    pub(super) fn new(inbox: &'f Inbox, call: &'f Call, wishes: Wishes<'static>) -> Form<'f> {
        Form {
            inbox,
            call,
            wishes: Arc::new(wishes),
            around_bytes: Arc::new(AtomicUsize::new(AROUND_BYTES)),
            left_bytes: inbox.max_bytes,
        }
    }

    /// Puts its files beneath the directory that it is sent to: all of them when all are there and none was refused.
    pub(super) async fn take(
        mut self,
        boundary: String,
        body: Body,
        voice: &Voice,
    ) -> Result<Done, Refusal> {
        let most = self.left_bytes.saturating_add(AROUND_ALL_BYTES);
        match self.call.body_bytes {
            Some(0) => return Err(Status::BadRequest.into()),
            Some(bytes) if bytes > most => return Err(Status::ContentTooLarge.into()),
            _ => {}
        }
        let directory = Call {
            name: as_directory(&self.call.name),
            ..self.call.clone()
        };
        let directory = Arc::new(self.inbox.place_to_put(&directory).await?);
        voice.say(Said::Continue).await?;
        let limits = Constraints::new().size_limit(SizeLimit::new().whole_stream(most));
        let mut parts = Multipart::with_constraints(self.pieces(body), boundary, limits);
        let mut drafts: Vec<(Arc<Place>, Draft)> = Vec::new();
        loop {
            self.around_bytes.store(AROUND_BYTES, Ordering::Relaxed);
            let Some(mut field) = parts.next_field().await.map_err(refusal)? else {
                break;
            };
            self.around_bytes.store(usize::MAX, Ordering::Relaxed);
            match field.file_name().map(file_name) {
                // What else a form says is of no interest, nor is a field for a file where none was chosen.
                None => while self.next(&mut field).await?.is_some() {},
                Some(name) if name.is_empty() => {}
                Some(name) => {
                    self.judge(&name, drafts.iter().map(|(place, _)| &place.name[..]))?;
                    drafts.push(self.take_file(&directory, name, &mut field).await?);
                }
            }
        }
        if drafts.is_empty() {
            return Err(Status::BadRequest.into());
        }
        let (lane, wishes) = (directory.lane.clone(), self.wishes);
        let names = drafts.iter().map(|(place, _)| place.name.clone()).collect();
        let put = move |decision: &Decision| put_all(drafts, &wishes, decision);
        lane.decide(put).await.map(|_| Done::Form(names))
    }

    /// The body, as far as the parser may have it.
    fn pieces(&self, body: Body) -> impl Stream<Item = Result<Bytes, Stopped>> + use<> {
        let around = self.around_bytes.clone();
        stream::unfold((body, around), |(mut body, around)| async move {
            let piece = body.next().await?;
            let piece = piece.map_err(Stopped::from).and_then(|piece| {
                let spend = |left: usize| match left {
                    usize::MAX => Some(left),
                    left => left.checked_sub(piece.len()),
                };
                let spent = around.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
                spent.map(|_| piece).map_err(|_| Stopped::TooLong)
            });
            Some((piece, (body, around)))
        })
    }

    /// The next piece of a part.
    async fn next(&mut self, field: &mut Field<'_>) -> Result<Option<Bytes>, Refusal> {
        let piece = field.chunk().await.map_err(refusal)?;
        let len = piece.as_ref().map_or(0, Bytes::len) as u64;
        let left = self.left_bytes.checked_sub(len);
        self.left_bytes = left.ok_or(Status::ContentTooLarge)?;
        Ok(piece)
    }

    /// Whether a file of this name may be put: the form's own name says nothing of that.
    fn judge<'n>(
        &self,
        name: &[u8],
        mut others: impl ExactSizeIterator<Item = &'n [u8]>,
    ) -> Result<(), Refusal> {
        let host = self.inbox.hosts.get(self.call.host);
        let is_hidden = name.starts_with(b".") && host.dotfiles == Dotfiles::Hidden;
        let full_name = [&as_directory(&self.call.name), name].concat();
        let (policy, remote) = (&host.policy, *self.call.remote.ip());
        if is_hidden || matches!(name, b"." | b"..") {
            return Err(Status::Forbidden.into());
        }
        if !policy.lets_through(&self.call.name, &full_name, remote) {
            return Err(Status::Forbidden.into());
        }
        if self.inbox.roots.is_mount_point(self.call.host, &full_name) {
            return Err(Status::Conflict.into());
        }
        if others.len() == MAX_FILES {
            return Err(Status::ContentTooLarge.into());
        }
        match others.any(|other| other == name) {
            true => Err(Status::BadRequest.into()),
            false => Ok(()),
        }
    }

    async fn take_file(
        &mut self,
        directory: &Arc<Place>,
        name: Vec<u8>,
        field: &mut Field<'_>,
    ) -> Result<(Arc<Place>, Draft), Refusal> {
        let (directory, wishes) = (directory.clone(), self.wishes.clone());
        let lane = directory.lane.clone();
        let begin = move || {
            let place = Arc::new(directory.beside(name)?);
            place.judge(&wishes)?;
            let draft = Draft::new(&place)?;
            Ok((place, draft))
        };
        let (place, mut draft) = lane.step(begin).await?;
        while let Some(piece) = self.next(field).await? {
            draft = lane.step(move || draft.write(&piece)).await?;
        }
        draft = lane.step(move || draft.sync()).await?;
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
    match error {
        multer::Error::StreamSizeExceeded { .. } => Status::ContentTooLarge.into(),
        multer::Error::StreamReadFailed(why) => match why.downcast_ref() {
            Some(Stopped::Broken(_)) => Refusal::Gone,
            _ => Status::BadRequest.into(),
        },
        _ => Status::BadRequest.into(),
    }
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
