//! Prometheus' text format: families of samples with labels, as they stand in an answer.

use std::{
    fmt::{Display, Write},
    sync::Arc,
};

/// What a family counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// How metrics of this broker are written.
#[derive(Debug)]
pub struct Style {
    /// Labels of every sample, `name="value",...`.
    common: String,
    /// Names end with their unit.
    units: bool,
}

impl Style {
    pub fn new(labels: &[(&str, &str)], units: bool) -> Style {
        let mut common = String::new();
        for (name, value) in labels {
            label(&mut common, name, value);
        }
        Style { common, units }
    }
}

fn label(text: &mut String, name: &str, value: &str) {
    if !text.is_empty() {
        text.push(',');
    }
    text.push_str(name);
    text.push_str("=\"");
    let mut rest = value;
    while let Some(at) = rest.find(['\\', '"', '\n']) {
        let (before, odd) = rest.split_at(at);
        text.push_str(before);
        let mut letters = odd.chars();
        text.push_str(match letters.next() {
            Some('\n') => "\\n",
            Some('"') => "\\\"",
            _ => "\\\\",
        });
        rest = letters.as_str();
    }
    text.push_str(rest);
    text.push('"');
}

/// A metric: its name without a unit, its unit, and what it says.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    /// Empty, or what the name ends with unless it has it already: `milliseconds`, `bytes`.
    pub unit: &'static str,
    pub kind: Kind,
    pub help: &'static str,
}

/// A part of an answer.
pub struct Page {
    style: Arc<Style>,
    text: String,
    name: String,
    /// Of the sample that is written.
    labels: String,
}

/// Room that a part begins with, in bytes: most have some 50 KiB.
const PART_BYTES: usize = 64 * 1024;

impl Page {
    pub fn new(style: &Arc<Style>) -> Page {
        Page {
            style: style.clone(),
            text: String::with_capacity(PART_BYTES),
            name: String::new(),
            labels: String::new(),
        }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.text.into_bytes()
    }

    /// Begins a family: all samples of a metric stand together.
    pub fn family(&mut self, metric: &Metric) -> &mut Page {
        self.go_on(metric);
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let Page { text, name, .. } = self;
        let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", metric.help);
        self
    }

    /// Goes on with a family that another part has begun.
    pub fn go_on(&mut self, metric: &Metric) -> &mut Page {
        self.name = self.full_name(metric);
        self
    }

    /// As RocketMQ's exporter makes names: the unit stands behind, and before `_total`.
    fn full_name(&self, metric: &Metric) -> String {
        let Metric { name, unit, kind, .. } = *metric;
        let adds = self.style.units && !unit.is_empty() && !name.contains(unit);
        match (name.strip_suffix("_total").filter(|_| kind == Kind::Counter), adds) {
            (Some(stem), true) => format!("{stem}_{unit}_total"),
            (None, true) => format!("{name}_{unit}"),
            (_, false) => name.to_owned(),
        }
    }

    fn set_labels(&mut self, labels: &[(&str, &str)]) {
        self.labels.clear();
        self.labels.push_str(&self.style.common);
        for (name, value) in labels {
            label(&mut self.labels, name, value);
        }
    }

    /// A line: what the name and the labels end with, and the value.
    fn line(&mut self, suffix: &str, labels_end: &str, value: impl Display) {
        let Page { text, name, labels, .. } = self;
        // Parts of a line are copied: formatting them would cost several times as much.
        for part in [name, suffix, "{", labels, labels_end, "} "] {
            text.push_str(part);
        }
        let _ = writeln!(text, "{value}");
    }

    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Page {
        self.set_labels(labels);
        self.line("", "", value);
        self
    }

    /// A histogram: its counts by bucket, of which the last is that without a bound, and its sum.
    pub fn histogram(
        &mut self,
        labels: &[(&str, &str)],
        bounds: impl Iterator<Item = impl Display>,
        counts: &[u64],
        sum: impl Display,
    ) -> &mut Page {
        self.set_labels(labels);
        let comma = if self.labels.is_empty() { "" } else { "," };
        let (mut below, mut bucket) = (0, String::new());
        for (bound, count) in bounds.zip(counts) {
            below += count;
            bucket.clear();
            let _ = write!(bucket, "{comma}le=\"{bound}\"");
            self.line("_bucket", &bucket, below);
        }
        let all: u64 = counts.iter().sum();
        self.line("_bucket", &format!("{comma}le=\"+Inf\""), all);
        self.line("_sum", "", sum);
        self.line("_count", "", all);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATENCY: Metric = Metric {
        name: "rocketmq_rpc_latency",
        unit: "milliseconds",
        kind: Kind::Histogram,
        help: "How long.",
    };
    const BYTES: Metric =
        Metric { name: "x_bytes_total", unit: "bytes", kind: Kind::Counter, help: "Bytes." };
    const COUNT: Metric =
        Metric { name: "x_total", unit: "seconds", kind: Kind::Counter, help: "Time." };

    fn page(units: bool) -> Page {
        Page::new(&Arc::new(Style::new(&[("cluster", "c")], units)))
    }

    #[test]
    fn names_end_with_their_unit_if_that_is_wanted() {
        let name = |units, metric| page(units).full_name(metric);
        assert_eq!(name(true, &LATENCY), "rocketmq_rpc_latency_milliseconds");
        assert_eq!(name(false, &LATENCY), "rocketmq_rpc_latency");
        assert_eq!(name(true, &BYTES), "x_bytes_total");
        assert_eq!(name(true, &COUNT), "x_seconds_total");
    }

    #[test]
    fn a_histogram_is_cumulative() {
        let mut page = page(true);
        page.family(&LATENCY).histogram(&[("a", "b")], [1, 3].iter(), &[2, 0, 5], 70);
        let text = String::from_utf8(page.into_bytes()).expect("text");
        let expected = "# HELP rocketmq_rpc_latency_milliseconds How long.\n\
            # TYPE rocketmq_rpc_latency_milliseconds histogram\n\
            rocketmq_rpc_latency_milliseconds_bucket{cluster=\"c\",a=\"b\",le=\"1\"} 2\n\
            rocketmq_rpc_latency_milliseconds_bucket{cluster=\"c\",a=\"b\",le=\"3\"} 2\n\
            rocketmq_rpc_latency_milliseconds_bucket{cluster=\"c\",a=\"b\",le=\"+Inf\"} 7\n\
            rocketmq_rpc_latency_milliseconds_sum{cluster=\"c\",a=\"b\"} 70\n\
            rocketmq_rpc_latency_milliseconds_count{cluster=\"c\",a=\"b\"} 7\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_label_may_hold_anything() {
        let mut page = page(true);
        page.family(&COUNT).sample(&[("topic", "a\"b\\c\nd")], 1);
        let text = String::from_utf8(page.into_bytes()).expect("text");
        assert!(text.ends_with("{cluster=\"c\",topic=\"a\\\"b\\\\c\\nd\"} 1\n"), "{text}");
    }
}
