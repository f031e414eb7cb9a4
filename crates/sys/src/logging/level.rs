//! The level of log lines, which can change while the process runs.
//!
//! Each place that logs remembers whether it is to (`Interest`), so that one that is not costs a comparison. After a change
//! they are all asked again.

use hostler_settings::LogLevel;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use tracing::{
    Event, Metadata, Subscriber,
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};

/// The least important level that is logged, by its place in [`LEVELS`].
static LEAST: AtomicU8 = AtomicU8::new(2);
const LEVELS: [LevelFilter; 4] =
    [LevelFilter::ERROR, LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG];

/// What is logged at a level of the settings.
const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Error | LogLevel::Critical => LevelFilter::ERROR,
    }
}

/// Sets it in this process, at once.
pub fn set(level: LogLevel) {
    let filter = filter(level);
    let place = LEVELS.iter().position(|known| *known == filter).unwrap_or_default();
    LEAST.store(u8::try_from(place).unwrap_or_default(), Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

fn least() -> LevelFilter {
    LEVELS[usize::from(LEAST.load(Relaxed)) % LEVELS.len()]
}

/// What the crates beneath the server tell is for their developers; the server tells what it means to users.
const BENEATH: [&str; 4] = ["h2", "hyper", "hyper_util", "rustls"];

fn is_beneath(metadata: &Metadata<'_>) -> bool {
    let krate = metadata.target().split("::").next().unwrap_or_default();
    BENEATH.contains(&krate)
}

/// A subscriber that is told of lines of the level alone.
pub(super) struct Leveled<S>(pub(super) S);

impl<S: Subscriber> Subscriber for Leveled<S> {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match *metadata.level() <= least() && !is_beneath(metadata) {
            true => self.0.register_callsite(metadata),
            false => Interest::never(),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(least())
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= least() && !is_beneath(metadata) && self.0.enabled(metadata)
    }

    fn event(&self, event: &Event<'_>) {
        self.0.event(event);
    }

    fn event_enabled(&self, event: &Event<'_>) -> bool {
        self.0.event_enabled(event)
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        self.0.new_span(attributes)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.0.record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.0.record_follows_from(span, follows);
    }

    fn enter(&self, span: &Id) {
        self.0.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.0.exit(span);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.0.clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.0.try_close(id)
    }
}
