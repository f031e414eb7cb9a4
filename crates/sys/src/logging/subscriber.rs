//! What `tracing` hands events to: those that are important enough become records, which are written.

use super::{emit, level::least, record::Record};
use tracing::{Event, Level, Metadata, Subscriber, level_filters::LevelFilter, span};

/// What the crates beneath the server tell is for their developers; the server tells what it means to users.
const BENEATH: [&str; 4] = ["h2", "hyper", "hyper_util", "rustls"];

/// Writes events that are as important as this; `None` stands for the level of the log.
pub(super) struct Lines(pub(super) Option<Level>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let krate = metadata.target().split("::").next().unwrap_or_default();
        let limit = self.0.map_or_else(least, LevelFilter::from_level);
        *metadata.level() <= limit && metadata.is_event() && !BENEATH.contains(&krate)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.map_or_else(least, LevelFilter::from_level))
    }

    fn event(&self, event: &Event<'_>) {
        emit(&Record::of(event));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
