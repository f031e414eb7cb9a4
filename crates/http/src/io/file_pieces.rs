//! Parts of files on their way through hyper, which writes memory.
//!
//! Where the socket can send files itself, a body gives hyper a **placeholder** of the same length in place of a part of a
//! file, and puts the part into its connection's queue. The placeholder is never read: hyper hands it on to the outbox,
//! which knows it by its address and sends the part in its place. So hyper counts lengths as for any body, and no byte
//! of the file is copied here.
//!
//! hyper may hold several at a time, in the order of the queue; a part that was sent for one half stays in front.

use bytes::Bytes;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fs::File,
    io::IoSlice,
    sync::{Arc, OnceLock},
};

/// The longest part of a file that is sent at a time, in bytes.
pub(crate) const MAX_PART: usize = 256 * 1024;

/// Part of a file.
#[derive(Clone, Debug)]
pub(crate) struct FilePart {
    pub(crate) file: Arc<File>,
    pub(crate) at: u64,
    pub(crate) length: usize,
}

/// The parts of files that hyper has placeholders of; one for each connection.
#[derive(Debug, Default)]
pub(crate) struct FileParts {
    /// What hyper writes goes to a socket that sends files.
    direct: Cell<bool>,
    parts: RefCell<VecDeque<FilePart>>,
}

impl FileParts {
    /// Sets whether hyper writes to a socket that sends files; only where hyper hands bodies on as they are (HTTP/1).
    pub(crate) fn set_direct(&self, direct: bool) {
        self.direct.set(direct);
    }

    /// Whether bodies may use [`FileParts::add`].
    pub(crate) fn is_direct(&self) -> bool {
        self.direct.get()
    }

    /// Whether hyper has no placeholder.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.borrow().is_empty()
    }

    /// Adds a part of [`MAX_PART`] bytes at most; the placeholder is for hyper.
    pub(crate) fn add(&self, part: FilePart) -> Bytes {
        let placeholder = Bytes::from_static(&placeholder()[..part.length]);
        self.parts.borrow_mut().push_back(part);
        placeholder
    }

    /// The part that is sent next.
    pub(crate) fn first(&self) -> Option<FilePart> {
        self.parts.borrow().front().cloned()
    }

    /// As many bytes of the first part were sent.
    pub(crate) fn sent(&self, count: usize) {
        let mut parts = self.parts.borrow_mut();
        let Some(first) = parts.front_mut() else { return };
        first.at += count as u64;
        first.length = first.length.saturating_sub(count);
        if first.length == 0 {
            parts.pop_front();
        }
    }

    /// The connection is over: what was not sent is not sent any more.
    pub(crate) fn clear(&self) {
        self.parts.borrow_mut().clear();
    }
}

/// Whether these bytes are (the rest of) a placeholder.
pub(crate) fn is_placeholder(bytes: &IoSlice<'_>) -> bool {
    placeholder().as_ptr_range().contains(&bytes.as_ptr())
}

/// Memory that stands for files. It is never read or written, so that the kernel never provides it.
fn placeholder() -> &'static [u8] {
    static MEMORY: OnceLock<&[u8]> = OnceLock::new();
    MEMORY.get_or_init(|| Box::leak(vec![0; MAX_PART].into_boxed_slice()))
}

#[cfg(test)]
mod tests {
    use super::{FilePart, FileParts, is_placeholder};
    use std::{fs::File, io::IoSlice, sync::Arc};

    #[test]
    fn a_placeholder_is_known_from_any_place_in_it_and_sent_in_parts() {
        let (parts, file) = (FileParts::default(), Arc::new(File::open("/dev/null").unwrap()));
        let first = parts.add(FilePart { file: Arc::clone(&file), at: 10, length: 100 });
        let second = parts.add(FilePart { file, at: 110, length: 5 });
        assert_eq!((first.len(), second.len()), (100, 5));
        assert!(is_placeholder(&IoSlice::new(&first)) && is_placeholder(&IoSlice::new(&first[99..])));
        assert!(is_placeholder(&IoSlice::new(&second[1..])));
        assert!(!is_placeholder(&IoSlice::new(b"HTTP/1.1 200 OK")) && !is_placeholder(&IoSlice::new(b"")));
        parts.sent(60);
        let rest = parts.first().unwrap();
        assert_eq!((rest.at, rest.length), (70, 40));
        parts.sent(40);
        assert_eq!(parts.first().unwrap().at, 110);
        parts.sent(5);
        assert!(parts.is_empty());
    }
}
