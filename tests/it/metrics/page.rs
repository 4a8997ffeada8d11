//! A page of metrics, and what Prometheus' tool says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

/// Name, labels and value of a sample.
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

pub struct Page {
    samples: Vec<Sample>,
    /// With their types.
    families: BTreeMap<String, String>,
}

impl Page {
    pub fn parse(text: &str) -> Page {
        let (mut samples, mut families) = (Vec::new(), BTreeMap::new());
        for line in text.lines() {
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a name and a type");
                assert!(families.insert(name.to_owned(), kind.to_owned()).is_none(), "{name}");
            } else if !line.starts_with('#') {
                samples.push(sample(line));
            }
        }
        Page { samples, families }
    }

    pub fn len(&self) -> usize {
        self.samples.len()
    }

    fn having<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&str, &str)],
    ) -> impl Iterator<Item = &'a Sample> {
        let has = |sample: &Sample| {
            labels
                .iter()
                .all(|(name, value)| sample.labels.get(*name).is_some_and(|found| found == value))
        };
        self.samples.iter().filter(move |sample| sample.name == name && has(sample))
    }

    pub fn all(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        self.having(name, labels).map(|sample| sample.value).collect()
    }

    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.all(name, labels).first().copied()
    }

    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.all(name, labels).iter().sum()
    }

    /// Of the only sample with these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        match self.all(name, labels)[..] {
            [value] => value,
            ref all => panic!("{name} {labels:?} has {all:?}; there are {:?}", self.families),
        }
    }

    /// Whether a metric, or the parts of a histogram, are there by that name.
    pub fn has_family(&self, name: &str) -> bool {
        let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let of_histogram = stem.and_then(|stem| self.families.get(stem));
        self.families.contains_key(name) || of_histogram.is_some_and(|kind| kind == "histogram")
    }

    /// Every sample is of a family, and none is there twice.
    pub fn check(&self) {
        let mut seen = BTreeSet::new();
        for Sample { name, labels, .. } in &self.samples {
            assert!(self.has_family(name), "{name} has no type");
            assert!(seen.insert((name, labels)), "{name} {labels:?} is there twice");
        }
    }
}

fn sample(line: &str) -> Sample {
    let (name, rest) = line.split_once('{').unwrap_or_else(|| panic!("no labels: {line}"));
    let (labels, value) = rest.rsplit_once("} ").unwrap_or_else(|| panic!("no value: {line}"));
    let labels = labels.trim_end_matches('"').split("\",").filter(|pair| !pair.is_empty());
    let labels = labels.map(|pair| {
        let (name, value) = pair.split_once("=\"").unwrap_or_else(|| panic!("a label: {line}"));
        (name.to_owned(), value.to_owned())
    });
    let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    Sample { name: name.to_owned(), labels: labels.collect(), value }
}

/// The names of metrics in expressions.
pub fn metric_names(text: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(|letter: char| !is_part(letter));
    let named = |word: &&str| word.starts_with("rocketmq_") || word.starts_with("ringmq_");
    words.filter(named).map(str::to_owned).collect()
}

/// Whether Prometheus' tool is here; under continuous integration it has to be.
pub fn has_promtool() -> bool {
    let found = Command::new("promtool").arg("--version").output().is_ok();
    assert!(
        found || std::env::var("CI").is_err(),
        "promtool is missing: apt-get install prometheus"
    );
    if !found {
        println!("skipped: promtool is not here (Debian package prometheus)");
    }
    found
}

/// Runs it; it has to find nothing wrong, and to say nothing.
pub fn promtool(arguments: &[&str], input: &[u8]) {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool runs");
    child.stdin.take().expect("a pipe").write_all(input).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(output.status.success(), "{arguments:?}: {told}");
}
