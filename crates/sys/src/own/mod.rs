//! What in this process is the server's and not the application's: descriptors, signal handlers, shared memory.
//!
//! A process that the application forks must not keep them, so it gives them up ([`give_up()`]). They are claimed where they
//! are created. Clients' connections are not listed, as there are many: they are recognized by their local address, which
//! is that of a listener.

mod give_up;
mod inspect;

pub use give_up::give_up;

use inspect::{anonymous, handler, identity};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsRawFd, RawFd},
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// The highest signal (signal(7)); the C library reserves some of the real-time ones.
const SIGNALS: i32 = 64;

struct Own {
    /// Sockets and files, by device and inode: duplicates are ours too.
    files: BTreeSet<(u64, u64)>,
    /// epoll sets, eventfds and timers have no inode of their own.
    numbered: BTreeMap<RawFd, PathBuf>,
    /// Address and length in bytes.
    mappings: BTreeSet<(usize, usize)>,
    /// Signals, and the addresses of our handlers.
    handlers: BTreeSet<(i32, usize)>,
}

static OWN: Mutex<Own> = Mutex::new(Own {
    files: BTreeSet::new(),
    numbered: BTreeMap::new(),
    mappings: BTreeSet::new(),
    handlers: BTreeSet::new(),
});
static FORKED: AtomicBool = AtomicBool::new(false);

/// Whether the application forked this process, so that no part of the worker may run here.
#[inline]
#[must_use]
pub fn is_forked() -> bool {
    FORKED.load(Relaxed)
}

/// Claims a descriptor.
pub fn claim(descriptor: &impl AsRawFd) {
    let number = descriptor.as_raw_fd();
    match (anonymous(number), identity(number)) {
        (Some(kind), _) => drop(own().numbered.insert(number, kind)),
        (None, Some(identity)) => drop(own().files.insert(identity)),
        (None, None) => {}
    }
}

/// Withdraws the claim on a descriptor that is about to be closed and is known by its number only.
pub fn disclaim(descriptor: RawFd) {
    own().numbered.remove(&descriptor);
}

/// Claims memory that is shared with other processes, so that a forked one gets private memory in its place.
pub fn claim_mapping<T>(shared: &'static T) {
    own().mappings.insert((std::ptr::from_ref(shared).addr(), size_of::<T>()));
}

/// Claims the present handlers of these signals.
pub fn claim_handlers(signals: impl IntoIterator<Item = i32>) {
    own().handlers.extend(signals.into_iter().filter_map(|number| Some((number, handler(number)?))));
}

/// Claims the present handlers of all signals; for a process that has run no code of the application yet.
pub fn claim_all_handlers() {
    let handled = |number: &i32| handler(*number).is_some_and(|handler| handler != libc::SIG_IGN);
    claim_handlers((1..=SIGNALS).filter(|number| !crate::signal::is_fault(*number)).filter(handled));
}

/// Whether other code has closed a claimed descriptor, or its number was reused.
#[must_use]
pub fn has_lost() -> bool {
    own().numbered.iter().any(|(number, kind)| anonymous(*number).as_ref() != Some(kind))
}

fn own() -> MutexGuard<'static, Own> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{claim, give_up::is_at, inspect::identity};
    use crate::process::{self, Fork};
    use socket2::SockAddr;
    use std::{
        net::{SocketAddr, TcpListener, TcpStream},
        os::{
            fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
            unix::net::UnixStream,
        },
    };

    fn is_open(number: RawFd) -> bool {
        identity(number).is_some()
    }

    fn epoll() -> OwnedFd {
        // SAFETY: epoll_create1(2) with an integer.
        let number = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        // SAFETY: it is new, and has no other owner.
        unsafe { OwnedFd::from_raw_fd(number) }
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
        let epoll = epoll();
        claim(&epoll);
        let gone =
            [listener.as_raw_fd(), client.as_raw_fd(), ours.as_raw_fd(), copy.as_raw_fd(), epoll.as_raw_fd()];
        let kept = [outward.as_raw_fd(), theirs.as_raw_fd()];
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
