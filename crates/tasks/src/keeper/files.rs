//! Whether the queue's files are still where they were: tools that clean up and deployments remove and replace them while they are used. The kernel
//! says so (inotify(7)), so that nothing is looked at again and again.

use super::place::Place;
use hostler_sys::own_file::Inode;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::{
    ffi::OsString,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};
use tracing::debug;

/// What a keeper has open, by its names.
#[derive(Debug)]
pub(super) struct Files {
    /// The database and what is beside it, but for the socket.
    all: Vec<(Option<Inode>, PathBuf)>,
    notices: Option<Inotify>,
}

/// What has become of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// They are there.
    All,
    /// Some were removed, and none is in the database's place.
    Removed,
    /// Another file is in the database's place.
    Replaced,
}

impl Files {
    /// Those of a queue that is open, and its socket.
    pub(super) fn of(place: &Place) -> Self {
        let with_inode = |path: PathBuf| (Inode::of(&path).ok(), path);
        let all: Vec<_> = place.open_files().into_iter().map(with_inode).collect();
        let names = all.iter().map(|(_, path)| path.as_path()).chain([place.socket.as_path()]);
        let notices = notices(names).inspect_err(
            |error| debug!(%error, "the task queue's files are not watched: what removes them is not noticed"),
        );
        Self { all, notices: notices.ok() }
    }

    /// Readable when something may have happened to them.
    pub(super) fn notices(&self) -> Option<BorrowedFd<'_>> {
        self.notices.as_ref().map(AsFd::as_fd)
    }

    /// Whether the file of this name is the one that is open.
    pub(super) fn is_ours(&self, path: &Path) -> bool {
        let there = Inode::of(path).ok();
        there.is_some() && self.all.iter().any(|(inode, own)| own == path && *inode == there)
    }

    /// Looks at them.
    pub(super) fn look(&self) -> Found {
        if let Some(notices) = &self.notices {
            while notices.read_events().is_ok_and(|events| !events.is_empty()) {}
        }
        let is_there = |(inode, path): &(Option<Inode>, PathBuf)| Inode::of(path).ok() == *inode;
        if self.all.iter().all(is_there) {
            return Found::All;
        }
        // The database is the first of them.
        let (inode, database) = &self.all[0];
        match Inode::of(database).ok() {
            there if there.is_some() && there != *inode => Found::Replaced,
            _ => Found::Removed,
        }
    }
}

/// Told of what happens to these files themselves, and to their directory's name; not of other files in it.
fn notices<'a>(names: impl Iterator<Item = &'a Path>) -> nix::Result<Inotify> {
    let notices = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let own = AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_DELETE_SELF;
    for name in names {
        // The end of a name of a file that is open changes only the number of its links.
        notices.add_watch(name, own | AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_DONT_FOLLOW)?;
        if let Some(directory) = name.parent() {
            notices.add_watch(directory, own)?;
        }
    }
    Ok(notices)
}

/// The name of a file beside this one.
pub(super) fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(ending);
    name.into()
}
