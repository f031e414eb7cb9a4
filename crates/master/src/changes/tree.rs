//! Directories that are watched by inotify(7), with all that is in them.
//!
//! A watch is of a directory's inode: what is created in it, or moved into or out of it, is followed. Symbolic links to directories
//! are followed, too; the kernel has one watch for an inode, which ends cycles. Of a link to a file the directory is watched in which
//! the file is.

use super::filter::Filter;
use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor},
};
use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};
use tracing::{debug, error, warn};

/// A file is complete when who writes it closes it, or gives it its name; `touch` may change its times alone.
const WATCHED: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_ONLYDIR);
const APPEARS: AddWatchFlags = AddWatchFlags::IN_CREATE.union(AddWatchFlags::IN_MOVED_TO);
const ENDS: AddWatchFlags = AddWatchFlags::IN_DELETE_SELF.union(AddWatchFlags::IN_MOVE_SELF);

/// Besides what else is told of the directory.
const MOVES: AddWatchFlags = AddWatchFlags::IN_MOVE_SELF
    .union(AddWatchFlags::IN_ONLYDIR)
    .union(AddWatchFlags::from_bits_retain(nix::libc::IN_MASK_ADD));

/// A watched directory.
struct Directory {
    path: PathBuf,
    /// Everything in it counts by the filter; otherwise only single files do.
    whole: bool,
}

/// All that is watched.
pub(super) struct Tree {
    inotify: Inotify,
    filter: Filter,
    roots: Vec<PathBuf>,
    /// Those that are not there.
    missing: BTreeSet<PathBuf>,
    /// Files that count whatever the filter says.
    files: BTreeSet<PathBuf>,
    directories: HashMap<WatchDescriptor, Directory>,
    /// What the roots lie in: if it is moved, they are elsewhere.
    above: HashMap<WatchDescriptor, PathBuf>,
    full: bool,
}

impl Tree {
    /// Watches these directories, and single files.
    pub(super) fn new(filter: Filter, roots: Vec<PathBuf>, files: Vec<PathBuf>) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).map_err(cannot_watch)?;
        let mut tree = Self {
            inotify,
            filter,
            roots,
            missing: BTreeSet::new(),
            files: BTreeSet::new(),
            directories: HashMap::new(),
            above: HashMap::new(),
            full: false,
        };
        for file in files {
            tree.watch_file(&file);
        }
        tree.watch_roots(&mut Vec::new());
        Ok(tree)
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// How many directories are watched.
    pub(super) fn len(&self) -> usize {
        self.directories.len()
    }

    /// Whether a directory that is to be watched is not there.
    pub(super) fn lacks_any(&self) -> bool {
        !self.missing.is_empty()
    }

    /// Looks for directories that were not there; files in them are new.
    pub(super) fn find_missing(&mut self) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        for root in std::mem::take(&mut self.missing) {
            self.watch_root(root, &mut changed);
        }
        changed
    }

    /// The files that changed since the last time.
    pub(super) fn changed(&mut self) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        // Nothing is left, or the next turn reads on.
        while let Ok(events) = self.inotify.read_events() {
            for event in events {
                self.note(&event, &mut changed);
            }
        }
        changed
    }

    fn note(&mut self, event: &InotifyEvent, changed: &mut Vec<PathBuf>) {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            debug!("more files changed than the kernel could tell: all directories are read again");
            changed.push(PathBuf::from("many files"));
            return self.begin_again();
        }
        if event.name.is_none() && event.mask.intersects(ENDS) {
            self.note_move_above(event);
        }
        let Some(directory) = self.directories.get(&event.wd) else { return };
        let (whole, parent) = (directory.whole, directory.path.clone());
        let Some(name) = &event.name else { return self.note_end(event, parent, whole) };
        let path = parent.join(name);
        let is_directory = event.mask.contains(AddWatchFlags::IN_ISDIR);
        if self.files.contains(&path) && !event.mask.contains(AddWatchFlags::IN_CREATE) {
            changed.push(path);
        } else if !whole {
            self.note_exchange(&parent, &path, event.mask, changed);
        } else if event.mask.intersects(APPEARS) && (is_directory || path.is_dir()) {
            if self.filter.enters(&path) {
                self.enter(path, changed);
            }
        } else if is_directory {
            if event.mask.contains(AddWatchFlags::IN_MOVED_FROM) && self.leave(&path) {
                changed.push(path);
            }
        } else if self.filter.counts(&path) && !is_unfinished(&path, event.mask) {
            self.follow_link(&path);
            changed.push(path);
        }
    }

    /// A directory is no longer there, or elsewhere.
    fn note_end(&mut self, event: &InotifyEvent, path: PathBuf, whole: bool) {
        if event.mask.contains(AddWatchFlags::IN_IGNORED) {
            self.directories.remove(&event.wd);
        }
        if whole && self.roots.contains(&path) && event.mask.intersects(ENDS) {
            self.miss(path);
        }
    }

    /// A directory that roots lie in was moved.
    fn note_move_above(&mut self, event: &InotifyEvent) {
        let Some(moved) = self.above.remove(&event.wd) else { return };
        let roots: Vec<_> =
            self.roots.iter().filter(|root| **root != moved && root.starts_with(&moved)).cloned().collect();
        roots.into_iter().for_each(|root| self.miss(root));
    }

    fn miss(&mut self, root: PathBuf) {
        if self.missing.insert(root.clone()) {
            warn!(path = %root.display(), "a directory that is watched for changes is gone: it is looked for");
            self.leave(&root);
        }
    }

    /// Has moves of the directories that a root lies in told; of those that may not be read they are not.
    fn watch_above(&mut self, root: &Path) {
        for directory in root.ancestors().skip(1) {
            if let Ok(watch) = self.inotify.add_watch(directory, MOVES) {
                self.above.insert(watch, directory.to_owned());
            }
        }
    }

    /// Where single files count: a link of the directory that they lie behind was exchanged, as Kubernetes does with `..data`.
    fn note_exchange(&self, parent: &Path, path: &Path, mask: AddWatchFlags, changed: &mut Vec<PathBuf>) {
        if mask.contains(AddWatchFlags::IN_MOVED_TO) && path.is_symlink() {
            changed.extend(self.files.iter().filter(|file| file.parent() == Some(parent)).cloned());
        }
    }

    /// Directories may have been moved, which was not told: what they were called counts no more.
    fn begin_again(&mut self) {
        self.directories.clear();
        self.above.clear();
        for file in self.files.clone() {
            self.watch_file(&file);
        }
        self.watch_roots(&mut Vec::new());
    }

    fn watch_roots(&mut self, changed: &mut Vec<PathBuf>) {
        for root in self.roots.clone() {
            self.watch_root(root, changed);
        }
    }

    fn watch_root(&mut self, root: PathBuf, changed: &mut Vec<PathBuf>) {
        if root.is_dir() {
            self.watch_above(&root);
            self.enter(root, changed);
        } else {
            self.missing.insert(root);
        }
    }

    /// Watches a directory and all in it; files that count are new. Watched first, read then: nothing is missed.
    fn enter(&mut self, directory: PathBuf, changed: &mut Vec<PathBuf>) {
        let mut left = vec![directory];
        while let Some(directory) = left.pop() {
            if !self.watch(&directory, true) {
                continue;
            }
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                let path = entry.path();
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() || kind.is_symlink() && path.is_dir() {
                    if self.filter.enters(&path) {
                        left.push(path);
                    }
                } else if self.filter.counts(&path) {
                    self.follow_link(&path);
                    changed.push(path);
                }
            }
        }
    }

    /// Ends the watches of a directory that was moved away, and of all in it; whether there were any.
    fn leave(&mut self, directory: &Path) -> bool {
        let inside = self.directories.iter().filter(|(_, watched)| watched.path.starts_with(directory));
        let inside: Vec<_> = inside.map(|(watch, _)| *watch).collect();
        for watch in &inside {
            self.directories.remove(watch);
            // It ended by itself if the directory was removed.
            let _ = self.inotify.rm_watch(*watch);
        }
        !inside.is_empty()
    }

    /// Watches one directory; whether it was not watched before.
    fn watch(&mut self, directory: &Path, whole: bool) -> bool {
        match self.inotify.add_watch(directory, WATCHED) {
            Ok(watch) => {
                let known = self.directories.get(&watch).is_some_and(|known| known.whole || !whole);
                if !known {
                    self.directories.insert(watch, Directory { path: directory.to_owned(), whole });
                }
                !known
            }
            Err(Errno::ENOSPC) => {
                self.tell_full();
                false
            }
            Err(error) => {
                debug!(path = %directory.display(), %error, "a directory cannot be watched");
                false
            }
        }
    }

    fn tell_full(&mut self) {
        if std::mem::replace(&mut self.full, true) {
            return;
        }
        let limit = fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").unwrap_or_default();
        error!(
            watched = self.directories.len(),
            limit = limit.trim(),
            hint = "raise it (sysctl fs.inotify.max_user_watches=524288), or leave directories out with --reload-paths or \
                    --reload-ignore-dirs",
            "not all directories are watched for changes: this user has no inotify watches left"
        );
    }

    /// Watches a file by its directory, and where it lies if it is a link.
    fn watch_file(&mut self, file: &Path) {
        let Ok(path) = std::path::absolute(file) else { return };
        if let Some(parent) = path.parent() {
            self.watch(parent, false);
        }
        self.follow_link(&path);
        self.files.insert(path);
    }

    fn follow_link(&mut self, path: &Path) {
        if !path.is_symlink() {
            return;
        }
        if let Ok(target) = path.canonicalize()
            && target.is_file()
            && let Some(parent) = target.parent()
        {
            self.watch(parent, false);
            self.files.insert(target);
        }
    }
}

/// A file that was created is written now, and told when it is closed; a link to one is complete.
fn is_unfinished(path: &Path, mask: AddWatchFlags) -> bool {
    mask.contains(AddWatchFlags::IN_CREATE)
        && path.symlink_metadata().is_ok_and(|found| found.is_file() && found.nlink() == 1)
}

/// What is wrong, and what to do.
fn cannot_watch(error: Errno) -> io::Error {
    let hint = match error {
        Errno::EMFILE => {
            ": raise the limit (sysctl fs.inotify.max_user_instances=1024), or stop other programs that watch files"
        }
        _ => "",
    };
    io::Error::other(format!("files cannot be watched for --reload ({}){hint}", error.desc()))
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
