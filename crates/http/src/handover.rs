//! Idle connections that go from a worker that drains to one that serves, so that none is closed under a
//! client that is about to send.
//!
//! All workers hold both ends of one line. The one that drains sends sockets, with what it had read of the
//! next request; whoever serves takes them like connections from an accept queue. A frame
//! ([`HandoverHead`]) is received in one call, so siblings cannot take a part of it each.
//!
//! Invariants
//! - A connection that cannot be sent stays with the worker that has it: [`Line::offer`] only borrows it.
//! - Nothing is received without room for its descriptors; the kernel would drop them.

use crate::watch::watch;
use bytes::Bytes;
use hostler_sys::message;
use hostler_wire::{HANDOVER_HEAD, HANDOVER_INLINE, HandoverHead};
use std::{
    cell::RefCell,
    collections::VecDeque,
    fs::File,
    io::{self, IoSlice},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::FileExt,
    },
    rc::Rc,
    time::Duration,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::sleep,
};

/// How many descriptors come with a frame at most: the connection, and a file of unread bytes.
const MOST_DESCRIPTORS: usize = 2;
/// How long to wait when the kernel takes no frame for lack of something else than room in the line.
const PAUSE: Duration = Duration::from_millis(10);

/// This process's ends of the line; cheap to clone, for one thread.
#[derive(Clone)]
pub struct Line(Rc<Ends>);

struct Ends {
    sender: AsyncFd<OwnedFd>,
    receiver: AsyncFd<OwnedFd>,
    /// What the line had no room for yet.
    waiting: RefCell<VecDeque<(Frame<Vec<u8>>, OwnedFd)>>,
    /// Descriptors that are closed while a frame is received, so that there is room for what comes with it.
    reserve: RefCell<Vec<OwnedFd>>,
}

/// A connection that was handed over.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) socket: OwnedFd,
    /// Which of the sender's listeners it came from.
    pub(crate) listener: usize,
    /// What was read of the next request.
    pub(crate) unread: Bytes,
}

impl Line {
    /// Registers both ends with the runtime of this thread.
    ///
    /// # Errors
    /// The kernel's, when a descriptor cannot be watched.
    pub fn new(receiver: OwnedFd, sender: OwnedFd) -> io::Result<Self> {
        for end in [&receiver, &sender] {
            message::set_nonblocking(end.as_fd())?;
        }
        Ok(Self(Rc::new(Ends {
            sender: watch(sender, Interest::WRITABLE)?,
            receiver: watch(receiver, Interest::READABLE)?,
            waiting: RefCell::default(),
            reserve: RefCell::default(),
        })))
    }

    /// Sends a connection to whoever serves. On success it is on its way, with a descriptor of its own, and the
    /// caller lets go of it. On failure it is the caller's as before, to be served on and offered again later.
    ///
    /// # Errors
    /// The kernel's: no descriptor left (EMFILE), too many on their way (ETOOMANYREFS), no memory; `InvalidInput` if
    /// there is more unread than any request head may have.
    pub(crate) fn offer(&self, listener: u16, unread: &[u8], socket: BorrowedFd<'_>) -> io::Result<()> {
        let frame = Frame::new(listener, unread)?;
        // Those that wait go first.
        if self.waiting() == 0 {
            match frame.send(&self.0.sender, socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return sent,
            }
        }
        let socket = socket.try_clone_to_owned()?;
        self.0.waiting.borrow_mut().push_back((frame.into_owned(), socket));
        if self.waiting() == 1 {
            let line = self.clone();
            tokio::task::spawn_local(async move { line.emptied().await });
        }
        Ok(())
    }

    /// Waits until every connection that was offered is on its way.
    pub async fn emptied(&self) {
        while self.waiting() > 0 {
            let Ok(mut ready) = self.0.sender.writable().await else { return };
            if let Ok(Err(error)) = ready.try_io(|_| self.send_waiting()) {
                tracing::debug!(%error, "a connection cannot be handed over yet");
                sleep(PAUSE).await;
            }
        }
    }

    fn waiting(&self) -> usize {
        self.0.waiting.borrow().len()
    }

    fn send_waiting(&self) -> io::Result<()> {
        let mut waiting = self.0.waiting.borrow_mut();
        while let Some((frame, socket)) = waiting.front() {
            frame.send(&self.0.sender, socket.as_fd())?;
            waiting.pop_front();
        }
        Ok(())
    }

    /// Waits until somebody hands over a connection.
    pub(crate) async fn ready(&self) {
        if let Ok(mut ready) = self.0.receiver.readable().await {
            ready.retain_ready();
        }
    }

    /// Takes a connection that somebody handed over.
    ///
    /// # Errors
    /// `WouldBlock` if a sibling was faster; the kernel's, if there is no room for another descriptor (EMFILE): then
    /// the connection stays in the line; `InvalidData` for what is no frame of this version.
    pub(crate) fn take(&self) -> io::Result<Handed> {
        self.make_room()?;
        let taken = self.0.receiver.try_io(Interest::READABLE, |receiver| {
            self.0.reserve.borrow_mut().clear();
            receive(receiver.as_fd())
        });
        // If there is no room for the reserve any more, the next call says so.
        let _ = self.make_room();
        taken
    }

    fn make_room(&self) -> io::Result<()> {
        let mut reserve = self.0.reserve.borrow_mut();
        while reserve.len() < MOST_DESCRIPTORS {
            reserve.push(self.0.receiver.get_ref().try_clone()?);
        }
        Ok(())
    }
}

/// A connection in the form in which it travels, but for its socket.
struct Frame<B> {
    head: [u8; HANDOVER_HEAD],
    /// Unread bytes, if they are few.
    behind: B,
    /// If they are many.
    file: Option<File>,
}

impl<'a> Frame<&'a [u8]> {
    fn new(listener: u16, unread: &'a [u8]) -> io::Result<Self> {
        let said = HandoverHead { listener, unread: unread.len() };
        let head = said.encode().ok_or(io::ErrorKind::InvalidInput)?;
        let long = said.has_file();
        let file = if long { Some(message::file_with(unread)?) } else { None };
        Ok(Self { head, behind: if long { &[] } else { unread }, file })
    }

    fn into_owned(self) -> Frame<Vec<u8>> {
        Frame { head: self.head, behind: self.behind.to_vec(), file: self.file }
    }
}

impl<B: AsRef<[u8]>> Frame<B> {
    fn send(&self, line: &AsyncFd<OwnedFd>, socket: BorrowedFd<'_>) -> io::Result<()> {
        let parts = [IoSlice::new(&self.head), IoSlice::new(self.behind.as_ref())];
        let line = line.get_ref().as_fd();
        match &self.file {
            Some(file) => message::send(line, &parts, &[socket, file.as_fd()]),
            None => message::send(line, &parts, &[socket]),
        }
    }
}

fn receive(line: BorrowedFd<'_>) -> io::Result<Handed> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "it is no frame that this version knows");
    let mut frame = [0; HANDOVER_HEAD + HANDOVER_INLINE];
    let received = message::receive(line, &mut frame, MOST_DESCRIPTORS)?;
    let mut descriptors = received.descriptors.into_iter();
    let (head, behind) = HandoverHead::decode(&frame[..received.length]).ok_or_else(invalid)?;
    let socket = descriptors.next().ok_or_else(invalid)?;
    let unread = if head.has_file() {
        let file = File::from(descriptors.next().ok_or_else(invalid)?);
        // Else a number would decide how much memory is taken.
        if file.metadata()?.len() != head.unread as u64 {
            return Err(invalid());
        }
        let mut unread = vec![0; head.unread];
        file.read_exact_at(&mut unread, 0)?;
        unread.into()
    } else {
        Bytes::copy_from_slice(behind)
    };
    Ok(Handed { socket, listener: usize::from(head.listener), unread })
}

/// A stream that shows its descriptor.
pub(crate) trait Descriptor {
    fn descriptor(&self) -> BorrowedFd<'_>;
}

impl<S: AsFd> Descriptor for hyper_util::rt::TokioIo<S> {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.inner().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::Line;
    use hostler_sys::channel::Channel;
    use std::{
        io::{ErrorKind, Read, Write},
        os::{fd::AsFd, unix::net::UnixStream},
    };
    use tokio::{runtime::Builder, task::LocalSet};

    /// The lines of two siblings, which take from the same end.
    fn siblings() -> (Line, Line) {
        let (receiver, sender) = Channel::pair().unwrap();
        let copies = (receiver.try_clone().unwrap(), sender.try_clone().unwrap());
        let line = Line::new(receiver.into_fd(), sender.into_fd()).unwrap();
        (line, Line::new(copies.0.into_fd(), copies.1.into_fd()).unwrap())
    }

    fn in_a_worker(test: impl Future<Output = ()>) {
        LocalSet::new().block_on(&Builder::new_current_thread().enable_all().build().unwrap(), test);
    }

    #[test]
    fn heads_of_any_length_arrive_whole_whichever_sibling_takes_them() {
        in_a_worker(async {
            let (one, two) = siblings();
            let lengths = [0, 1, 100, 8191, 8192, 8193, 33_000, 131_073, 417_792, 5_000_000];
            let mut clients = Vec::new();
            for (number, length) in (0..).zip(lengths) {
                let (client, socket) = UnixStream::pair().unwrap();
                one.offer(number, &vec![b'a' + number as u8; length], socket.as_fd()).unwrap();
                clients.push(client);
            }
            for (number, length) in lengths.into_iter().enumerate() {
                let line = if number % 2 == 0 { &one } else { &two };
                line.ready().await;
                let handed = line.take().unwrap();
                assert_eq!((handed.listener, handed.unread.len()), (number, length));
                assert!(handed.unread.iter().all(|byte| *byte == b'a' + number as u8));
                UnixStream::from(handed.socket).write_all(&[number as u8]).unwrap();
                let mut told = Vec::new();
                clients[number].read_to_end(&mut told).unwrap_or(0);
                assert_eq!(told.first(), Some(&(number as u8)));
            }
            assert_eq!(two.take().unwrap_err().kind(), ErrorKind::WouldBlock);
        });
    }

    #[test]
    fn what_the_line_has_no_room_for_waits_and_keeps_its_order() {
        in_a_worker(async {
            let (one, two) = siblings();
            let (_client, socket) = UnixStream::pair().unwrap();
            for number in 0..2000 {
                one.offer(number, b"begun", socket.as_fd()).unwrap();
            }
            assert!(one.waiting() > 0, "the test is to fill the line");
            for number in 0..2000 {
                two.ready().await;
                let handed = loop {
                    match two.take() {
                        Ok(handed) => break handed,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                    }
                    tokio::task::yield_now().await;
                };
                assert_eq!((handed.listener, &*handed.unread), (number, &b"begun"[..]));
            }
            one.emptied().await;
        });
    }

    #[test]
    fn what_is_no_frame_is_refused_and_the_next_one_is_taken() {
        in_a_worker(async {
            let (one, two) = siblings();
            let (_client, socket) = UnixStream::pair().unwrap();
            let json = std::io::IoSlice::new(b"{\"listener\":0,\"unread\":[]}");
            hostler_sys::message::send(one.0.sender.get_ref().as_fd(), &[json], &[socket.as_fd()]).unwrap();
            one.offer(3, b"", socket.as_fd()).unwrap();
            two.ready().await;
            assert_eq!(two.take().unwrap_err().kind(), ErrorKind::InvalidData);
            assert_eq!(two.take().unwrap().listener, 3);
        });
    }
    /// Runs the test of this name in a process of its own with few descriptors, for the limit is the process's.
    fn with_few_descriptors(name: &str) -> bool {
        const HERE: &str = "HOSTLER_TEST_FEW_DESCRIPTORS";
        if std::env::var_os(HERE).is_some() {
            return true;
        }
        let mut command = std::process::Command::new("prlimit");
        command.arg("--nofile=1000:1000").arg(std::env::current_exe().unwrap());
        let status = command.args(["--exact", name]).env(HERE, "1").status().unwrap();
        assert!(status.success());
        false
    }

    #[test]
    fn without_descriptors_nothing_is_taken_and_what_is_refused_stays_whole() {
        let name = "handover::tests::without_descriptors_nothing_is_taken_and_what_is_refused_stays_whole";
        if !with_few_descriptors(name) {
            return;
        }
        in_a_worker(async {
            let (one, two) = siblings();
            let (mut client, socket) = UnixStream::pair().unwrap();
            while one.waiting() == 0 {
                one.offer(1, b"", socket.as_fd()).unwrap();
            }
            two.ready().await;
            two.take().unwrap();
            let full = || std::fs::File::open("/dev/null");
            let mut files: Vec<_> = std::iter::from_fn(|| full().ok()).collect();
            let refused = one.offer(2, b"begun", socket.as_fd()).unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(24), "EMFILE");
            (&socket).write_all(b"!").unwrap();
            client.read_exact(&mut [0]).unwrap();
            // The reserve was filled before; what is taken has its place from then on.
            let first = two.take().unwrap();
            assert_eq!(two.take().unwrap_err().raw_os_error(), Some(24), "EMFILE");
            files.truncate(files.len() - 1);
            drop(first);
            let mut taken = 0;
            while let Ok(handed) = two.take() {
                assert_eq!(handed.listener, 1);
                taken += 1;
            }
            assert!(taken > 100, "{taken}");
        });
    }
}
