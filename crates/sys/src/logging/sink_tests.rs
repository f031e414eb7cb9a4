use super::Sink;
use crate::logging::{
    target::{Target, reopened},
    write::{Way, way, write_if_room},
};
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
fn a_full_pipe_loses_lines_and_counts_them() {
    let (mut reader, writer) = pipe().map(|(reader, writer)| (File::from(reader), writer)).unwrap();
    for lines in [reopened(writer.as_fd()).unwrap(), writer.try_clone().unwrap()] {
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

/// Half of it would stand before the next line of another process.
#[test]
fn a_long_line_is_written_whole_or_not_at_all() {
    let (mut reader, writer) = pipe().map(|(reader, writer)| (File::from(reader), writer)).unwrap();
    let mut read = vec![0; 1 << 20];
    for lines in [reopened(writer.as_fd()).unwrap(), writer.try_clone().unwrap()] {
        let sink = sink(lines);
        let long = [vec![b'x'; 19_999], b"\n".to_vec()].concat();
        while !sink.has_lost() {
            sink.write(&long);
        }
        sink.write(b"short\n");
        assert_eq!(sink.take_lost(), 1);
        let count = reader.read(&mut read).unwrap();
        let rest = read[..count].strip_suffix(b"short\n").unwrap();
        assert!(!rest.is_empty() && rest.len().is_multiple_of(long.len()), "{}", rest.len());
        sink.write(&long);
        assert_eq!((sink.take_lost(), reader.read(&mut read).unwrap()), (0, long.len()));
    }
}

#[test]
fn a_shared_pipe_is_polled_for_room_where_the_kernel_has_no_better_way() {
    let (_reader, writer) = pipe().unwrap();
    assert_eq!(way(writer.as_fd()).unwrap(), Way::SharedPipe);
    let written = || write_if_room(writer.as_fd(), &[b'x'; 4096]);
    while written().is_ok() {}
    assert_eq!(written(), Err(nix::Error::EAGAIN));
}

#[test]
fn a_line_that_was_cut_off_is_ended_before_the_next() {
    let (mut reader, writer) = pipe().map(|(reader, writer)| (File::from(reader), writer)).unwrap();
    let sink = sink(reopened(writer.as_fd()).unwrap());
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
fn a_socket_without_a_reader_loses_lines() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let sink = sink(ours.try_clone().unwrap().into());
    fill(&sink);
    assert!(!is_nonblocking(&ours));
}

#[test]
fn a_descriptor_that_was_closed_and_used_again_is_not_written_to() {
    let (_reader, writer) = pipe().unwrap();
    let sink = sink(reopened(writer.as_fd()).unwrap());
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
