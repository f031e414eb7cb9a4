//! Metrics as OTLP has them, in its JSON form (opentelemetry-proto 1.x, `ExportMetricsServiceRequest`).

use super::collect::{Kind, Metric, Sample};
use hostler_status::Seen;
use serde_json::{Value, json};

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u8 = 2;

/// The body of an export. `service` is what the server calls itself; `each` calls what it is given with each metric.
pub(crate) fn body(
    seen: &Seen,
    service: &str,
    version: &str,
    each: impl FnOnce(&mut dyn FnMut(&Metric)),
) -> Value {
    let started = u128::from(seen.master.started_unix) * 1_000_000;
    let now = started + u128::from(seen.now.saturating_sub(seen.master.started_at));
    let times = Times { started: started.to_string(), now: now.to_string() };
    let mut metrics: Vec<Value> = Vec::new();
    each(&mut |metric| metrics.push(times.metric(metric)));
    let instance = format!("{}-{}", seen.master.pid, seen.master.started_unix);
    let resource = [("service.name", service), ("service.instance.id", &instance)];
    json!({"resourceMetrics": [{
        "resource": {"attributes": resource.map(|(key, value)| attribute(key, value))},
        "scopeMetrics": [{"scope": {"name": "hostler", "version": version}, "metrics": metrics}],
    }]})
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// Nanoseconds since 1970, as texts: so JSON keeps all digits.
struct Times {
    started: String,
    now: String,
}

impl Times {
    fn metric(&self, metric: &Metric) -> Value {
        let points = || metric.samples.iter().map(|sample| self.point(sample)).collect::<Vec<_>>();
        let (field, data) = match metric.kind {
            Kind::Counter => {
                let points = points();
                (
                    "sum",
                    json!({"aggregationTemporality": CUMULATIVE, "isMonotonic": true, "dataPoints": points}),
                )
            }
            Kind::Histogram => {
                let points = self.histograms(&metric.samples);
                ("histogram", json!({"aggregationTemporality": CUMULATIVE, "dataPoints": points}))
            }
            // A summary has no quantiles here: its sum and its count, each by its name.
            Kind::Gauge | Kind::Summary | Kind::Unknown => ("gauge", json!({"dataPoints": points()})),
        };
        let unit = if metric.name.ends_with("_seconds") {
            "s"
        } else if metric.name.ends_with("_bytes") {
            "By"
        } else {
            "1"
        };
        json!({"name": metric.name, "description": metric.help, "unit": unit, field: data})
    }

    fn point(&self, sample: &Sample) -> Value {
        let attributes: Vec<Value> = sample.labels.iter().map(|(key, value)| attribute(key, value)).collect();
        json!({
            "attributes": attributes,
            "startTimeUnixNano": self.started,
            "timeUnixNano": self.now,
            "asDouble": sample.value,
        })
    }

    /// A point for each set of labels: what is in each bucket, and not below its bound.
    fn histograms(&self, samples: &[Sample]) -> Vec<Value> {
        let mut points = Vec::new();
        let mut rest = samples;
        while let Some(end) = rest.iter().position(|sample| sample.suffix == "_bucket") {
            let one = &rest[end..];
            let buckets = one.iter().take_while(|sample| sample.suffix == "_bucket").count();
            let others = one[buckets..].iter().take_while(|sample| sample.suffix != "_bucket").count();
            let (buckets, others) = one[..buckets + others].split_at(buckets);
            points.push(self.histogram(buckets, others));
            rest = &one[buckets.len() + others.len()..];
        }
        points
    }

    fn histogram(&self, buckets: &[Sample], others: &[Sample]) -> Value {
        let bound =
            |sample: &Sample| sample.labels.iter().find(|(name, _)| name == "le").map(|(_, le)| le.parse());
        let bounds: Vec<f64> = buckets
            .iter()
            .filter_map(|bucket| bound(bucket)?.ok())
            .filter(|it: &f64| it.is_finite())
            .collect();
        let mut below = 0.0;
        let counts: Vec<String> = buckets
            .iter()
            .map(|bucket| format!("{:.0}", bucket.value - std::mem::replace(&mut below, bucket.value)))
            .collect();
        let labels = buckets.first().map_or(&[][..], |bucket| &bucket.labels).iter();
        let attributes: Vec<Value> =
            labels.filter(|(name, _)| name != "le").map(|(key, value)| attribute(key, value)).collect();
        let sum = others.iter().find(|sample| sample.suffix == "_sum").map(|sample| sample.value);
        json!({
            "attributes": attributes,
            "startTimeUnixNano": self.started,
            "timeUnixNano": self.now,
            "count": format!("{below:.0}"),
            "sum": sum,
            "bucketCounts": counts,
            "explicitBounds": bounds,
        })
    }
}
