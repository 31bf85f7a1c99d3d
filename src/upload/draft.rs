//! A file that is being written and not yet in its place.

use super::Trouble;
use super::lanes::{Decision, Lane};
use super::place::Place;
use super::unseen::Unseen;
use crate::http::wishes::Wishes;
use rustix::fs::fsync;
use rustix::io::Errno;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

/// A file that nobody sees. All that it does blocks, but its end.
#[derive(Debug)]
pub(super) struct Draft {
    unseen: Option<Unseen>,
    /// In which its end takes place.
    lane: Arc<Lane>,
}

impl Draft {
    /// An empty one for `place`.
    pub(super) fn new(place: &Place) -> Result<Draft, Trouble> {
        let unseen = Some(Unseen::new(place)?);
        let lane = place.lane.clone();
        Ok(Draft { unseen, lane })
    }

    /// Adds to it.
    pub(super) fn write(mut self, bytes: &[u8]) -> Result<Draft, Trouble> {
        match &mut self.unseen {
            Some(unseen) => unseen.write(bytes)?,
            None => return Err(Errno::BADF.into()),
        }
        Ok(self)
    }

    /// Writes what is left to the disk, so that putting it takes no time.
    pub(super) fn sync(self) -> Result<Draft, Trouble> {
        if let Some(unseen) = &self.unseen {
            unseen.sync()?;
        }
        Ok(self)
    }
}

/// Puts drafts in their places in one directory, if the conditions still hold for all of them: their entity tags, and
/// whether nothing was there before. Only what fails while they get their names leaves those before it.
pub(super) fn put_all(
    drafts: Vec<(Arc<Place>, Draft)>,
    wishes: &Wishes<'_>,
    decision: &Decision,
) -> Result<Vec<(String, bool)>, Trouble> {
    let Some((first, _)) = drafts.first() else {
        return Ok(Vec::new());
    };
    let first = first.clone();
    let unseen = drafts.into_iter().map(|(place, mut draft)| {
        let unseen = draft.unseen.take().ok_or(Errno::BADF)?;
        unseen.sync()?;
        Ok((place, unseen))
    });
    let mut unseen = unseen.collect::<Result<Vec<_>, Errno>>()?;
    // Else another request could change what this one has judged.
    let alone = first.lane.alone();
    let judged = unseen.iter().map(|(place, _)| place.judge(wishes));
    let before = judged.collect::<Result<Vec<_>, Trouble>>()?;
    if !decision.take() {
        return Err(Trouble::TooLate);
    }
    let must_be_new = wishes.if_none_match.as_deref() == Some(b"*");
    for (place, unseen) in &mut unseen {
        unseen.name_it(place, must_be_new)?;
    }
    drop(alone);
    // What a crash might undo was not put.
    fsync(&first.directory)?;
    let put = unseen.iter().zip(before);
    put.map(|((_, unseen), before)| Ok((unseen.etag()?, before.is_none())))
        .collect()
}

impl Drop for Draft {
    /// To close a file may take as long as to write it: not here, if this is a task.
    fn drop(&mut self) {
        let Some(unseen) = self.unseen.take() else {
            return;
        };
        let lane = self.lane.clone();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                // Never closed: there is a turn some day, unless a file system hangs for ever.
                let turn = lane.turn().await;
                spawn_blocking(move || drop((unseen, turn)));
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::wishes::Wishes;
    use crate::upload::lanes::Lanes;
    use rustix::fs::{CWD, Mode, OFlags, openat};
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    fn place(directory: &Path, name: &str) -> Arc<Place> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        Arc::new(Place {
            directory: openat(CWD, directory, flags, Mode::empty()).expect("a directory"),
            name: name.as_bytes().to_vec(),
            lane: Lanes::new(Duration::MAX).of(None),
        })
    }

    /// How a draft is begun: without a name if possible, or with one.
    type Begin = fn(&Place) -> Result<Unseen, Trouble>;

    fn draft(place: &Arc<Place>, begin: Begin, text: &str) -> (Arc<Place>, Draft) {
        let unseen = Some(begin(place).expect("begun"));
        let lane = place.lane.clone();
        let draft = Draft { unseen, lane }.write(text.as_bytes());
        (place.clone(), draft.expect("written"))
    }

    fn new_only() -> Wishes<'static> {
        Wishes {
            if_none_match: Some(b"*".into()),
            ..Wishes::default()
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("a directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = names
            .map(|name| name.into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn with_a_name_or_without() {
        let new = new_only();
        for begin in [Unseen::new as Begin, Unseen::hidden] {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path();
            let write = |name: &str, text: &str, wishes: &Wishes<'_>| {
                let draft = draft(&place(path, name), begin, text);
                assert!(
                    !names(path)
                        .iter()
                        .any(|name| !name.starts_with('.') && name != "a" && name != "d")
                );
                let put = put_all(vec![draft], wishes, &Decision::default());
                put.map(|put| put[0].1)
            };
            let read = || fs::read_to_string(path.join("a")).expect("a file");
            let any = Wishes::default();
            assert_eq!(write("a", "one", &new), Ok(true));
            assert_eq!(
                (read(), write("a", "two", &any)),
                ("one".to_owned(), Ok(false))
            );
            assert_eq!(write("a", "three", &new), Err(Trouble::Condition));
            assert_eq!(
                (read(), names(path)),
                ("two".to_owned(), vec!["a".to_owned()])
            );
            // Somebody else was faster than the look at what is there.
            let place = place(path, "a");
            let mut unseen = begin(&place).expect("begun");
            assert_eq!(unseen.name_it(&place, true), Err(Trouble::Condition));
            drop(unseen);
            assert_eq!(
                (read(), names(path)),
                ("two".to_owned(), vec!["a".to_owned()])
            );
            // It was given up meanwhile.
            let late = Decision::default();
            assert!(late.take());
            let given_up = put_all(vec![draft(&place, begin, "four")], &any, &late);
            assert_eq!(given_up, Err(Trouble::TooLate));
            assert_eq!(place.delete(&any, &late), Err(Trouble::TooLate));
            assert_eq!(
                (read(), names(path)),
                ("two".to_owned(), vec!["a".to_owned()])
            );
            drop(begin(&place).expect("begun"));
            assert_eq!(names(path), ["a"], "nothing is left");
            fs::create_dir(path.join("d")).expect("a directory");
            assert_eq!(write("d", "file", &any), Err(Errno::ISDIR.into()));
            assert_eq!(names(path), ["a", "d"]);
        }
    }

    #[test]
    fn all_of_them_or_none() {
        for begin in [Unseen::new as Begin, Unseen::hidden] {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path();
            let put = |wishes: &Wishes<'_>| {
                let drafts = ["a", "b"].map(|name| draft(&place(path, name), begin, name));
                // Meanwhile somebody else has put the second.
                fs::write(path.join("b"), "theirs").expect("a file");
                put_all(drafts.into(), wishes, &Decision::default())
            };
            let read = |name: &str| fs::read_to_string(path.join(name)).expect("a file");
            assert_eq!(put(&new_only()), Err(Trouble::Condition));
            assert_eq!(
                (names(path), read("b")),
                (vec!["b".into()], "theirs".into())
            );
            let put = put(&Wishes::default()).expect("put");
            assert_eq!(
                put.iter().map(|put| put.1).collect::<Vec<_>>(),
                [true, false]
            );
            assert_eq!(
                (names(path), read("a"), read("b")),
                (vec!["a".into(), "b".into()], "a".into(), "b".into())
            );
        }
        assert_eq!(
            put_all(Vec::new(), &new_only(), &Decision::default()),
            Ok(Vec::new())
        );
    }
}
