//! Changes of files, which `--reload` follows. They are gathered until nothing changes for a moment: an editor's save takes several
//! steps, and a checkout writes many files.
//!
//! Files: `filter` which files count, `tree` the directories that are watched.

mod filter;
mod tree;

use filter::Filter;
use hostler_settings::Settings;
use std::{
    io,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tracing::info;
use tree::Tree;

/// What changes without a pause is followed nevertheless, after this time.
const LONGEST: Duration = Duration::from_secs(2);
/// How often a directory that is gone is looked for.
const SEARCH: Duration = Duration::from_millis(500);
/// How many files are named.
const NAMED: usize = 3;

/// Watches files.
pub(crate) struct Changes {
    tree: Tree,
    delay: Duration,
    pending: Option<Pending>,
    searched_at: Instant,
}

/// Changes that have not been told yet.
struct Pending {
    first: Instant,
    last: Instant,
    files: Vec<PathBuf>,
}

impl Changes {
    /// What the options say; `None` without `--reload`.
    pub(crate) fn new(settings: &Settings) -> io::Result<Option<Self>> {
        let options = &settings.auto_reload;
        if !options.enabled {
            return Ok(None);
        }
        let here = std::env::current_dir()?;
        let root = || settings.app.working_dir.as_ref().map_or_else(|| here.clone(), |dir| here.join(dir));
        let given = options.paths.iter().map(|path| here.join(path));
        let (files, mut roots): (Vec<_>, Vec<_>) = given.partition(|path| path.is_file());
        if roots.is_empty() {
            roots.push(root());
        }
        let configured =
            settings.program.config.iter().chain(&settings.app.env_files).map(|path| here.join(path));
        let files = files.into_iter().chain(configured).collect();
        let own =
            [&settings.process.pid_file, &settings.log.file, &settings.log.access_file, &settings.listen.uds];
        let filter = Filter::new(options).without(own.into_iter().flatten().map(|path| here.join(path)));
        let tree = Tree::new(filter, roots.clone(), files)?;
        let paths = roots.iter().map(|root| root.display().to_string()).collect::<Vec<_>>().join(", ");
        info!(paths, directories = tree.len(), "watching files for changes");
        Ok(Some(Self { tree, delay: options.tick, pending: None, searched_at: Instant::now() }))
    }

    /// What to wait for.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.tree.descriptor()
    }

    /// When [`Changes::take`] has something to do if no file changes.
    pub(crate) fn next(&self) -> Option<Instant> {
        let due = self.pending.as_ref().map(|pending| pending.due(self.delay));
        let search = self.tree.lacks_any().then(|| self.searched_at + SEARCH);
        due.into_iter().chain(search).min()
    }

    /// What changed, if anything did and nothing does any more: the names of some files.
    pub(crate) fn take(&mut self) -> Option<String> {
        let now = Instant::now();
        let mut changed = self.tree.changed();
        if self.tree.lacks_any() && now >= self.searched_at + SEARCH {
            self.searched_at = now;
            changed.extend(self.tree.find_missing());
        }
        if !changed.is_empty() {
            let pending =
                self.pending.get_or_insert_with(|| Pending { first: now, last: now, files: Vec::new() });
            pending.last = now;
            pending.files.append(&mut changed);
        }
        let pending = self.pending.take_if(|pending| now >= pending.due(self.delay))?;
        Some(pending.told())
    }
}

impl Pending {
    fn due(&self, delay: Duration) -> Instant {
        (self.last + delay).min(self.first + LONGEST.max(delay))
    }

    fn told(mut self) -> String {
        self.files.sort();
        self.files.dedup();
        let here = std::env::current_dir().unwrap_or_default();
        let shown =
            |path: &PathBuf| path.strip_prefix(&here).map_or(path.as_path(), Path::new).display().to_string();
        let mut names: Vec<_> = self.files.iter().take(NAMED).map(shown).collect();
        match self.files.len().saturating_sub(NAMED) {
            0 => {}
            more => names.push(format!("{more} more")),
        }
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::Pending;
    use std::time::{Duration, Instant};

    #[test]
    fn changes_are_followed_after_a_pause_and_without_one_at_last() {
        let first = Instant::now();
        let after = |millis| first + Duration::from_millis(millis);
        let pending = |last| Pending { first, last, files: Vec::new() };
        let delay = Duration::from_millis(50);
        assert_eq!(pending(first).due(delay), after(50));
        assert_eq!(pending(after(1000)).due(delay), after(1050));
        assert_eq!(pending(after(1990)).due(delay), after(2000));
        assert_eq!(pending(first).due(Duration::from_secs(5)), after(5000));
    }

    #[test]
    fn some_files_are_named() {
        let now = Instant::now();
        let files = ["/b", "/a", "/b", "/d", "/c", "/e"].map(Into::into).to_vec();
        let told = Pending { first: now, last: now, files }.told();
        assert_eq!(told, "/a, /b, /c, 2 more");
    }
}
