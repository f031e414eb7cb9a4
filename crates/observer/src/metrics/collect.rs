//! Metrics before they have a form.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    Unknown,
}

/// Labels of a sample.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

/// All metrics of one moment, of which one is in memory at a time: those of many workers are long.
pub(crate) struct Metrics<'a> {
    /// The one that was begun last.
    current: Option<Metric>,
    /// Is given each that is whole.
    done: &'a mut dyn FnMut(&Metric),
}

/// A metric and its samples.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(super) kind: Kind,
    /// Without the `_total` of counters.
    pub(super) name: String,
    pub(super) help: String,
    pub(super) samples: Vec<Sample>,
}

/// A sample.
#[derive(Debug)]
pub(crate) struct Sample {
    /// What its name has behind the metric's: `_total`, `_bucket`, …
    pub(super) suffix: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: f64,
}

/// A whole number as a value; the largest that are exact are beyond what is counted here.
#[expect(clippy::cast_precision_loss, reason = "2⁵³ is enough")]
pub(crate) fn whole(number: u64) -> f64 {
    number as f64
}

impl<'a> Metrics<'a> {
    /// None yet.
    pub(crate) fn new(done: &'a mut dyn FnMut(&Metric)) -> Self {
        Self { current: None, done }
    }

    /// The last one is whole.
    pub(crate) fn end(&mut self) {
        if let Some(metric) = self.current.take() {
            (self.done)(&metric);
        }
    }

    /// Begins a metric. `name` is without the `_total` of counters.
    pub(crate) fn metric(&mut self, kind: Kind, name: &str, help: &str) {
        self.end();
        let (name, help) = (name.to_owned(), help.to_owned());
        self.current = Some(Metric { kind, name, help, samples: Vec::new() });
    }

    /// A sample of the metric that was begun last.
    pub(crate) fn sample(&mut self, suffix: &str, labels: Labels<'_>, value: f64) {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        if let Some(metric) = &mut self.current {
            metric.samples.push(Sample { suffix: suffix.to_owned(), labels, value });
        }
    }

    /// A metric of one sample without labels.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.metric(Kind::Gauge, name, help);
        self.sample("", &[], value);
    }

    /// The same for a counter.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.metric(Kind::Counter, name, help);
        self.sample("_total", &[], value);
    }
}
