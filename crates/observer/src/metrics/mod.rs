//! `/metrics`: what the server counts, in Prometheus' text format or OpenMetrics. docs/METRICS.md lists every metric.
//!
//! Names and labels are bounded: methods and classes of statuses are few, workers are named by their slots, and paths and clients
//! are no labels.
//!
//! Files: `collect` metrics before they have a form, `format` the text formats, `otlp` the form of OTLP, `own` the server's metrics, `tasks` those of the task queue, `companions` those of companions, `application` those of the application.

mod application;
mod collect;
mod companions;
mod format;
mod otlp;
mod own;
mod tasks;

pub(crate) use format::Format;

use crate::respond::Observer;
use collect::{Metric, Metrics};
use hostler_status::Seen;

/// All metrics as text.
pub(crate) fn text(observer: &Observer, seen: &Seen, format: Format) -> String {
    format::text(format, |done| each(observer, seen, done))
}

/// All metrics as OTLP has them.
pub(crate) fn otlp(observer: &Observer, seen: &Seen, service: &str) -> serde_json::Value {
    otlp::body(seen, service, &observer.facts.version, |done| each(observer, seen, done))
}

/// Each metric, one after the other.
fn each(observer: &Observer, seen: &Seen, done: &mut dyn FnMut(&Metric)) {
    let mut metrics = Metrics::new(done);
    own::write(&mut metrics, observer, seen);
    tasks::write(&mut metrics, observer, seen);
    companions::write(&mut metrics, observer, seen);
    if let Some(directory) = &observer.application_metrics {
        application::write(&mut metrics, directory);
    }
    metrics.end();
}
