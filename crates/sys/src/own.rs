//! What of this process is ours and not the application's: descriptors, signal handlers, shared memory.
//!
//! A process that the application forks is to be an ordinary one, so it gives all of this up ([`give_up`]). Things are
//! claimed where they are made. What comes and goes with every client is not listed: clients' connections are known by
//! their local address, which is that of a listener.

use nix::{
    sys::{
        mman::{MapFlags, ProtFlags, mmap_anonymous},
        signal::{SigHandler, Signal, signal},
    },
    unistd::close,
};
use socket2::{SockAddr, SockRef, Type};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::{IpAddr, SocketAddr},
    num::NonZero,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    path::PathBuf,
    ptr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// Where the kernel shows a process's descriptors.
const DESCRIPTORS: &str = "/proc/self/fd";
/// The highest signal (signal(7)); its C library keeps some of the real-time ones for itself.
const SIGNALS: i32 = 64;

struct Own {
    /// Sockets and files, by device and inode: a copy is as much ours.
    files: BTreeSet<(u64, u64)>,
    /// epoll sets, eventfds and timers have no inode of their own.
    numbered: BTreeMap<RawFd, PathBuf>,
    /// Start and length.
    mappings: BTreeSet<(usize, usize)>,
    /// Signals, and what handles them for us.
    handlers: BTreeSet<(i32, usize)>,
}

static OWN: Mutex<Own> = Mutex::new(Own {
    files: BTreeSet::new(),
    numbered: BTreeMap::new(),
    mappings: BTreeSet::new(),
    handlers: BTreeSet::new(),
});
static FORKED: AtomicBool = AtomicBool::new(false);

/// Whether the application forked this process, so that nothing of the worker may go on here.
#[inline]
#[must_use]
pub fn is_forked() -> bool {
    FORKED.load(Relaxed)
}

/// Makes a descriptor ours.
pub fn claim(descriptor: &impl AsRawFd) {
    let number = descriptor.as_raw_fd();
    match (anonymous(number), identity(number)) {
        (Some(kind), _) => drop(own().numbered.insert(number, kind)),
        (None, Some(identity)) => drop(own().files.insert(identity)),
        (None, None) => {}
    }
}

/// Says that a descriptor is about to be closed whose number alone tells it from others.
pub fn disclaim(descriptor: RawFd) {
    own().numbered.remove(&descriptor);
}

/// Makes memory that is shared with other processes ours, so that a forked one gets a copy of its own.
pub fn claim_mapping<T>(shared: &'static T) {
    own().mappings.insert((std::ptr::from_ref(shared).addr(), size_of::<T>()));
}

/// Says that what handles these signals now is ours.
pub fn claim_handlers(signals: impl IntoIterator<Item = i32>) {
    own().handlers.extend(signals.into_iter().filter_map(|number| Some((number, handler(number)?))));
}

/// Says that whatever handles a signal now is ours; for a process that runs no code of the application yet.
pub fn claim_all_handlers() {
    let handled = |number: &i32| handler(*number).is_some_and(|handler| handler != libc::SIG_IGN);
    claim_handlers((1..=SIGNALS).filter(|number| !crate::signal::is_fault(*number)).filter(handled));
}

/// Whether a descriptor of ours was closed by somebody else, or is another one by now.
#[must_use]
pub fn has_lost() -> bool {
    own().numbered.iter().any(|(number, kind)| anonymous(*number).as_ref() != Some(kind))
}

/// The epoll sets and eventfds of this process, to find out what a library opened.
#[must_use]
pub fn pollers() -> BTreeSet<RawFd> {
    let polls = |number: &RawFd| {
        anonymous(*number).is_some_and(|kind| {
            let kind = kind.to_string_lossy().into_owned();
            kind.contains("[eventpoll]") || kind.contains("[eventfd")
        })
    };
    open_descriptors().into_iter().filter(polls).collect()
}

/// Whether a descriptor is an epoll set.
#[must_use]
pub fn is_epoll(number: RawFd) -> bool {
    anonymous(number).is_some_and(|kind| kind.as_os_str() == "anon_inode:[eventpoll]")
}

/// Gives up all that is ours, in a process that the application forked. The parent is not touched.
pub fn give_up() {
    FORKED.store(true, Relaxed);
    let own = own();
    own.mappings.iter().for_each(|(start, length)| replace_mapping(*start, *length));
    close_own(&own);
    let reset = own.handlers.iter().filter(|(number, ours)| handler(*number) == Some(*ours));
    reset.for_each(|(number, _)| set_default(*number));
}

/// Puts private memory with the same content into the place of shared memory.
fn replace_mapping(start: usize, length: usize) {
    let (Some(address), Some(length)) = (NonZero::new(start), NonZero::new(length)) else { return };
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED | MapFlags::MAP_NORESERVE;
    // SAFETY: the range is a mapping of ours that is never unmapped; whoever still has a reference finds zeroes there,
    // which are as valid as what was there before.
    let _ = unsafe { mmap_anonymous(Some(address), length, access, flags) };
}

fn close_own(own: &Own) {
    let open = open_descriptors();
    let is_listed = |number: RawFd| {
        identity(number).is_some_and(|identity| own.files.contains(&identity))
            || own.numbered.get(&number).is_some_and(|kind| anonymous(number).as_ref() == Some(kind))
    };
    let (ours, others): (Vec<RawFd>, Vec<RawFd>) = open.into_iter().partition(|number| is_listed(*number));
    let listeners: Vec<SockAddr> = ours.iter().filter_map(|number| listening_on(*number)).collect();
    let clients = others.into_iter().filter(|number| is_client(*number, &listeners));
    for number in ours.iter().copied().chain(clients.collect::<Vec<_>>()) {
        // It was there a moment ago; this process has one thread.
        let _ = close(number);
    }
}

fn listening_on(number: RawFd) -> Option<SockAddr> {
    with_socket(number, |socket| if socket.is_listener().ok()? { socket.local_addr().ok() } else { None })
}

/// Whether this is a connection that one of these listeners accepted.
fn is_client(number: RawFd, listeners: &[SockAddr]) -> bool {
    let local = with_socket(number, |socket| match socket.r#type().ok()? {
        Type::STREAM => socket.local_addr().ok(),
        _ => None,
    });
    local.is_some_and(|local| listeners.iter().any(|listener| is_at(&local, listener)))
}

fn is_at(local: &SockAddr, listener: &SockAddr) -> bool {
    match (local.as_socket(), listener.as_socket()) {
        (Some(local), Some(listener)) => {
            let ip = |address: SocketAddr| -> IpAddr { address.ip().to_canonical() };
            let same = ip(listener).is_unspecified() || ip(listener) == ip(local);
            local.port() == listener.port() && same
        }
        _ => !local.is_unnamed() && local == listener,
    }
}

fn with_socket<R>(number: RawFd, look: impl FnOnce(SockRef<'_>) -> Option<R>) -> Option<R> {
    // SAFETY: it was found open, this process has one thread, and the reference ends with this function.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    look(SockRef::from(&descriptor))
}

fn open_descriptors() -> Vec<RawFd> {
    let numbers = |entries: fs::ReadDir| -> Vec<RawFd> {
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    };
    // The directory's own descriptor was among them, and is closed again.
    let mut open = fs::read_dir(DESCRIPTORS).map_or_else(|_| (0..4096).collect(), numbers);
    open.retain(|number| *number > 2 && identity(*number).is_some());
    open
}

fn identity(number: RawFd) -> Option<(u64, u64)> {
    // SAFETY: fstat(2) reports a number that is not open; the reference ends here.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    nix::sys::stat::fstat(descriptor).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

/// What an anonymous inode is, such as `anon_inode:[eventpoll]`.
fn anonymous(number: RawFd) -> Option<PathBuf> {
    let kind = fs::read_link(format!("{DESCRIPTORS}/{number}")).ok()?;
    kind.to_str()?.starts_with("anon_inode:").then_some(kind)
}

/// What handles a signal; `None` for the default action.
fn handler(number: i32) -> Option<usize> {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: sigaction(2) only reads the present action, into a live value; a number that is none is an error.
    let read = unsafe { libc::sigaction(number, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: it is all zeroes at least, which is a valid value.
    let action = unsafe { action.assume_init() };
    (read == 0 && action.sa_sigaction != libc::SIG_DFL).then_some(action.sa_sigaction)
}

fn set_default(number: i32) {
    if let Ok(known) = Signal::try_from(number) {
        // SAFETY: the default action runs no code of ours.
        let _ = unsafe { signal(known, SigHandler::SigDfl) };
        return;
    }
    // SAFETY: as above; the real-time signals have no name.
    unsafe { libc::signal(number, libc::SIG_DFL) };
}

fn own() -> MutexGuard<'static, Own> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Descriptors that are ours as long as this lives.
#[derive(Debug, Default)]
pub struct Claims(Vec<RawFd>);

impl Claims {
    /// Claims what `make` opens of epoll sets and eventfds.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn of_new<R>(make: impl FnOnce() -> io::Result<R>) -> io::Result<(R, Self)> {
        let before = pollers();
        let made = make()?;
        let new: Vec<RawFd> = pollers().difference(&before).copied().collect();
        new.iter().for_each(claim);
        Ok((made, Self(new)))
    }

    /// One descriptor.
    #[must_use]
    pub fn of(descriptor: &impl AsRawFd) -> Self {
        let number = descriptor.as_raw_fd();
        claim(descriptor);
        Self(vec![number])
    }

    /// What is claimed.
    #[must_use]
    pub fn descriptors(&self) -> &[RawFd] {
        &self.0
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        self.0.iter().for_each(|number| disclaim(*number));
    }
}

#[cfg(test)]
mod tests {
    use super::{Claims, claim, identity, is_at};
    use crate::process::{self, Fork};
    use socket2::SockAddr;
    use std::{
        io,
        net::{SocketAddr, TcpListener, TcpStream},
        os::{
            fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
            unix::net::UnixStream,
        },
    };

    fn is_open(number: RawFd) -> bool {
        identity(number).is_some()
    }

    fn epoll() -> io::Result<OwnedFd> {
        // SAFETY: epoll_create1(2) with an integer.
        let number = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        // SAFETY: it is new, and nobody else's.
        Ok(unsafe { OwnedFd::from_raw_fd(number) })
    }

    fn address(text: &str) -> SockAddr {
        text.parse::<SocketAddr>().unwrap().into()
    }

    #[test]
    fn connections_are_known_by_their_listeners_address() {
        let at = |local, listener| is_at(&address(local), &address(listener));
        assert!(
            at("10.0.0.1:80", "0.0.0.0:80")
                && at("10.0.0.1:80", "10.0.0.1:80")
                && at("[::ffff:10.0.0.1]:80", "[::]:80")
        );
        assert!(!at("10.0.0.1:80", "10.0.0.2:80") && !at("10.0.0.1:81", "0.0.0.0:80"));
        let path = SockAddr::unix("/run/a.sock").unwrap();
        assert!(is_at(&path, &SockAddr::unix("/run/a.sock").unwrap()));
        assert!(!is_at(&path, &SockAddr::unix("/run/b.sock").unwrap()));
    }

    /// What the parent has stays; the child is looked at through its exit code.
    #[test]
    fn a_forked_process_keeps_what_is_not_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let outward = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (client, _) = listener.accept().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let copy = ours.try_clone().unwrap();
        claim(&listener);
        claim(&ours);
        let (epoll, claims) = Claims::of_new(epoll).unwrap();
        let gone =
            [listener.as_raw_fd(), client.as_raw_fd(), ours.as_raw_fd(), copy.as_raw_fd(), epoll.as_raw_fd()];
        let kept = [outward.as_raw_fd(), theirs.as_raw_fd()];
        assert!(claims.descriptors().contains(&epoll.as_raw_fd()));
        // SAFETY: the child calls nothing that takes a lock of another thread: the registry's alone, which no other
        // test of this process uses.
        let forked = match unsafe { nix::unistd::fork() }.unwrap() {
            nix::unistd::ForkResult::Child => Fork::Child,
            nix::unistd::ForkResult::Parent { child } => Fork::Parent(child.as_raw()),
        };
        match forked {
            Fork::Child => {
                super::give_up();
                let right =
                    gone.iter().all(|number| !is_open(*number)) && kept.iter().all(|number| is_open(*number));
                process::exit_now(u8::from(!right));
            }
            Fork::Parent(child) => {
                let status = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child), None).unwrap();
                assert!(matches!(status, nix::sys::wait::WaitStatus::Exited(_, 0)), "{status:?}");
                assert!(gone.iter().chain(&kept).all(|number| is_open(*number)));
            }
        }
    }
}
