//! The scoreboard's memory: one anonymous file that all processes of a server have mapped.
//!
//! The master maps all of it for writing. The others map it for reading, through a read-only file description, and each
//! worker its own page for writing; then they close both descriptors, so that no application finds them. The file is
//! sealed at its size (fcntl(2), `F_SEAL_SHRINK`): no process can truncate it under a reader, which would kill the
//! reader with SIGBUS.

use hostler_wire::{InFlight, MasterPage, MasterRecord, PAGES, Page, Scoreboard, SiblingPage};
use nix::{
    fcntl::{FcntlArg, OFlag, SealFlag, fcntl},
    sys::{
        memfd::{MFdFlags, memfd_create},
        mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, munmap},
        stat::Mode,
    },
};
use std::{
    fmt, io,
    mem::ManuallyDrop,
    num::NonZero,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    ptr::NonNull,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// The page of this process, for the few places that cannot be given a reference.
static OWN: OnceLock<&'static Page> = OnceLock::new();

/// All pages, as the master maps them: for the life of the process, and not in its children.
pub struct Board {
    file: OwnedFd,
    for_reading: OwnedFd,
    pages: &'static [Page],
    master: &'static MasterPage,
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
    /// The kernel's (memfd_create(2), fcntl(2), mmap(2)).
    pub fn create() -> io::Result<Self> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = memfd_create(c"hostler-scoreboard", flags)?;
        nix::unistd::ftruncate(&file, i64::try_from(SIZE).map_err(io::Error::other)?)?;
        // Workers of another user could open it for writing again otherwise.
        nix::sys::stat::fchmod(&file, Mode::S_IRUSR | Mode::S_IWUSR)?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(SEALS))?;
        let start = map(&file, 0, SIZE, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)?;
        // SAFETY: the range is the mapping just made; nothing in a forked child follows references to it, because
        // native workers drop the master's things unread and map the file themselves.
        unsafe { madvise(start, SIZE, MmapAdvise::MADV_DONTFORK) }?;
        // SAFETY: it is as long as the pages and aligned to a page, it is never unmapped, the file cannot shrink,
        // any bytes are valid atomics, and nothing but atomics is ever done to them.
        let pages = unsafe { std::slice::from_raw_parts(start.as_ptr().cast::<Page>(), PAGES) };
        // SAFETY: the mapping is longer than that.
        let master = unsafe { start.cast::<MasterPage>().byte_add(MASTER) };
        // SAFETY: the pages are followed by the master's part, which is aligned to a page as well; otherwise as above.
        let master = unsafe { master.as_ref() };
        let for_reading = readable(&file)?;
        Ok(Self { file, for_reading, pages, master })
    }

    /// The pages.
    #[must_use]
    pub fn pages(&self) -> &'static [Page] {
        self.pages
    }

    /// The master's part.
    #[must_use]
    pub fn master(&self) -> &'static MasterPage {
        self.master
    }

    /// All of it, for reading.
    #[must_use]
    pub fn scoreboard(&self) -> Scoreboard {
        let pages = self.pages.as_ptr().cast::<SiblingPage>();
        // SAFETY: a `SiblingPage` is a `Page`, which is shared already.
        let pages = unsafe { std::slice::from_raw_parts(pages, PAGES) };
        let master = std::ptr::from_ref(self.master).cast::<MasterRecord>();
        // SAFETY: a `MasterRecord` is a `MasterPage`, which is shared already.
        Scoreboard { master: unsafe { &*master }, pages }
    }

    /// The file for processes that read all pages.
    #[must_use]
    pub fn for_reading(&self) -> BorrowedFd<'_> {
        self.for_reading.as_fd()
    }

    /// The file for a worker that is about to map its own page.
    #[must_use]
    pub fn for_writing(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Where the master's part begins: behind the pages.
const MASTER: usize = PAGES * size_of::<Page>();
const SIZE: usize = MASTER + size_of::<MasterPage>();

/// The size stays, and so do these seals. Further writable mappings are needed: each worker makes one.
const SEALS: SealFlag = SealFlag::F_SEAL_SHRINK.union(SealFlag::F_SEAL_GROW).union(SealFlag::F_SEAL_SEAL);

/// A description of the same file that only reads; without `/proc`, another descriptor of the same one.
fn readable(file: &OwnedFd) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    match nix::fcntl::open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) {
        Ok(opened) => Ok(opened),
        Err(_) => file.try_clone(),
    }
}

/// The pages of all workers, for reading: what another process created.
///
/// # Errors
/// The kernel's; `InvalidInput` if the file is no scoreboard, or could become shorter.
pub fn map_all(file: OwnedFd) -> io::Result<&'static [SiblingPage]> {
    check(&file)?;
    let start = map(&file, 0, SIZE, ProtFlags::PROT_READ)?;
    // SAFETY: as long as the pages, aligned, never unmapped, and sealed at its size; a `SiblingPage` is only loaded
    // from, each part by one atomic load of at most eight bytes, which is sound on memory that cannot be written.
    Ok(unsafe { std::slice::from_raw_parts(start.as_ptr().cast::<SiblingPage>(), PAGES) })
}

/// The whole scoreboard, for reading: what another process created.
///
/// # Errors
/// As [`map_all`].
pub fn map_scoreboard(file: OwnedFd) -> io::Result<Scoreboard> {
    check(&file)?;
    let start = map(&file, 0, SIZE, ProtFlags::PROT_READ)?;
    // SAFETY: as in `map_all`.
    let pages = unsafe { std::slice::from_raw_parts(start.as_ptr().cast::<SiblingPage>(), PAGES) };
    // SAFETY: the mapping is longer than that.
    let master = unsafe { start.cast::<MasterRecord>().byte_add(MASTER) };
    // SAFETY: the pages are followed by the master's part, aligned to a page; a `MasterRecord` is only loaded from.
    let master = unsafe { master.as_ref() };
    Ok(Scoreboard { master, pages })
}

/// The page of this number, for writing.
///
/// # Errors
/// As [`map_all`]; `InvalidInput` too if there is no such page.
pub fn map_own(file: OwnedFd, number: u16) -> io::Result<OwnPage> {
    check(&file)?;
    let size = size_of::<Page>();
    let offset = usize::from(number) * size;
    if offset >= MASTER {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the scoreboard has no such page"));
    }
    let start = map(&file, offset, size, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)?;
    Ok(OwnPage(start.cast()))
}

/// A page that a worker is to write, mapped before the worker is forked.
#[derive(Debug)]
pub struct OwnPage(NonNull<Page>);

impl OwnPage {
    /// The page, which is this process's from now on.
    #[must_use]
    pub fn keep(self) -> &'static Page {
        let page = ManuallyDrop::new(self).0;
        // SAFETY: one page, aligned, not unmapped any more, of a file that cannot shrink; nothing but atomics is ever
        // done to it.
        let page = unsafe { page.as_ref() };
        crate::own::claim_mapping(page);
        page
    }
}

impl Drop for OwnPage {
    /// In the process that forked the worker.
    fn drop(&mut self) {
        // SAFETY: the mapping is `map_own`'s, and `keep` has not given out a reference to it.
        let _ = unsafe { munmap(self.0.cast(), size_of::<Page>()) };
    }
}

/// A file that is too short, or may become so, is no scoreboard.
fn check(file: &OwnedFd) -> io::Result<()> {
    let found = nix::sys::stat::fstat(file)?.st_size;
    let seals = fcntl(file, FcntlArg::F_GET_SEALS).unwrap_or(0);
    if usize::try_from(found).unwrap_or(0) < SIZE || seals & SEALS.bits() != SEALS.bits() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the file is no scoreboard"));
    }
    Ok(())
}

fn map(file: &OwnedFd, offset: usize, size: usize, access: ProtFlags) -> io::Result<NonNull<libc::c_void>> {
    let length = NonZero::new(size).ok_or(io::ErrorKind::InvalidInput)?;
    let offset = i64::try_from(offset).map_err(io::Error::other)?;
    // SAFETY: a new mapping at an address of the kernel's choice.
    Ok(unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, file, offset) }?)
}

/// Sets the page of this process, once.
pub fn set_own(page: &'static Page) {
    let _ = OWN.set(page);
}

/// The page of this process, if it is a worker.
#[must_use]
pub fn own() -> Option<&'static Page> {
    OWN.get().copied()
}

/// Whether this process records for how long its loop is busy.
static IS_MEASURED: AtomicBool = AtomicBool::new(false);

/// From now on this process records on its page for how long its loop is busy.
pub fn measure_busy() {
    IS_MEASURED.store(true, Relaxed);
}

/// Records on this process's page that its loop begins or ends waiting for events.
pub fn parked(parked: bool) {
    if let Some(page) = own() {
        page.set_parked(parked);
        if !parked {
            let now = crate::clock::now();
            page.turn(now);
            if IS_MEASURED.load(Relaxed) {
                page.becomes_busy(now);
            }
        } else if IS_MEASURED.load(Relaxed) {
            page.becomes_idle(crate::clock::now());
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

/// A file in memory, for the stacks that a worker writes on request.
///
/// # Errors
/// The kernel's (memfd_create(2)).
pub fn stacks_file() -> io::Result<std::fs::File> {
    Ok(memfd_create(c"hostler-stacks", MFdFlags::MFD_CLOEXEC)?.into())
}

#[cfg(test)]
mod tests {
    use super::{Board, map_all, map_own, map_scoreboard};
    use hostler_wire::{Departure, Generation, PageState, SlotId};
    use std::{fs::File, os::fd::BorrowedFd};

    fn copy(file: BorrowedFd<'_>) -> std::os::fd::OwnedFd {
        file.try_clone_to_owned().unwrap()
    }

    #[test]
    fn what_one_mapping_writes_another_reads() {
        let board = Board::create().unwrap();
        let siblings = map_all(copy(board.for_reading())).unwrap();
        let own = map_own(copy(board.for_writing()), 7).unwrap().keep();
        own.set_state(PageState::Serving);
        assert_eq!(siblings[7].state(), PageState::Serving);
        assert_eq!(board.pages()[7].state(), PageState::Serving);
        assert_eq!(siblings[6].state(), PageState::Vacant);
        assert!(map_own(copy(board.for_writing()), u16::MAX).is_err());
    }

    #[test]
    fn what_workers_counted_is_seen_once_and_never_falls_while_they_end() {
        let board = Board::create().unwrap();
        let seen = map_scoreboard(copy(board.for_reading())).unwrap();
        let (own, seat) = (&board.pages()[3], board.master().seat(3).unwrap());
        board.pages()[0].will_use(3);
        let rounds = 2000;
        let total = || {
            let (master, workers) = seen.read();
            let live: u64 = workers.iter().map(|(_, page)| page.totals.requests()).sum();
            (master.ended.requests() + live, master.ends.iter().map(|(_, count)| count).sum::<u64>())
        };
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut last = (0, 0);
                while last.1 < rounds {
                    let now = total();
                    assert!(now.0 >= last.0 && now.1 >= last.1, "{last:?} {now:?}");
                    assert!(now.0 == now.1 || now.0 == now.1 + 1, "{now:?}");
                    last = now;
                }
            });
            for round in 0..rounds {
                seat.take(SlotId::http(1), Generation(0), 1 + round);
                own.request_refused(0, 200, 1);
                let counted = own.final_totals().0;
                board.master().worker_ended(Departure::Exit, &counted, 0, || {
                    own.clear();
                    seat.leave();
                });
            }
            reader.join().unwrap();
        });
        assert_eq!(total(), (rounds, rounds));
    }

    #[test]
    fn its_size_cannot_change_and_a_file_without_seals_is_refused() {
        let board = Board::create().unwrap();
        for file in [board.for_writing(), board.for_reading()] {
            let file = File::from(copy(file));
            assert!(file.set_len(0).is_err());
            assert!(file.set_len(1 << 40).is_err());
        }
        // What may be read cannot be mapped for writing, and what is not sealed is not mapped at all.
        assert!(map_own(copy(board.for_reading()), 0).is_err());
        let unsealed = super::stacks_file().unwrap();
        unsealed.set_len(1 << 30).unwrap();
        assert!(map_all(unsealed.into()).is_err());
    }
}
