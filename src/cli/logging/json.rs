//! A log line as one JSON object: `{"timestamp":...,"level":...,"message":...,"target":...}` and
//! the fields of the line beside them.

use std::fmt;

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Longest value in bytes: names and expressions of clients may be as long as a frame.
const VALUE_BYTES_MAX: usize = 4096;

/// Writes lines as JSON.
pub struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut line = begin(metadata.level().as_str());
        line.insert("target".to_owned(), metadata.target().into());
        event.record(&mut Fields(&mut line));
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// A line that this program's logging says itself.
pub fn line(level: &str, message: &str) -> String {
    let mut line = begin(level);
    line.insert("message".to_owned(), message.into());
    format!("{}\n", Value::Object(line))
}

fn begin(level: &str) -> Map<String, Value> {
    let mut line = Map::new();
    line.insert("timestamp".to_owned(), jiff::Timestamp::now().to_string().into());
    line.insert("level".to_owned(), level.into());
    line
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn insert(&mut self, field: &Field, value: Value) {
        // What a line says of itself is not what it says of something else.
        let name = match field.name() {
            name @ ("timestamp" | "level" | "target") => format!("field_{name}"),
            name => name.to_owned(),
        };
        self.0.insert(name, value);
    }

    fn text(&mut self, field: &Field, mut text: String) {
        if text.len() > VALUE_BYTES_MAX {
            let all = text.len();
            let end = (0..=VALUE_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end));
            text.truncate(end.unwrap_or(0));
            text.push_str(&format!("... ({all} bytes)"));
        }
        self.insert(field, text.into());
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::{fmt as lines, layer::SubscriberExt as _};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("one thread").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_one_object_whatever_clients_send() {
        let kept = Kept::default();
        let writer = kept.clone();
        let layer = lines::layer().event_format(Json).with_writer(move || writer.clone());
        let all = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(all, || {
            let name = "a\"b\n\u{1b}[31m";
            let long = "x".repeat(3 << 20);
            tracing::warn!(name, count = 7, level = true, %long, "it happened");
        });
        let text = String::from_utf8(kept.0.lock().expect("one thread").clone()).expect("text");
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains('\u{1b}') && text.len() < 2 * VALUE_BYTES_MAX, "{}", text.len());
        let line: Value = serde_json::from_str(&text).expect("an object");
        assert_eq!((&line["message"], &line["level"]), (&"it happened".into(), &"WARN".into()));
        assert_eq!((&line["name"], &line["count"]), (&"a\"b\n\u{1b}[31m".into(), &7.into()));
        assert_eq!(line["field_level"], Value::Bool(true));
        assert!(line["long"].as_str().is_some_and(|long| long.ends_with("... (3145728 bytes)")));
        assert!(line["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')));
    }
}
