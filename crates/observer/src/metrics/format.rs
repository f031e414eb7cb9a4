//! The two text formats: Prometheus' (version 0.0.4) and OpenMetrics (version 1.0.0), which differ in names of counters, units and
//! the end.

use super::collect::{Kind, Metric, Sample};
use std::fmt::{self, Display, Write};

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    /// The one that a client prefers, by its Accept header.
    pub(crate) fn accepted(accept: &str) -> Self {
        let mut best = (0.0, Self::Prometheus);
        for part in accept.split(',') {
            let mut parameters = part.split(';').map(str::trim);
            let format = match parameters.next().unwrap_or_default() {
                "application/openmetrics-text" => Self::OpenMetrics,
                "text/plain" | "text/*" => Self::Prometheus,
                _ => continue,
            };
            let weight = parameters.find_map(|parameter| parameter.strip_prefix("q=")?.parse().ok());
            let weight: f64 = weight.unwrap_or(1.0);
            if weight > best.0 {
                best = (weight, format);
            }
        }
        best.1
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Kind {
    fn name(self, format: Format) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Unknown if format == Format::OpenMetrics => "unknown",
            Self::Unknown => "untyped",
        }
    }
}

/// Metrics in a text format; `each` calls what it is given with each of them.
pub(super) fn text(format: Format, each: impl FnOnce(&mut dyn FnMut(&Metric))) -> String {
    let mut out = String::with_capacity(32 << 10);
    each(&mut |metric| write_metric(&mut out, metric, format));
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

fn write_metric(out: &mut String, Metric { kind, name, help, samples }: &Metric, format: Format) {
    let suffix = if *kind == Kind::Counter && format == Format::Prometheus { "_total" } else { "" };
    let (help, kind) = (escaped(help, format == Format::OpenMetrics), kind.name(format));
    // Writing to a string does not fail.
    let _ = writeln!(out, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}");
    for Sample { suffix, labels, value } in samples {
        out.push_str(name);
        out.push_str(suffix);
        for (index, (name, value)) in labels.iter().enumerate() {
            out.push(if index == 0 { '{' } else { ',' });
            let _ = write!(out, "{name}=\"{}\"", escaped(value, true));
        }
        if !labels.is_empty() {
            out.push('}');
        }
        let _ = writeln!(out, " {}", Number(*value));
    }
}

/// A text with backslashes, line feeds and, where they would end it, quotes escaped.
fn escaped(text: &str, quotes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            char => out.push(char),
        }
    }
    out
}

/// A number as both formats have it: `0.25`, `1.0`, `+Inf`, `NaN`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number(pub(crate) f64);

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            number if number.is_nan() => f.write_str("NaN"),
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            number => write!(f, "{number:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::collect::{Kind, Metrics},
        Format, Number,
    };

    #[test]
    fn a_client_has_what_it_prefers() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.1";
        for (accept, format) in [
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            (prometheus, Format::OpenMetrics),
            ("text/plain, application/openmetrics-text;q=0.5", Format::Prometheus),
            ("application/openmetrics-text; version=1.0.0", Format::OpenMetrics),
            ("application/openmetrics-text;q=0", Format::Prometheus),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn the_formats_differ_in_counters_and_the_end() {
        let text = |format| {
            super::text(format, |done| {
                let mut metrics = Metrics::new(done);
                metrics.counter("a", "says \"b\"\n", 1.0);
                metrics.metric(Kind::Gauge, "c", "d");
                metrics.sample("", &[("e", "f\"\\\n")], f64::INFINITY);
                metrics.end();
            })
        };
        assert_eq!(
            text(Format::Prometheus),
            "# HELP a_total says \"b\"\\n\n# TYPE a_total counter\na_total 1.0\n# HELP c d\n# TYPE c gauge\nc{e=\"f\\\"\\\\\\n\"} +Inf\n"
        );
        let open = text(Format::OpenMetrics);
        assert!(open.starts_with("# HELP a says \\\"b\\\"\\n\n# TYPE a counter\na_total 1.0\n"), "{open}");
        assert!(open.ends_with("# EOF\n"));
        assert_eq!([0.0001, 1.0, 2.5].map(|it| Number(it).to_string()), ["0.0001", "1.0", "2.5"]);
    }
}
