//! Log lines: time in UTC, level, event, fields. One form for master, mold and workers.
//!
//! Where they go, and that writing never blocks, is [`sink`]'s part. Lines that could not be written are counted, and
//! [`report_lost`] logs how many as soon as one can be written again.

pub mod access;
pub mod level;
pub mod panics;
mod sink;
pub mod target;
mod write;

use hostler_settings::{Log, LogFormat};
use level::Leveled;
use sink::Sink;
use std::{
    io,
    os::fd::OwnedFd,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};
use target::Target;
use tracing::{Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::fmt::{
    SubscriberBuilder,
    format::{DefaultFields, Format},
};

static SINK: Sink = Sink::new();
/// Whether lines are JSON objects.
static JSON: AtomicBool = AtomicBool::new(false);

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

/// Starts logging in this process. A second call, after a fork, has no effect.
pub fn init(settings: &Log) {
    JSON.store(settings.format == LogFormat::Json, Relaxed);
    if !settings.enabled {
        return;
    }
    // Before the subscriber, so that it finds it. A worker that is forked keeps the level that the mold has by then.
    if !tracing::dispatcher::has_been_set() {
        level::set(settings.level);
    }
    // What is logged is decided around it (`level`).
    let all = Level::TRACE;
    let _ = match settings.format {
        LogFormat::Text => tracing::subscriber::set_global_default(Leveled(lines(all).finish())),
        LogFormat::Json => tracing::subscriber::set_global_default(Leveled(json_lines(all))),
    };
}

/// Whether lines are logged at all (`--log`).
#[must_use]
pub fn is_on() -> bool {
    tracing::dispatcher::has_been_set()
}

fn lines(level: Level) -> SubscriberBuilder<DefaultFields, Format, LevelFilter, fn() -> LineWriter> {
    tracing_subscriber::fmt()
        .with_writer((|| LineWriter) as fn() -> LineWriter)
        // It would print its own errors, and panic if that fails.
        .log_internal_errors(false)
        .with_max_level(level)
        .with_ansi(false)
        .with_target(false)
}

fn json_lines(level: Level) -> impl Subscriber + Send + Sync {
    lines(level).json().flatten_event(true).finish()
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

/// Writes a record of another logger, which has formatted it, as one entry, even if it has several lines.
pub fn write_record(level: Level, logger: &str, text: &str) {
    if !JSON.load(Relaxed) {
        return write_text(&format!("{text}\n"));
    }
    match level {
        Level::ERROR => tracing::error!(logger, "{text}"),
        Level::WARN => tracing::warn!(logger, "{text}"),
        Level::INFO => tracing::info!(logger, "{text}"),
        _ => tracing::debug!(logger, "{text}"),
    }
}

/// Whether lines are JSON objects.
#[must_use]
pub fn is_json() -> bool {
    JSON.load(Relaxed)
}

fn write_text(text: &str) {
    SINK.write(text.as_bytes());
}

/// Writes why the server cannot start, whatever the log settings are: as text, or, where lines are JSON objects, by logging
/// an event. Waits for the reader for a second at most.
pub fn write_last_words(text: &str, event: impl Fn()) {
    let write = || match JSON.load(Relaxed) {
        true => tracing::subscriber::with_default(json_lines(Level::ERROR), &event),
        false => write_text(text),
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
    if !SINK.has_lost() {
        return;
    }
    let lines = SINK.take_lost();
    tracing::warn!(lines, "log lines were lost: the log could not be written");
    if SINK.take_lost() > 0 {
        SINK.put_lost(lines);
    }
}

/// Whether lines were lost.
#[must_use]
pub fn has_lost() -> bool {
    SINK.has_lost()
}

/// The writer of one line, which arrives in one call.
struct LineWriter;

impl io::Write for LineWriter {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        SINK.write(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs where the server listens.
pub fn listening(address: &dyn std::fmt::Display) {
    tracing::info!(%address, "listening");
}
