//! Format strings for messages. Pure.

use anyhow::bail;

use super::messages::Message;

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Topic,
    Broker,
    Queue,
    Offset,
    Id,
    OffsetId,
    Keys,
    Tags,
    Stored,
    Born,
    Size,
    Properties,
    Body,
}

/// A parsed format string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format(Vec<Part>);

/// What the signs mean, for help.
pub const SIGNS: &str = "%s body, %k keys, %g tag, %t topic, %b broker, %q queue, %o offset, \
    %i id, %I offset id, %T stored and %B born (ms since 1970), %S bytes of the body, \
    %P properties, %% a percent sign, \\n, \\t, \\0";

impl Format {
    /// Parses a format string.
    ///
    /// # Errors
    /// If it has a sign that means nothing.
    pub fn parse(text: &str) -> anyhow::Result<Format> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            let part = match (letter, letters.clone().next()) {
                ('%', Some(sign)) => {
                    letters.next();
                    match sign {
                        '%' => {
                            plain.push('%');
                            continue;
                        }
                        sign => Part::of(sign)?,
                    }
                }
                ('\\', Some(escaped @ ('n' | 't' | '0' | '\\'))) => {
                    letters.next();
                    plain.push(match escaped {
                        'n' => '\n',
                        't' => '\t',
                        '0' => '\0',
                        other => other,
                    });
                    continue;
                }
                (letter, _) => {
                    plain.push(letter);
                    continue;
                }
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(part);
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Format(parts))
    }

    /// Appends a message; its body as the bytes that it has.
    pub fn write(&self, out: &mut Vec<u8>, message: &Message) {
        for part in &self.0 {
            let text = match part {
                Part::Body => {
                    out.extend_from_slice(&message.body);
                    continue;
                }
                Part::Text(text) => text.clone(),
                Part::Topic => message.topic.clone(),
                Part::Broker => message.broker.clone(),
                Part::Queue => message.queue.to_string(),
                Part::Offset => message.queue_offset.to_string(),
                Part::Id => message.id(),
                Part::OffsetId => message.offset_id(),
                Part::Keys => message.keys().unwrap_or_default().to_owned(),
                Part::Tags => message.tags().unwrap_or_default().to_owned(),
                Part::Stored => message.stored.to_string(),
                Part::Born => message.born.to_string(),
                Part::Size => message.body.len().to_string(),
                Part::Properties => message.properties_text(),
            };
            out.extend_from_slice(text.as_bytes());
        }
    }
}

impl Part {
    fn of(sign: char) -> anyhow::Result<Part> {
        Ok(match sign {
            's' => Part::Body,
            'k' => Part::Keys,
            'g' => Part::Tags,
            't' => Part::Topic,
            'b' => Part::Broker,
            'q' => Part::Queue,
            'o' => Part::Offset,
            'i' => Part::Id,
            'I' => Part::OffsetId,
            'T' => Part::Stored,
            'B' => Part::Born,
            'S' => Part::Size,
            'P' => Part::Properties,
            sign => bail!("%{sign} means nothing in a format: there are {SIGNS}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_escapes_are_taken_apart() {
        let format = Format::parse("%t[%q]\\t100%%\\n%s").expect("sound");
        let text = |text: &str| Part::Text(text.to_owned());
        let expected = [Part::Topic, text("["), Part::Queue, text("]\t100%\n"), Part::Body];
        assert_eq!(format.0, expected);
        assert_eq!(Format::parse("a\\").expect("sound").0, [text("a\\")]);
        assert_eq!(Format::parse("5%").expect("sound").0, [text("5%")]);
        let why = Format::parse("%x").expect_err("unknown").to_string();
        assert!(why.starts_with("%x means nothing in a format: there are %s body"), "{why}");
    }
}
