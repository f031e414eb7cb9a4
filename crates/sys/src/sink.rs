//! Where log lines go: never waited for, and never a reason to fail.
//!
//! A line is written at once or dropped and counted: a pipe that nobody reads, a stopped terminal, a full disk hold up
//! neither a stop nor a worker. O_NONBLOCK on a descriptor that was inherited would change it for everybody who has it
//! too, so pipes and terminals are opened once more through `/proc/self/fd`, sockets are sent to with MSG_DONTWAIT, and
//! where opening is refused (a pipe of another user) each write asks for room first. A regular file is written to as
//! it is: it can fail, but does not wait for a reader.
//!
//! Threads share a sink without a lock, which a fork of the application could leave locked for ever. What was cut off
//! in the middle is ended by a line feed before the next line.
//!
//! Not here: what a line looks like ([`crate::logging`]).

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl, open},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, SigmaskHow, Signal},
        socket::{MsgFlags, send},
        stat::{Mode, SFlag, fstat},
    },
};
use std::{
    io::{self, IoSlice, IsTerminal},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd},
        unix::fs::FileTypeExt,
    },
    path::Path,
    sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, Ordering::Relaxed},
};

/// As much as a pipe takes in one piece or not at all (pipe(7)), and as much as is sure to fit where there is room.
const PIPE_BUF: usize = 4096;
/// A terminal says that it has room without saying how much.
const TERMINAL_PIECE: usize = 64;
const STANDARD_ERROR: i32 = 2;

/// How a descriptor is written to without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Way {
    /// It does not wait: a regular file, or a description of our own with O_NONBLOCK.
    Plain,
    /// As `Plain`, and a terminal, which stops background processes that write to it if it was told to.
    Terminal,
    /// A socket.
    Socket,
    /// A pipe whose description others share.
    SharedPipe,
    /// A terminal whose description others share.
    SharedTerminal,
}

const WAYS: [Way; 5] = [Way::Plain, Way::Terminal, Way::Socket, Way::SharedPipe, Way::SharedTerminal];

/// Two descriptors of one log: for what is printed, and for the lines of the server itself.
#[derive(Debug)]
pub struct Target {
    standard_error: OwnedFd,
    lines: OwnedFd,
}

impl Target {
    /// What standard error is now.
    ///
    /// # Errors
    /// The kernel's (dup(2)).
    pub fn standard_error() -> io::Result<Self> {
        let standard_error = io::stderr().as_fd().try_clone_to_owned()?;
        let lines = reopened(standard_error.as_fd()).map_or_else(|_| standard_error.try_clone(), Ok)?;
        Ok(Self { standard_error, lines })
    }

    /// A file that lines are appended to, made if it is not there.
    ///
    /// # Errors
    /// The kernel's (open(2)).
    pub fn open(path: &Path) -> io::Result<Self> {
        let mode = Mode::from_bits_truncate(0o666);
        let common = OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        if std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
            // Opened for reading too, a named pipe needs no reader: neither now nor when the present one is gone.
            let lines = open(path, common | OFlag::O_RDWR | OFlag::O_NONBLOCK, mode)?;
            return Ok(Self { standard_error: open(path, common | OFlag::O_WRONLY, mode)?, lines });
        }
        let flags = common | OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_APPEND | OFlag::O_NONBLOCK;
        let lines = open(path, flags, mode)?;
        let standard_error = match kind(lines.as_fd())? {
            SFlag::S_IFREG => lines.try_clone()?,
            // What the application prints waits, as it would without us.
            _ => open(path, flags - OFlag::O_NONBLOCK, mode)?,
        };
        Ok(Self { standard_error, lines })
    }

    /// From the descriptors of a message, in the order of [`Target::descriptors`].
    #[must_use]
    pub fn from_descriptors(descriptors: Vec<OwnedFd>) -> Option<Self> {
        let mut descriptors = descriptors.into_iter();
        Some(Self { standard_error: descriptors.next()?, lines: descriptors.next()? })
    }

    /// The descriptors, for another process.
    #[must_use]
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.standard_error.as_fd(), self.lines.as_fd()]
    }

    pub(crate) fn into_lines(self) -> OwnedFd {
        self.lines
    }

    /// Makes it the standard error of this process, and of programs that it starts.
    pub(crate) fn become_standard_error(&self) -> io::Result<()> {
        Ok(nix::unistd::dup2_stderr(&self.standard_error)?)
    }
}

/// The same pipe or terminal once more, with O_NONBLOCK.
fn reopened(descriptor: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    if !matches!(kind(descriptor)?, SFlag::S_IFIFO | SFlag::S_IFCHR) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    Ok(open(format!("/proc/self/fd/{}", descriptor.as_raw_fd()).as_str(), flags, Mode::empty())?)
}

fn kind(descriptor: BorrowedFd<'_>) -> io::Result<SFlag> {
    Ok(SFlag::from_bits_truncate(fstat(descriptor)?.st_mode & SFlag::S_IFMT.bits()))
}

/// Where the lines of this process go.
#[derive(Debug)]
pub(crate) struct Sink {
    /// −1 until there is one. The number stays the same when the log is opened again.
    descriptor: AtomicI32,
    way: AtomicU8,
    /// Which file it is. An application that closes what it does not know makes room for a connection there.
    device: AtomicU64,
    inode: AtomicU64,
    /// Lines since the last that was written, or not written whole.
    lost: AtomicU64,
    /// A line was cut off.
    cut: AtomicBool,
}

impl Sink {
    pub(crate) const fn new() -> Self {
        Self {
            descriptor: AtomicI32::new(-1),
            way: AtomicU8::new(Way::Plain as u8),
            device: AtomicU64::new(0),
            inode: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            cut: AtomicBool::new(false),
        }
    }

    /// Writes to this descriptor from now on.
    pub(crate) fn set(&self, lines: OwnedFd) -> io::Result<()> {
        let (way, found) = (way(lines.as_fd())?, fstat(&lines)?);
        match self.descriptor.load(Relaxed) {
            -1 => self.descriptor.store(lines.into_raw_fd(), Relaxed),
            // SAFETY: dup3(2) with integers; the number is this sink's, or was taken from it by who closed it.
            number => check(unsafe { libc::dup3(lines.as_raw_fd(), number, libc::O_CLOEXEC) })?,
        }
        self.way.store(way as u8, Relaxed);
        self.device.store(found.st_dev, Relaxed);
        self.inode.store(found.st_ino, Relaxed);
        Ok(())
    }

    /// A copy of the descriptor, if it is still there.
    pub(crate) fn copy(&self) -> Option<OwnedFd> {
        let number = self.number().filter(|number| *number != STANDARD_ERROR)?;
        // SAFETY: fcntl(2) with integers.
        let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
        // SAFETY: it is new and nobody else's.
        (copy >= 0).then(|| unsafe { OwnedFd::from_raw_fd(copy) })
    }

    /// The descriptor, or standard error if that is the same log and the descriptor was closed.
    fn number(&self) -> Option<i32> {
        let is_ours = |number: &i32| {
            // SAFETY: only fstat is called on it, which is harmless on any descriptor, and on none.
            let found = fstat(unsafe { BorrowedFd::borrow_raw(*number) });
            found.is_ok_and(|found| {
                (found.st_dev, found.st_ino) == (self.device.load(Relaxed), self.inode.load(Relaxed))
            })
        };
        [self.descriptor.load(Relaxed), STANDARD_ERROR].into_iter().filter(|it| *it >= 0).find(is_ours)
    }

    /// Writes a line, or counts it as lost.
    pub(crate) fn write(&self, line: &[u8]) {
        let apart;
        let text = if self.cut.load(Relaxed) {
            apart = [b"\n", line].concat();
            &apart[..]
        } else {
            line
        };
        let written = self.number().map_or(0, |number| self.write_to(number, text));
        if written > 0 {
            self.cut.store(written < text.len(), Relaxed);
        }
        if written < text.len() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// How many lines were lost since this was asked last.
    pub(crate) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Relaxed)
    }

    pub(crate) fn has_lost(&self) -> bool {
        self.lost.load(Relaxed) > 0
    }

    /// It could not be told that so many were lost.
    pub(crate) fn put_lost(&self, lines: u64) {
        self.lost.store(lines, Relaxed);
    }

    /// How much was written of it.
    fn write_to(&self, number: i32, text: &[u8]) -> usize {
        // SAFETY: it was open a moment ago; if it is closed now, writing fails.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let way = match WAYS[usize::from(self.way.load(Relaxed))] {
            // Not the descriptor of our own.
            Way::Plain | Way::Terminal if number == STANDARD_ERROR => shared_way(descriptor),
            way => way,
        };
        let _background = matches!(way, Way::Terminal | Way::SharedTerminal).then(Background::allow);
        let mut written = 0;
        while written < text.len() {
            match piece(descriptor, way, &text[written..]) {
                Ok(0) => break,
                Ok(count) => written += count,
                Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        written
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How to write to this descriptor.
fn way(descriptor: BorrowedFd<'_>) -> io::Result<Way> {
    let flags = OFlag::from_bits_truncate(fcntl(descriptor, FcntlArg::F_GETFL)?);
    Ok(match kind(descriptor)? {
        SFlag::S_IFSOCK => Way::Socket,
        SFlag::S_IFIFO | SFlag::S_IFCHR if !flags.contains(OFlag::O_NONBLOCK) => shared_way(descriptor),
        _ if descriptor.is_terminal() => Way::Terminal,
        _ => Way::Plain,
    })
}

fn shared_way(descriptor: BorrowedFd<'_>) -> Way {
    match kind(descriptor) {
        Ok(SFlag::S_IFIFO) => Way::SharedPipe,
        Ok(SFlag::S_IFSOCK) => Way::Socket,
        _ if descriptor.is_terminal() => Way::SharedTerminal,
        _ => Way::Plain,
    }
}

/// Writes the beginning of a text, as much as goes at once.
fn piece(descriptor: BorrowedFd<'_>, way: Way, text: &[u8]) -> Result<usize, Errno> {
    let first = |length: usize| &text[..text.len().min(length)];
    match way {
        Way::Plain | Way::Terminal => nix::unistd::write(descriptor, text),
        Way::Socket => send(descriptor.as_raw_fd(), text, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL),
        Way::SharedPipe => match write_now(descriptor, first(PIPE_BUF)) {
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL) => {
                write_if_room(descriptor, first(PIPE_BUF))
            }
            written => written,
        },
        Way::SharedTerminal => write_if_room(descriptor, first(TERMINAL_PIECE)),
    }
}

/// Writes without waiting whatever the description says (pwritev2(2), RWF_NOWAIT: pipes since Linux 6.4).
fn write_now(descriptor: BorrowedFd<'_>, text: &[u8]) -> Result<usize, Errno> {
    let part = [IoSlice::new(text)];
    // SAFETY: one part, which is a live slice; an `IoSlice` is an iovec. −1 stands for "no offset".
    let written =
        unsafe { libc::pwritev2(descriptor.as_raw_fd(), part.as_ptr().cast(), 1, -1, libc::RWF_NOWAIT) };
    Errno::result(written).map(isize::unsigned_abs)
}

/// Writes if there is room. Another process may take the room in between; then this waits for a reader, once.
fn write_if_room(descriptor: BorrowedFd<'_>, text: &[u8]) -> Result<usize, Errno> {
    let mut asked = [PollFd::new(descriptor, PollFlags::POLLOUT)];
    match poll(&mut asked, PollTimeout::ZERO)? {
        0 => Err(Errno::EAGAIN),
        _ => nix::unistd::write(descriptor, text),
    }
}

/// While it lives, writing to a terminal from the background stops nobody (termios(3), TOSTOP).
struct Background(Option<SigSet>);

impl Background {
    fn allow() -> Self {
        let mut before = SigSet::empty();
        let stop = SigSet::from(Signal::SIGTTOU);
        let changed =
            nix::sys::signal::pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&stop), Some(&mut before));
        Self(changed.ok().map(|()| before))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = nix::sys::signal::pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(before), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Sink, Target, Way, way};
    use nix::{
        fcntl::{FcntlArg, OFlag, fcntl},
        unistd::pipe,
    };
    use std::{
        fs::File,
        io::Read,
        os::{
            fd::{AsFd, AsRawFd, OwnedFd},
            unix::net::UnixStream,
        },
        path::Path,
        sync::atomic::Ordering::Relaxed,
    };

    fn sink(lines: OwnedFd) -> Sink {
        let sink = Sink::new();
        sink.set(lines).unwrap();
        sink
    }

    /// Writes until nothing goes any more; what was written then can be read.
    fn fill(sink: &Sink) {
        while !sink.has_lost() {
            sink.write(&[b'x'; 1000]);
        }
    }

    fn is_nonblocking(descriptor: &impl AsFd) -> bool {
        OFlag::from_bits_truncate(fcntl(descriptor, FcntlArg::F_GETFL).unwrap()).contains(OFlag::O_NONBLOCK)
    }

    #[test]
    fn a_full_pipe_loses_lines_and_tells_how_many() {
        let (mut reader, writer) = pipe().map(|(reader, writer)| (File::from(reader), writer)).unwrap();
        for lines in [super::reopened(writer.as_fd()).unwrap(), writer.try_clone().unwrap()] {
            assert!(!is_nonblocking(&writer), "others write to it as before");
            let sink = sink(lines);
            fill(&sink);
            sink.write(&[b'y'; 1000]);
            assert_eq!(sink.take_lost(), 2);
            let _ = reader.read(&mut vec![0; 1 << 20]).unwrap();
            sink.write(b"whole\n");
            assert!(!sink.has_lost());
            let mut read = vec![0; 1 << 20];
            let count = reader.read(&mut read).unwrap();
            assert!(read[..count].ends_with(b"\nwhole\n") || read[..count] == *b"whole\n");
        }
    }

    #[test]
    fn a_pipe_that_others_share_is_asked_for_room_where_the_kernel_knows_no_better() {
        let (_reader, writer) = pipe().unwrap();
        assert_eq!(way(writer.as_fd()).unwrap(), Way::SharedPipe);
        let written = || super::write_if_room(writer.as_fd(), &[b'x'; 4096]);
        while written().is_ok() {}
        assert_eq!(written(), Err(nix::Error::EAGAIN));
    }

    #[test]
    fn a_line_that_was_cut_off_is_ended_before_the_next() {
        let (mut reader, writer) = pipe().map(|(reader, writer)| (File::from(reader), writer)).unwrap();
        let sink = sink(super::reopened(writer.as_fd()).unwrap());
        sink.write(&[b'x'; 200_000]);
        assert_eq!(sink.take_lost(), 1);
        let _ = reader.read(&mut vec![0; 1 << 20]).unwrap();
        sink.write(b"next\n");
        let mut read = [0; 16];
        assert_eq!(reader.read(&mut read).unwrap(), 6);
        assert_eq!(&read[..6], b"\nnext\n");
    }

    #[test]
    fn a_reader_that_is_gone_and_a_full_disk_lose_lines() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let full = Target::open(Path::new("/dev/full")).unwrap().into_lines();
        for lines in [writer, ours.into(), full] {
            let sink = sink(lines);
            sink.write(b"lost\n");
            assert_eq!(sink.take_lost(), 1);
        }
    }

    #[test]
    fn a_socket_that_nobody_reads_loses_lines() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let sink = sink(ours.try_clone().unwrap().into());
        fill(&sink);
        assert!(!is_nonblocking(&ours));
    }

    #[test]
    fn a_descriptor_that_was_closed_and_used_again_is_not_written_to() {
        let (_reader, writer) = pipe().unwrap();
        let sink = sink(super::reopened(writer.as_fd()).unwrap());
        let (mut theirs, ours) = UnixStream::pair().unwrap();
        let number = sink.descriptor.load(Relaxed);
        // As an application does that closes all descriptors, and is given the number for a connection.
        // SAFETY: the number is the sink's, which never closes it.
        assert!(unsafe { libc::dup2(ours.as_raw_fd(), number) } >= 0);
        sink.write(b"secret\n");
        assert_eq!(sink.take_lost(), 1);
        assert!(sink.copy().is_none());
        drop(ours);
        // SAFETY: as above.
        unsafe { libc::close(number) };
        let mut read = Vec::new();
        theirs.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"");
    }

    #[test]
    fn a_named_pipe_needs_no_reader() {
        let path = std::env::temp_dir().join(format!("hostler-fifo-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let target = Target::open(&path).unwrap();
        assert!(!is_nonblocking(&target.descriptors()[0]));
        let sink = sink(target.into_lines());
        sink.write(b"waits for a reader\n");
        assert!(!sink.has_lost());
        std::fs::remove_file(&path).unwrap();
    }
}
