//! The scoreboard's memory: one anonymous file that all processes of a server have mapped.

use hostler_wire::{InFlight, PAGES, Page};
use nix::sys::{
    memfd::{MFdFlags, memfd_create},
    mman::{MapFlags, ProtFlags, mmap},
};
use std::{
    fmt, io,
    num::NonZero,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::OnceLock,
};

/// The page of this process, for the few places that a reference cannot be handed to.
static OWN: OnceLock<&'static Page> = OnceLock::new();

/// All pages, mapped for the life of the process.
pub struct Board {
    file: OwnedFd,
    pages: &'static [Page],
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Board {
    /// A new scoreboard, all vacant.
    ///
    /// # Errors
    /// The kernel's (memfd_create(2), mmap(2)).
    pub fn create() -> io::Result<Self> {
        let file = memfd_create(c"hostler-scoreboard", MFdFlags::MFD_CLOEXEC)?;
        let size = i64::try_from(PAGES * size_of::<Page>()).map_err(io::Error::other)?;
        nix::unistd::ftruncate(&file, size)?;
        Self::adopt(file)
    }

    /// The scoreboard that another process created.
    ///
    /// # Errors
    /// The kernel's; `InvalidInput` if the file is too short to be one.
    pub fn adopt(file: OwnedFd) -> io::Result<Self> {
        let size = PAGES * size_of::<Page>();
        let found = nix::sys::stat::fstat(&file)?.st_size;
        if usize::try_from(found).unwrap_or(0) < size {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the file is no scoreboard"));
        }
        let length = NonZero::new(size).ok_or(io::ErrorKind::InvalidInput)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, &file, 0) }?;
        // SAFETY: it is as long as the pages and aligned to a page, it is never unmapped, any bytes are valid
        // atomics, and nothing but atomics is ever done to them.
        let pages = unsafe { std::slice::from_raw_parts(start.as_ptr().cast::<Page>(), PAGES) };
        Ok(Self { file, pages })
    }

    /// The pages.
    #[must_use]
    pub fn pages(&self) -> &'static [Page] {
        self.pages
    }
}

impl AsFd for Board {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Makes `page` this process's own, once.
pub fn set_own(page: &'static Page) {
    let _ = OWN.set(page);
}

/// The page of this process, if it is a worker.
#[must_use]
pub fn own() -> Option<&'static Page> {
    OWN.get().copied()
}

/// Says on this process's page that its loop begins or ends to wait for events.
pub fn parked(parked: bool) {
    if let Some(page) = own() {
        page.set_parked(parked);
        if !parked {
            page.turn(crate::clock::now());
        }
    }
}

/// Requests in flight, for the log: `GET /slow 12.3s 10.0.0.7:4711; POST /upload 0.1s`.
#[must_use]
pub fn describe(requests: &[InFlight]) -> String {
    let now = crate::clock::now();
    let shown = requests.iter().map(|request| {
        let age = std::time::Duration::from_nanos(now.saturating_sub(request.started_at)).as_secs_f64();
        let peer = request.peer.map(|peer| format!(" {peer}")).unwrap_or_default();
        format!("{} {} {age:.1}s{peer}", request.method, request.path)
    });
    shown.collect::<Vec<_>>().join("; ")
}

/// A file in memory, for the stacks that a worker writes when it is asked to.
///
/// # Errors
/// The kernel's (memfd_create(2)).
pub fn stacks_file() -> io::Result<std::fs::File> {
    Ok(memfd_create(c"hostler-stacks", MFdFlags::MFD_CLOEXEC)?.into())
}

#[cfg(test)]
mod tests {
    use super::Board;
    use hostler_wire::PageState;
    use std::os::fd::AsFd;

    #[test]
    fn what_one_mapping_writes_another_reads() {
        let ours = Board::create().unwrap();
        let theirs = Board::adopt(ours.as_fd().try_clone_to_owned().unwrap()).unwrap();
        ours.pages()[7].set_state(PageState::Serving);
        assert_eq!(theirs.pages()[7].state(), PageState::Serving);
        let short = super::stacks_file().unwrap();
        assert!(Board::adopt(short.into()).is_err());
    }
}
