//! Values of many processes as one metric each: sums, and for gauges what their mode says.

use super::{
    super::collect::Kind,
    file::{Key, Source, Value},
};
use std::collections::{BTreeMap, btree_map::Entry};

/// Labels in the order of their names.
type Labels = Vec<(String, String)>;

/// All metrics, by name.
#[derive(Debug, Default)]
pub(super) struct Merged(BTreeMap<String, Family>);

/// A metric.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) kind: Kind,
    pub(super) help: String,
    /// By labels and name of the sample: its value, and when that was set.
    samples: BTreeMap<(Labels, String), (f64, f64)>,
    /// Histograms: by labels but for `le`, the bounds with their values.
    buckets: BTreeMap<Labels, Vec<(f64, f64)>>,
    name: String,
}

impl Merged {
    pub(super) fn families(&self) -> impl Iterator<Item = (&str, &Family)> {
        self.0.iter().map(|(name, family)| (name.as_str(), family))
    }

    /// Adds a value of a process.
    pub(super) fn add(&mut self, source: &Source, value: Value) {
        let Value { key: Key(metric, sample, labels, help), value, set_at } = value;
        let family = self.0.entry(metric.clone()).or_insert_with(|| Family {
            kind: match source.kind.as_str() {
                "counter" => Kind::Counter,
                "gauge" => Kind::Gauge,
                "histogram" => Kind::Histogram,
                "summary" => Kind::Summary,
                _ => Kind::Unknown,
            },
            help,
            samples: BTreeMap::new(),
            buckets: BTreeMap::new(),
            name: metric,
        });
        let labels: Labels = labels.into_iter().collect();
        match &source.mode {
            Some(mode) => family.add_gauge(mode, &source.pid, sample, labels, (value, set_at)),
            None => family.add_sum(sample, labels, value),
        }
    }
}

impl Family {
    fn add_sum(&mut self, sample: String, mut labels: Labels, value: f64) {
        let bound = labels.iter().position(|(name, _)| self.kind == Kind::Histogram && name == "le");
        let Some(bound) = bound else {
            self.samples.entry((labels, sample)).or_default().0 += value;
            return;
        };
        let (_, le) = labels.remove(bound);
        let le: f64 = le.replace("Inf", "inf").parse().unwrap_or(f64::INFINITY);
        let buckets = self.buckets.entry(labels).or_default();
        match buckets.iter_mut().find(|(known, _)| *known == le) {
            Some((_, sum)) => *sum += value,
            None => buckets.push((le, value)),
        }
    }

    fn add_gauge(&mut self, mode: &str, pid: &str, sample: String, mut labels: Labels, value: (f64, f64)) {
        let mode = mode.strip_prefix("live").unwrap_or(mode);
        if mode == "all" || !matches!(mode, "min" | "max" | "sum" | "mostrecent") {
            labels.push(("pid".into(), pid.into()));
            self.samples.insert((labels, sample), value);
            return;
        }
        match self.samples.entry((labels, sample)) {
            Entry::Vacant(place) => drop(place.insert(value)),
            Entry::Occupied(mut found) => {
                let known = found.get_mut();
                match mode {
                    "min" => known.0 = known.0.min(value.0),
                    "max" => known.0 = known.0.max(value.0),
                    "sum" => known.0 += value.0,
                    _ if value.1 > known.1 => *known = value,
                    _ => {}
                }
            }
        }
    }

    /// All samples: name, labels, value; buckets are those of all times up to their bounds.
    pub(super) fn samples(&self) -> Vec<(String, Labels, f64)> {
        let mut all = Vec::new();
        for (labels, buckets) in &self.buckets {
            let mut buckets = buckets.clone();
            buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
            let mut sum = 0.0;
            for (bound, count) in buckets {
                sum += count;
                let le = super::super::format::Number(bound).to_string();
                let labels = labels.iter().cloned().chain([("le".to_owned(), le)]).collect();
                all.push((format!("{}_bucket", self.name), labels, sum));
            }
            all.push((format!("{}_count", self.name), labels.clone(), sum));
            // OpenMetrics wants all samples of the same labels together.
            let others = self.samples.iter().filter(|((theirs, _), _)| theirs == labels);
            all.extend(others.map(|((_, sample), (value, _))| (sample.clone(), labels.clone(), *value)));
        }
        let rest = self.samples.iter().filter(|((labels, _), _)| !self.buckets.contains_key(labels));
        all.extend(rest.map(|((labels, sample), (value, _))| (sample.clone(), labels.clone(), *value)));
        all
    }
}
