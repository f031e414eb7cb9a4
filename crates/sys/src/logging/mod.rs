//! Log lines: time in UTC, level, event, fields. One form for master, mold and workers: [`text`] or [`json`], of a
//! [`record`] that [`subscriber`] makes of each event.
//!
//! Where they go, and that writing never blocks, is [`sink`]'s part, or that of [`mod@receiver`] for journald and syslog. Lines that could not be written are counted, and
//! [`report_lost`] logs how many as soon as one can be written again.

pub mod access;
mod journal;
mod json;
mod level;
pub mod panics;
mod receiver;
mod record;
mod sink;
mod stamp;
mod stream;
mod subscriber;
mod syslog;
pub mod target;
mod text;
mod write;

pub use record::without_number;

use hostler_settings::{Colour, Log, LogFormat, LogTarget};
use receiver::{Receiver, Sent};
use record::{Record, Value};
use sink::Sink;
use std::{
    io,
    os::fd::OwnedFd,
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use subscriber::Lines;
use target::Target;
use tracing::Level;

static SINK: Sink = Sink::new();
/// Whether lines are JSON objects.
static JSON: AtomicBool = AtomicBool::new(false);
/// Whether lines have colours, as a [`Colour`].
static COLOUR: AtomicU8 = AtomicU8::new(Colour::Auto as u8);

/// Where lines go instead of the sink.
static RECEIVER: OnceLock<Receiver> = OnceLock::new();
/// What is written to standard error is in the journal.
static STDERR_IS_JOURNAL: AtomicBool = AtomicBool::new(false);
/// Lines go to the sink although there is a receiver: a reload has made them JSON, which the journal is not sent by itself.
static TO_SINK: AtomicBool = AtomicBool::new(false);
/// Whether lines are logged at all.
static ON: AtomicBool = AtomicBool::new(false);

/// How long the message of a server that cannot start waits for its reader.
const FATAL_LIMIT: Duration = Duration::from_secs(1);

/// Where lines go.
#[derive(Debug)]
pub enum Destination<'a> {
    /// To standard error.
    StandardError,
    /// To the end of a file, which becomes standard error too.
    File(&'a Path),
    /// To a descriptor that another process has opened for this.
    Descriptor(OwnedFd),
}

/// Sets where lines go, without starting to log.
///
/// # Errors
/// The kernel's, if a file cannot be opened.
pub fn open(destination: Destination<'_>) -> io::Result<()> {
    // At the file size limit a line is lost; the process must not be terminated.
    crate::signal::ignore(libc::SIGXFSZ);
    match destination {
        Destination::StandardError => SINK.set(Target::standard_error()?.into_lines()),
        Destination::File(path) => write_to(Target::open(path)?),
        Destination::Descriptor(lines) => SINK.set(lines),
    }
}

/// Logs as these settings say from now on: whether, from which level on, in which form, and whether a receiver gets the lines.
/// For the start of a process and for a reload; the next line of any thread is in the new form.
pub fn follow(settings: &Log) {
    set_form(settings.format, settings.colour);
    follow_target(settings);
    ON.store(settings.enabled, Relaxed);
    level::set(settings.enabled.then_some(settings.level));
    // A native service that does not log may have a subscriber of its own.
    if settings.enabled && !tracing::dispatcher::has_been_set() {
        let _ = tracing::subscriber::set_global_default(Lines(None));
    }
}

/// The journal is the target of lines of text where standard error is the journal, and so comes and goes with the format. Other
/// targets last as long as the process.
fn follow_target(settings: &Log) {
    TO_SINK.store(settings.target.is_none(), Relaxed);
    let is_journal = matches!(settings.target, Some(LogTarget::Journal(_)));
    if is_journal && let Err(error) = open_receiver(settings) {
        tracing::warn!(%error, "the journal cannot be reached: lines go to standard error");
    }
}

/// Whether lines are logged at all (`--log`).
#[must_use]
pub fn is_on() -> bool {
    ON.load(Relaxed)
}

/// Where lines go instead of the sink now.
fn receiver() -> Option<&'static Receiver> {
    RECEIVER.get().filter(|_| !TO_SINK.load(Relaxed))
}

/// Sets what lines look like, before the rest of the settings is known.
pub fn set_form(format: LogFormat, colour: Colour) {
    JSON.store(format == LogFormat::Json, Relaxed);
    COLOUR.store(colour as u8, Relaxed);
}

/// Sends lines to the receiver that the options name, if they name one: journald or syslog.
///
/// # Errors
/// If its address has no meaning.
pub fn open_receiver(settings: &Log) -> io::Result<()> {
    // In a worker it is the mold's.
    if RECEIVER.get().is_none()
        && let Some(receiver) = Receiver::new(settings)?
    {
        let _ = RECEIVER.set(receiver);
    }
    Ok(())
}

/// Whether standard error is the journal, by the value of `JOURNAL_STREAM`. What the application prints is there then, too.
#[must_use]
pub fn is_journal(stream: &str) -> bool {
    let found = nix::sys::stat::fstat(io::stderr());
    let is_journal = found.is_ok_and(|found| format!("{}:{}", found.st_dev, found.st_ino) == stream);
    STDERR_IS_JOURNAL.store(is_journal, Relaxed);
    is_journal
}

/// Waits a little for a receiver that has not taken all lines.
pub fn settle(at_most: Duration) {
    let limit = Instant::now() + at_most;
    while RECEIVER.get().is_some_and(Receiver::flush) && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// As [`settle`]; the process ends. What the receiver has not taken then is lost, and standard error says how much that is.
pub fn finish(at_most: Duration) {
    let Some(receiver) = RECEIVER.get() else { return };
    receiver.hurry();
    settle(at_most);
    let lines = receiver.give_up() + SINK.take_lost();
    if lines > 0 {
        let text =
            "log lines were lost: the receiver of --log-target had not taken them when the process ended";
        let mut record = Record::new(Level::WARN, text.into());
        let pid = std::process::id();
        record.fields.extend([("lines", Value::Natural(lines)), ("pid", Value::Natural(pid.into()))]);
        write_line(&record);
    }
}

/// Counts a line that is lost.
fn lose_line() {
    SINK.lose();
}

/// Writes a line.
fn emit(record: &Record) {
    if let Some(receiver) = receiver() {
        if receiver.send(record) == Sent::Not {
            lose_line();
        }
        return;
    }
    write_line(record);
}

/// Writes a line to the sink.
fn write_line(record: &Record) {
    let now = stamp::now();
    let line = match is_json() {
        true => json::line(record, &stamp::microseconds(now)),
        false => text::line(record, &stamp::milliseconds(now), has_colours()),
    };
    SINK.write(line.as_bytes());
}

fn has_colours() -> bool {
    match COLOUR.load(Relaxed) {
        colour if colour == Colour::Always as u8 => true,
        colour if colour == Colour::Never as u8 => false,
        _ => SINK.is_terminal(),
    }
}

/// Redirects log lines and standard error to another log.
///
/// # Errors
/// The kernel's (dup(2)).
pub fn write_to(target: Target) -> io::Result<()> {
    target.become_standard_error()?;
    SINK.set(target.into_lines())
}

/// As [`write_to`], from the descriptors of a message.
pub fn write_to_descriptors(descriptors: Vec<OwnedFd>) {
    if let Some(target) = Target::from_descriptors(descriptors)
        && let Err(error) = write_to(target)
    {
        tracing::warn!(%error, "the log could not be reopened");
    }
}

/// A descriptor that lines are written to, for a process that may not be allowed to open it again.
#[must_use]
pub fn descriptor() -> Option<OwnedFd> {
    SINK.copy()
}

/// An exception of the application.
#[derive(Clone, Copy, Debug)]
pub struct Exception<'a> {
    /// Its class.
    pub class: &'a str,
    /// What it says.
    pub message: &'a str,
    /// As Python prints it.
    pub traceback: &'a str,
}

/// Writes a record of another logger, as one entry, even if it has several lines. Where lines are text, it is written as that
/// logger has formatted it.
pub fn write_record(level: Level, logger: &str, text: &str, exception: Option<Exception<'_>>) {
    if !is_json() && receiver().is_none() {
        let traceback = exception.map_or(String::new(), |it| format!("\n{}", it.traceback.trim_end()));
        return SINK.write(text::harmless(&format!("{text}{traceback}\n")).as_bytes());
    }
    write_event(level, logger, text, exception);
}

/// Writes a record of another logger in the form of the server's own lines.
pub fn write_event(level: Level, logger: &str, text: &str, exception: Option<Exception<'_>>) {
    let record = Record::new(level, text.to_owned())
        .with("logger", Some(logger))
        .with("exception_type", exception.map(|it| it.class))
        .with("exception_message", exception.map(|it| it.message))
        .with("traceback", exception.map(|it| it.traceback));
    emit(&record);
}

/// Writes a line that a companion has written: its text behind the companion's name or, as a JSON object or an entry of the journal,
/// beside it. It is no event of the server, so that the level of the log does not matter.
pub fn write_output(companion: &str, replica: Option<u16>, stream: &str, line: &str) {
    if !is_on() {
        return;
    }
    let replica_text = replica.map_or(String::new(), |number| format!("-{number}"));
    let mut record = match is_json() || receiver().is_some() {
        true => Record::new(Level::INFO, line.to_owned())
            .with("companion", Some(companion))
            .with("stream", Some(stream)),
        false => Record::new(Level::INFO, format!("{companion}{replica_text} | {line}")),
    };
    if is_json() || receiver().is_some() {
        record.fields.extend(replica.map(|number| ("replica", Value::Natural(number.into()))));
    }
    emit(&record);
}

/// Whether lines are JSON objects.
#[must_use]
pub fn is_json() -> bool {
    JSON.load(Relaxed)
}

/// Writes why the server cannot start, whatever the log settings are: as text, or, where lines are JSON objects, by logging
/// an event. Waits for the reader for a second at most.
pub fn write_last_words(text: &str, event: impl Fn()) {
    let log = || tracing::subscriber::with_default(Lines(Some(Level::ERROR)), &event);
    if receiver().is_some() {
        log();
        finish(FATAL_LIMIT);
        if STDERR_IS_JOURNAL.load(Relaxed) {
            return;
        }
    }
    let write = || match is_json() && receiver().is_none() {
        true => log(),
        false => SINK.write(text.as_bytes()),
    };
    let limit = Instant::now() + FATAL_LIMIT;
    let before = SINK.take_lost();
    write();
    while SINK.has_lost() && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(10));
        SINK.put_lost(0);
        write();
    }
    SINK.put_lost(before);
}

/// So many lines are dropped: shown on this process's page of the scoreboard, if it has one.
fn dropped(lines: u64) {
    if let Some(page) = crate::board::own() {
        page.lines_dropped(lines);
    }
}

/// Logs how many lines were lost, if any were. To be called from time to time.
pub fn report_lost() {
    RECEIVER.get().map(Receiver::flush);
    if !SINK.has_lost() {
        return;
    }
    let lines = SINK.take_lost();
    tracing::warn!(lines, "log lines were lost: the log could not be written");
    if SINK.take_lost() > 0 {
        SINK.put_lost(lines);
    }
}

/// Whether lines were lost, or wait to be sent.
#[must_use]
pub fn has_lost() -> bool {
    SINK.has_lost() || RECEIVER.get().is_some_and(Receiver::flush)
}

/// Logs where the server listens.
pub fn listening(address: &dyn std::fmt::Display) {
    tracing::info!(%address, "listening");
}
