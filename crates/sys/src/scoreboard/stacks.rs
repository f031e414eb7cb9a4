//! Stacks as faulthandler writes them to a file in memory: truncating and reading it, and finding the frame to report.

use std::{fs::File, io, os::unix::fs::FileExt};

/// The longest report, in bytes: it becomes one log event.
const MAX_LENGTH: usize = 32 * 1024;

/// Truncates the file.
///
/// # Errors
/// The kernel's.
pub fn clear(file: &File) -> io::Result<()> {
    use std::io::Seek;
    file.set_len(0)?;
    // The writer shares the open file description, and writes at its end.
    let mut file = file;
    file.rewind()
}

/// What was written since the file was truncated.
#[must_use]
pub fn read(file: &File) -> String {
    let mut bytes = vec![0; MAX_LENGTH];
    let mut length = 0;
    while length < MAX_LENGTH {
        match file.read_at(&mut bytes[length..], length as u64) {
            Ok(0) | Err(_) => break,
            Ok(count) => length += count,
        }
    }
    bytes.truncate(length);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The head of a report that a worker wrote by itself: the number of the turn that blocks its loop.
const TURN: &str = "turn ";

/// Replaces the content of the file by the stacks of a turn of the loop.
///
/// # Errors
/// The kernel's.
pub fn write_of_turn(file: &File, turn: u64, stacks: &str) -> io::Result<()> {
    use std::io::Write;
    clear(file)?;
    let mut file = file;
    file.write_all(format!("{TURN}{turn}\n{stacks}").as_bytes())
}

/// The turn that the stacks are of, if the worker wrote them by itself, and the stacks.
#[must_use]
pub fn of_turn(written: &str) -> (Option<u64>, &str) {
    let own = written.strip_prefix(TURN).and_then(|rest| rest.split_once('\n'));
    match own.and_then(|(turn, stacks)| Some((turn.parse().ok()?, stacks))) {
        Some((turn, stacks)) => (Some(turn), stacks),
        None => (None, written),
    }
}

/// Stacks that a thread of ours has written, rewritten so that `thread` is the current one, and ours is missing.
#[must_use]
pub fn with_current(stacks: &str, thread: u64) -> String {
    let own = format!("Thread 0x{thread:016x}");
    let parts = stacks.split("\n\n").filter(|part| !part.starts_with("Current thread"));
    let renamed = parts.map(|part| part.replace(&own, &format!("Current thread 0x{thread:016x}")));
    renamed.collect::<Vec<_>>().join("\n\n")
}

/// The id by which stacks name this thread.
#[must_use]
pub fn this_thread() -> u64 {
    // SAFETY: no precondition.
    let thread = unsafe { libc::pthread_self() };
    thread as u64
}

/// Where a thread is: `file.py:12 in handler`, the innermost frame of the application.
///
/// faulthandler writes `Thread 0x… (most recent call first):`, or `Current thread` for the one that wrote, and then
/// lines like `  File "/srv/app.py", line 12 in handler`. Without a number it is the current thread.
#[must_use]
pub fn place(stacks: &str, thread: Option<u64>) -> Option<String> {
    let frames = frames_of(stacks, thread);
    shown(applications(frames.clone()).or_else(|| frames.clone().next()))
}

/// What blocks a process: where its current thread is, or where the application waits if that thread waits for events.
#[must_use]
pub fn holdup(stacks: &str) -> Option<String> {
    let frames = frames_of(stacks, None);
    shown(applications(frames).or_else(|| waiting(stacks))).or_else(|| place(stacks, None))
}

/// The frames of a thread, the innermost first, without ours.
fn frames_of(stacks: &str, thread: Option<u64>) -> impl Iterator<Item = Frame<'_>> + Clone {
    let number = thread.map(|thread| format!("hread 0x{thread:016x}"));
    let is_head = move |line: &str| match &number {
        Some(number) => line.get(1..).is_some_and(|rest| rest.contains(number.as_str())),
        None => line.starts_with("Current thread"),
    };
    let from = stacks.lines().position(is_head).map_or(usize::MAX, |head| head + 1);
    stacks.lines().skip(from).take_while(|line| line.starts_with("  ")).filter_map(frame)
}

/// Where the application waits, from the stacks of asyncio's tasks (`python/hostler/_stacks.py`): tasks are separated by empty
/// lines, and their innermost frames come last.
fn waiting(stacks: &str) -> Option<Frame<'_>> {
    let tasks = stacks.split("\n\n").filter(|part| part.trim_start().starts_with("Stack for "));
    tasks.filter_map(|task| applications(task.lines().rev().filter_map(frame))).next()
}

type Frame<'a> = (&'a str, &'a str, &'a str);

fn shown(frame: Option<Frame<'_>>) -> Option<String> {
    frame.map(|(file, line, function)| format!("{file}:{line} in {function}"))
}

/// The first frame of the application itself; failing that, of the libraries that are installed for it.
fn applications<'a>(frames: impl Iterator<Item = Frame<'a>> + Clone) -> Option<Frame<'a>> {
    let mut telling = frames.filter(|(file, ..)| is_applications(file));
    telling.clone().find(|(file, ..)| !is_installed(file)).or_else(|| telling.next())
}

/// Whether a file is neither ours nor of Python's standard library.
fn is_applications(file: &str) -> bool {
    is_installed(file) || !file.contains("/lib/python3.")
}

fn is_installed(file: &str) -> bool {
    file.contains("/site-packages/") || file.contains("/dist-packages/")
}

/// A line of faulthandler, or of a traceback (`line 12, in handler`).
fn frame(line: &str) -> Option<Frame<'_>> {
    let (file, rest) = line.trim_start().strip_prefix("File \"")?.split_once("\", line ")?;
    let (number, function) = rest.split_once(" in ")?;
    (!file.starts_with('<')).then_some((file, number.trim_end_matches(','), function))
}

#[cfg(test)]
mod tests {
    use super::{clear, holdup, of_turn, place, read, with_current, write_of_turn};
    use std::io::Write;

    const STACKS: &str = "Thread 0x000000000000007f (most recent call first):\n  File \"/usr/lib/python3.13/threading.py\", line 5 in wait\n\nCurrent thread 0x000000000000007e (most recent call first):\n  File \"<hostler._loop>\", line 3 in run\n  File \"/usr/lib/python3.13/ssl.py\", line 9 in read\n  File \"/srv/venv/lib/python3.13/site-packages/requests.py\", line 7 in get\n  File \"/srv/shop/app.py\", line 12 in slow handler\n  File \"/srv/other.py\", line 1 in outer\n";

    #[test]
    fn the_place_is_the_applications_innermost_line() {
        assert_eq!(place(STACKS, None).as_deref(), Some("/srv/shop/app.py:12 in slow handler"));
        assert_eq!(place(STACKS, Some(0x7e)).as_deref(), Some("/srv/shop/app.py:12 in slow handler"));
        let library = place(STACKS, Some(0x7f));
        assert_eq!(library.as_deref(), Some("/usr/lib/python3.13/threading.py:5 in wait"));
        assert_eq!(place("Thread 1\n  File \"/a.py\", line 1 in a\n", None), None);
        assert_eq!(place("", Some(1)), None);
    }

    #[test]
    fn a_thread_that_waits_for_events_is_blocked_by_the_applications_await() {
        let idle = "Current thread 0x07 (most recent call first):\n  File \"/usr/lib/python3.13/asyncio/base_events.py\", line 4 in run\n  File \"<hostler._worker>\", line 2 in main\n";
        let tasks = "\nStack for <Task 1> (most recent call last):\n  File \"<hostler._lifespan>\", line 2, in startup\n    await it\n\nStack for <Task 2> (most recent call last):\n  File \"/srv/venv/lib/python3.13/site-packages/starlette.py\", line 6, in life\n  File \"/srv/app.py\", line 8, in lifespan\n  File \"/usr/lib/python3.13/asyncio/tasks.py\", line 4, in sleep\n";
        assert_eq!(holdup(&format!("{idle}{tasks}")).as_deref(), Some("/srv/app.py:8 in lifespan"));
        assert_eq!(holdup(idle).as_deref(), Some("/usr/lib/python3.13/asyncio/base_events.py:4 in run"));
        assert_eq!(holdup(STACKS).as_deref(), Some("/srv/shop/app.py:12 in slow handler"));
    }

    #[test]
    fn stacks_that_a_thread_of_ours_has_written_read_as_the_serving_threads() {
        let text = with_current(STACKS, 0x7f);
        assert!(text.starts_with("Current thread 0x000000000000007f (") && !text.contains("/srv"), "{text}");
        let file = crate::board::stacks_file().unwrap();
        write_of_turn(&file, 12, &text).unwrap();
        write_of_turn(&file, 13, &text).unwrap();
        assert_eq!(of_turn(&read(&file)), (Some(13), text.as_str()));
        assert_eq!(of_turn("turn x\n"), (None, "turn x\n"));
    }

    #[test]
    fn only_what_is_written_after_clear_is_read() {
        let file = crate::board::stacks_file().unwrap();
        (&file).write_all(b"old").unwrap();
        clear(&file).unwrap();
        (&file).write_all(b"new").unwrap();
        assert_eq!(read(&file), "new");
    }
}
