//! Messages as lines of JSON, and back.

use anyhow::{Context, bail};
use serde_json::Value;

use super::sender::{Parcel, own_properties};
use crate::questions::messages::Message;

/// A message as a line with all that is known of it.
pub fn line_of(message: &Message) -> String {
    let mut line = message.value().to_string();
    line.push('\n');
    line
}

/// The message in a line as [`line_of`] writes them: its body, and the properties that its producer
/// gave it. An object needs nothing but `body` or `bodyHex`.
///
/// # Errors
/// If it is no such object.
pub fn parcel_of(line: &[u8]) -> anyhow::Result<Parcel> {
    let value: Value = serde_json::from_slice(line).context("it is no JSON")?;
    let body = match (&value["body"], &value["bodyHex"]) {
        (Value::String(text), _) => text.as_bytes().to_vec(),
        (_, Value::String(digits)) => bytes_of(digits).context("bodyHex is not hexadecimal")?,
        _ => bail!("it has neither a text body nor bodyHex"),
    };
    let mut properties = Vec::new();
    match &value["properties"] {
        Value::Null => {}
        Value::Object(members) => {
            for (key, value) in members {
                let Value::String(text) = value else { bail!("property {key} is no text") };
                properties.push((key.clone(), text.clone()));
            }
        }
        _ => bail!("properties is no object"),
    }
    Ok(Parcel { body, properties: own_properties(&properties) })
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_or_refused() {
        let parcel =
            parcel_of(br#"{"bodyHex":"00ff","properties":{"TAGS":"a","RETRY_TOPIC":"T"}}"#);
        let parcel = parcel.expect("sound");
        assert_eq!(parcel.body, [0, 255]);
        assert_eq!(parcel.properties, [("TAGS".to_owned(), "a".to_owned())]);
        for wrong in
            ["", "[]", "{}", r#"{"body":1}"#, r#"{"bodyHex":"0g"}"#, r#"{"bodyHex":"123"}"#]
        {
            assert!(parcel_of(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(parcel_of(br#"{"body":"x","properties":{"a":1}}"#).is_err());
    }
}
