//! A file that Python has opened, as a body.

use hostler_http::FileBody;
use std::{
    fs::File,
    io,
    os::fd::{BorrowedFd, RawFd},
    sync::Arc,
};

/// A regular file that Python has opened, from where it was read to; `None` if it is something else.
#[expect(unsafe_code, reason = "Python knows descriptors by their numbers")]
pub(crate) fn file_of_number(descriptor: RawFd, start: u64) -> io::Result<Option<FileBody>> {
    // SAFETY: the number comes from `fileno()` of a file object that the caller keeps open meanwhile.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let file = File::from(descriptor.try_clone_to_owned()?);
    let about = file.metadata()?;
    // The kernel's own files (/proc) are read until they end: their length is not known.
    if !about.is_file() || about.len() == 0 {
        return Ok(None);
    }
    Ok(Some(FileBody::new(Arc::new(file), start, about.len().saturating_sub(start))))
}
