//! `/metrics`: what the server counts, in Prometheus' text format or OpenMetrics. docs/METRICS.md lists every metric.
//!
//! Names and labels are bounded: methods and classes of statuses are few, workers are named by their slots, and paths and clients
//! are no labels.
//!
//! Files: `format` the text formats, `own` the server's metrics, `application` those of the application.

mod application;
mod format;
mod own;

pub(crate) use format::Format;

use crate::respond::Observer;
use format::Writer;
use hostler_status::Seen;

/// All metrics as text.
pub(crate) fn text(observer: &Observer, seen: &Seen, format: Format) -> String {
    let mut writer = Writer::new(format);
    own::write(&mut writer, observer, seen);
    if let Some(directory) = &observer.application_metrics {
        application::write(&mut writer, directory);
    }
    writer.end()
}
