//! Values as YAML 1.2. Texts are quoted as in JSON, which YAML contains, unless they are plain
//! words.

use std::fmt::Write;

use serde_json::Value;

/// A document.
pub fn document(value: &Value) -> String {
    let mut out = String::new();
    block(&mut out, value, 0);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

fn block(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            for (place, item) in items.iter().enumerate() {
                begin(out, place > 0 || !out.ends_with("- "), indent);
                out.push_str("- ");
                block(out, item, indent + 2);
            }
        }
        Value::Object(members) if !members.is_empty() => {
            for (place, (key, member)) in members.iter().enumerate() {
                begin(out, place > 0 || !out.ends_with("- "), indent);
                text(out, key);
                out.push(':');
                let nested = match member {
                    Value::Array(items) => !items.is_empty(),
                    Value::Object(members) => !members.is_empty(),
                    _ => false,
                };
                if !nested {
                    out.push(' ');
                }
                block(out, member, indent + 2);
            }
        }
        Value::String(word) => text(out, word),
        other => write!(out, "{other}").expect("a string takes all"),
    }
}

/// Begins a line, unless this is the first thing in a document or behind a dash.
fn begin(out: &mut String, on_a_new_line: bool, indent: usize) {
    if out.is_empty() || !on_a_new_line {
        return;
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out.extend(std::iter::repeat_n(' ', indent));
}

fn text(out: &mut String, text: &str) {
    const WORDS: [&str; 8] = ["true", "false", "null", "yes", "no", "on", "off", "y"];
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-./%".contains(letter))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
        && text.len() > 1;
    match is_plain {
        true => out.push_str(text),
        false => write!(out, "{}", Value::from(text)).expect("a string takes all"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_become_blocks() {
        let value = json!([
            {"topic": "A", "queues": [0, 1], "empty": [], "off": "off"},
            {"nested": {"a b": "x: y", "n": null}, "list": [{"one": 1, "two": 2}, "word"]},
        ]);
        let expected = "\
- empty: []
  \"off\": \"off\"
  queues:
    - 0
    - 1
  topic: \"A\"
- list:
    - one: 1
      two: 2
    - word
  nested:
    \"a b\": \"x: y\"
    \"n\": null
";
        assert_eq!(document(&value), expected);
        assert_eq!(document(&json!([])), "[]\n");
        assert_eq!(document(&json!({"a1": {}})), "a1: {}\n");
    }
}
