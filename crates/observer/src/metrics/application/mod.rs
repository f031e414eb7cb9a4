//! Metrics of the application, which its workers count with prometheus_client (Python) in files of one directory: they are read and
//! merged here, as that library's own `MultiProcessCollector` does it, and no worker is asked.
//!
//! Files: `file` one file's values, `merge` values of many processes as one metric each.

mod file;
mod merge;
#[cfg(test)]
mod tests;

use super::collect::Metrics;
use merge::{Family, Merged};
use std::{fs, path::Path};

/// Writes what the files in this directory have.
pub(super) fn write(metrics: &mut Metrics<'_>, directory: &Path) {
    for (name, family) in read(directory).families() {
        family.write(metrics, name);
    }
}

fn read(directory: &Path) -> Merged {
    let mut merged = Merged::default();
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    // The same in each scrape, whatever the file system says first.
    paths.sort();
    for path in paths {
        let Some(source) = path.file_name().and_then(|name| file::Source::of(name.to_str()?)) else {
            continue;
        };
        if source.is_live() && !source.lives() {
            continue;
        }
        // A file that is gone, or that something else has written, has no values.
        let Ok(values) = file::read(&path) else { continue };
        values.into_iter().for_each(|value| merged.add(&source, value));
    }
    merged
}

impl Family {
    fn write(&self, metrics: &mut Metrics<'_>, name: &str) {
        // As that library names counters and histograms: its names of metrics are without a suffix.
        metrics.metric(self.kind, name, &self.help);
        for (sample, labels, value) in self.samples() {
            let suffix = sample.strip_prefix(name).unwrap_or_default();
            let labels: Vec<(&str, &str)> =
                labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            metrics.sample(suffix, &labels, value);
        }
    }
}
