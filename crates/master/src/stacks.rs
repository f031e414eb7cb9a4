//! What a stuck worker wrote about itself.

use std::{fs::File, io, os::unix::fs::FileExt};

/// More than this of a report is cut: it becomes one log event.
const LONGEST: usize = 32 * 1024;

/// Empties the file, so that what follows is new.
pub(crate) fn clear(file: &File) -> io::Result<()> {
    use std::io::Seek;
    file.set_len(0)?;
    // The worker has the same open file, and writes where it ends.
    let mut file = file;
    file.rewind()
}

/// What was written since the file was emptied.
pub(crate) fn read(file: &File) -> String {
    let mut bytes = vec![0; LONGEST];
    let mut length = 0;
    while length < LONGEST {
        match file.read_at(&mut bytes[length..], length as u64) {
            Ok(0) | Err(_) => break,
            Ok(count) => length += count,
        }
    }
    bytes.truncate(length);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Where the thread stands that was asked: `file.py:12 in handler`, the first place that is not ours.
///
/// faulthandler writes `Current thread 0x… (most recent call first):` and then lines like
/// `  File "/srv/app.py", line 12 in handler`.
pub(crate) fn place(stacks: &str) -> Option<String> {
    let own = stacks.lines().skip_while(|line| !line.starts_with("Current thread"));
    let frames = own.skip(1).take_while(|line| line.starts_with("  "));
    frames
        .filter_map(frame)
        .find(|(file, ..)| !file.starts_with('<'))
        .map(|(file, line, function)| format!("{file}:{line} in {function}"))
}

fn frame(line: &str) -> Option<(&str, &str, &str)> {
    let (file, rest) = line.trim_start().strip_prefix("File \"")?.split_once("\", line ")?;
    let (number, function) = rest.split_once(" in ")?;
    Some((file, number, function))
}

#[cfg(test)]
mod tests {
    use super::{clear, place, read};
    use std::io::Write;

    const STACKS: &str = "Thread 0x00007f (most recent call first):\n  File \"/usr/lib/threading.py\", line 5 in wait\n\nCurrent thread 0x00007e (most recent call first):\n  File \"<hostler._loop>\", line 3 in run\n  File \"/srv/shop/app.py\", line 12 in slow handler\n  File \"/srv/other.py\", line 1 in outer\n";

    #[test]
    fn the_place_is_the_first_of_the_thread_that_was_asked() {
        assert_eq!(place(STACKS).as_deref(), Some("/srv/shop/app.py:12 in slow handler"));
        assert_eq!(place("Thread 1\n  File \"/a.py\", line 1 in a\n"), None);
        assert_eq!(place(""), None);
    }

    #[test]
    fn only_what_is_new_is_read() {
        let file = hostler_sys::board::stacks_file().unwrap();
        (&file).write_all(b"old").unwrap();
        clear(&file).unwrap();
        (&file).write_all(b"new").unwrap();
        assert_eq!(read(&file), "new");
    }
}
