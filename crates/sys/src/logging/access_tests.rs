use super::{Buffer, FULL, MANY, TRIED, longest_line, write_to};
use crate::logging::target::reopened;
use nix::unistd::pipe;
use std::{fs::File, io::Read, os::fd::AsFd};

const LINE: usize = 1000;

fn line(out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'x'; LINE - 1]);
    out.push(b'\n');
}

/// Adds lines until so many bytes wait.
fn fill(buffer: &mut Buffer, bytes: usize) {
    while buffer.lines.len() < bytes {
        buffer.add(line);
    }
}

/// The log of a process is one: so is this test.
#[test]
fn a_reader_that_reads_again_is_noticed_and_what_is_left_at_the_end_is_counted() {
    let (mut reader, writer) = pipe().map(|(reader, writer)| (File::from(reader), writer)).unwrap();
    assert_eq!(longest_line(), usize::MAX);
    write_to(reopened(writer.as_fd()).unwrap()).unwrap();
    assert_eq!(longest_line(), 4096);
    let mut read = vec![0; 1 << 20];
    let mut buffer = Buffer::new();
    // The pipe is full, and more waits.
    fill(&mut buffer, 2 * MANY);
    let waiting = buffer.lines.len();
    let taken = reader.read(&mut read).unwrap();
    // Without anybody flushing, it is written when it has become more.
    let more = 2 * MANY / LINE;
    (0..more).for_each(|_| buffer.add(line));
    let written = waiting + more * LINE - buffer.lines.len();
    assert!(written >= MANY, "{written}");
    assert_eq!(taken % LINE, 0, "a pipe takes whole lines");
    // The same when lines are dropped already.
    fill(&mut buffer, FULL);
    (0..TRIED).for_each(|_| buffer.add(line));
    assert_eq!(buffer.lost, TRIED);
    let taken = reader.read(&mut read).unwrap();
    (0..TRIED).for_each(|_| buffer.add(line));
    assert!(taken > 0 && buffer.lost == TRIED, "{}", buffer.lost);
    // What nothing takes at the end is lost, and counted.
    let waiting = buffer.lines.len() / LINE;
    buffer.give_up();
    assert_eq!(buffer.lost, TRIED + waiting as u64);
    assert!(buffer.lines.is_empty());
}
