//! From a name beneath a mount to an open file: what the name stands for, and files that were opened a moment ago.
//!
//! What a name stood for is remembered for [`VALID`], with the open file: later requests for it need no look-up. Its length
//! and its validators are asked of the open file each time, so that a file that is written in place is never sent with
//! those it had before; one that is replaced by another is seen when the time is over. The memory is small, and emptied by
//! a task that runs only while there is something in it.

use super::{content_type, mount::Naming, negotiate::Encoding, path, validators::Stamp};
use hostler_sys::beneath::{Directory, LEADS_OUT};
use http::HeaderValue;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fs::{File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    rc::{Rc, Weak},
    sync::Arc,
    time::{Duration, Instant},
};
use tracing::{error, warn};

/// How long what a name stood for is remembered: less than a second.
const VALID: Duration = Duration::from_millis(500);

/// The shortest time between two lines about files that cannot be opened.
const QUIET: Duration = Duration::from_secs(1);

/// How many names are remembered: those of files, each with up to four descriptors, and others.
const MAX_FILES: usize = 64;
const MAX_OTHERS: usize = 512;

/// The files beneath a directory.
pub(super) struct Store {
    inner: Rc<Inner>,
}

struct Inner {
    path: PathBuf,
    naming: Naming,
    memory: RefCell<Memory>,
    /// A task forgets what is old.
    is_swept: Cell<bool>,
    /// It was said that a link leads out of the directory.
    told_of_links: Cell<bool>,
    /// When it was last said that a file cannot be opened.
    told_of_failure: Cell<Option<Instant>>,
}

#[derive(Default)]
struct Memory {
    directory: Option<(Rc<Directory>, Instant)>,
    names: HashMap<Box<str>, (Lookup, Instant)>,
    files: usize,
}

/// What a name stands for.
#[derive(Clone)]
pub(super) enum Lookup {
    File(Rc<Entry>),
    /// A directory with an index, whose name lacks the slash at its end.
    Directory,
    /// Nothing, or nothing that is served.
    Nothing,
    /// A file that the server may not read.
    Forbidden,
    /// There are no descriptors or there is no memory, or the disk fails.
    Failed,
}

/// A file, and the encoded ones beside it.
pub(super) struct Entry {
    /// Beneath the mount.
    pub(super) name: String,
    pub(super) content_type: HeaderValue,
    plain: Arc<File>,
    encoded: [Option<Arc<File>>; 3],
}

impl Entry {
    /// Whether it was stored in this encoding.
    pub(super) fn has(&self, encoding: Encoding) -> bool {
        self.encoded[encoding as usize].is_some()
    }

    /// Whether it was stored in any.
    pub(super) fn is_encoded(&self) -> bool {
        self.encoded.iter().any(Option::is_some)
    }

    /// The file in this encoding, as it is now.
    pub(super) fn content(&self, encoding: Option<Encoding>) -> io::Result<(Arc<File>, Stamp)> {
        let encoded = encoding.and_then(|encoding| self.encoded[encoding as usize].as_ref());
        let file = encoded.unwrap_or(&self.plain);
        Ok((Arc::clone(file), stamp(&file.metadata()?)))
    }
}

pub(super) fn stamp(about: &Metadata) -> Stamp {
    let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Stamp {
        length: about.len(),
        modified: nanos(about.mtime(), about.mtime_nsec()),
        changed: nanos(about.ctime(), about.ctime_nsec()),
    }
}

impl Store {
    pub(super) fn new(path: PathBuf, naming: Naming) -> Self {
        Self {
            inner: Rc::new(Inner {
                path,
                naming,
                memory: RefCell::default(),
                is_swept: Cell::default(),
                told_of_links: Cell::default(),
                told_of_failure: Cell::default(),
            }),
        }
    }

    /// What a name (decoded, checked) stands for. `is_route`: the name is the route itself, without a slash.
    pub(super) fn look_up(&self, name: &str, is_route: bool) -> Lookup {
        let now = Instant::now();
        if is_route {
            return self.inner.route_itself(now);
        }
        if let Some((found, at)) = self.inner.memory.borrow().names.get(name)
            && now.duration_since(*at) < VALID
        {
            return found.clone();
        }
        let found = self.inner.find(name, now);
        self.inner.memory.borrow_mut().remember(name, &found, now);
        self.keep_swept();
        found
    }

    /// Has a task forget what is old, while there is something.
    fn keep_swept(&self) {
        if tokio::runtime::Handle::try_current().is_err() || self.inner.is_swept.replace(true) {
            return;
        }
        let inner: Weak<Inner> = Rc::downgrade(&self.inner);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(VALID).await;
                let Some(inner) = inner.upgrade() else { return };
                if inner.memory.borrow_mut().forget_old(Instant::now()) {
                    inner.is_swept.set(false);
                    return;
                }
            }
        });
    }
}

impl Inner {
    fn route_itself(&self, now: Instant) -> Lookup {
        match self.find("", now) {
            Lookup::File(_) => Lookup::Directory,
            other => other,
        }
    }

    fn find(&self, name: &str, now: Instant) -> Lookup {
        if !self.naming.hidden && path::is_hidden(name) {
            return Lookup::Nothing;
        }
        let directory = match self.directory(now) {
            Ok(directory) => directory,
            Err(error) => return self.failed("", &error, now),
        };
        match self.open(&directory, name) {
            Ok(lookup) => lookup,
            Err(error) if is_absent(&error) => {
                self.tell_of_link(&error, name);
                self.find_other(&directory, name, now)
            }
            Err(error) => self.failed(name, &error, now),
        }
    }

    /// The directory, opened anew when it was opened some time ago: its name may stand for another by now.
    fn directory(&self, now: Instant) -> io::Result<Rc<Directory>> {
        if let Some((directory, at)) = &self.memory.borrow().directory
            && now.duration_since(*at) < VALID
        {
            return Ok(Rc::clone(directory));
        }
        let directory = Rc::new(Directory::open(&self.path)?);
        self.memory.borrow_mut().directory = Some((Rc::clone(&directory), now));
        Ok(directory)
    }

    fn open(&self, directory: &Directory, name: &str) -> io::Result<Lookup> {
        let (file, about) = directory.open_file(name, self.naming.links)?;
        if about.is_file() {
            return Ok(Lookup::File(Rc::new(self.entry(directory, name, file))));
        }
        let Some(index) = self.naming.index.as_ref().filter(|_| about.is_dir()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let slash = name.is_empty() || name.ends_with('/');
        let index = if slash { format!("{name}{index}") } else { format!("{name}/{index}") };
        let (file, about) = directory.open_file(&index, self.naming.links)?;
        match (about.is_file(), slash) {
            (true, true) => Ok(Lookup::File(Rc::new(self.entry(directory, &index, file)))),
            (true, false) => Ok(Lookup::Directory),
            (false, _) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// What stands for a name that has no file of its own.
    fn find_other(&self, directory: &Directory, name: &str, now: Instant) -> Lookup {
        let last = name.rsplit('/').next().unwrap_or_default();
        let clean = (self.naming.clean_urls && !last.is_empty()).then(|| format!("{name}.html"));
        let fallback = self.naming.fallback.clone().filter(|_| !last.contains('.'));
        for other in [clean, fallback].into_iter().flatten() {
            match directory.open_file(&other, self.naming.links) {
                Ok((file, about)) if about.is_file() => {
                    return Lookup::File(Rc::new(self.entry(directory, &other, file)));
                }
                Err(error) if !is_absent(&error) => return self.failed(&other, &error, now),
                Ok(_) | Err(_) => {}
            }
        }
        Lookup::Nothing
    }

    fn entry(&self, directory: &Directory, name: &str, file: File) -> Entry {
        let kind = content_type::of_name(name);
        let encoded = match self.naming.precompressed && content_type::is_compressible(&kind) {
            true => Encoding::ALL.map(|encoding| self.open_encoded(directory, name, encoding)),
            false => [const { None }; 3],
        };
        let content_type =
            HeaderValue::from_str(&kind).unwrap_or(HeaderValue::from_static("application/octet-stream"));
        Entry { name: name.to_owned(), content_type, plain: Arc::new(file), encoded }
    }

    fn open_encoded(&self, directory: &Directory, name: &str, encoding: Encoding) -> Option<Arc<File>> {
        let name = format!("{name}{}", encoding.suffix());
        let (file, about) = directory.open_file(&name, self.naming.links).ok()?;
        about.is_file().then(|| Arc::new(file))
    }

    fn failed(&self, name: &str, error: &io::Error, now: Instant) -> Lookup {
        if error.kind() == io::ErrorKind::PermissionDenied {
            return Lookup::Forbidden;
        }
        // Without descriptors every request fails in this way.
        if self.told_of_failure.get().is_none_or(|at| now.duration_since(at) >= QUIET) {
            self.told_of_failure.set(Some(now));
            let path = self.path.join(name);
            error!(path = %path.display(), %error, "a static file cannot be opened: responding with 503");
        }
        Lookup::Failed
    }

    /// Says, once for each mount, that a link is not followed: it looks like a file that is missing otherwise.
    fn tell_of_link(&self, error: &io::Error, name: &str) {
        if error.raw_os_error() == Some(LEADS_OUT) && !self.told_of_links.replace(true) {
            let path = self.path.join(name);
            warn!(
                path = %path.display(),
                "a symbolic link leads out of the directory of static files: not served without --static-path-follow-links"
            );
        }
    }
}

/// Whether there is no such file, or none that a request may name.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory | InvalidInput)
        || error.raw_os_error().is_some_and(hostler_sys::beneath::is_of_name)
}

impl Memory {
    fn remember(&mut self, name: &str, found: &Lookup, now: Instant) {
        let is_file = matches!(found, Lookup::File(_));
        let is_full = |memory: &Self| match is_file {
            true => memory.files >= MAX_FILES,
            false => memory.names.len() - memory.files >= MAX_OTHERS,
        };
        if matches!(found, Lookup::Failed) {
            return;
        }
        if is_full(self) && (self.forget_old(now), is_full(self)).1 {
            return;
        }
        let before = self.names.insert(name.into(), (found.clone(), now));
        self.files += usize::from(is_file);
        self.files -= usize::from(matches!(before, Some((Lookup::File(_), _))));
    }

    /// Whether nothing is left.
    fn forget_old(&mut self, now: Instant) -> bool {
        self.names.retain(|_, (_, at)| now.duration_since(*at) < VALID);
        self.files = self.names.values().filter(|(found, _)| matches!(found, Lookup::File(_))).count();
        if self.directory.as_ref().is_some_and(|(_, at)| now.duration_since(*at) >= VALID) {
            self.directory = None;
        }
        self.names.is_empty() && self.directory.is_none()
    }
}
