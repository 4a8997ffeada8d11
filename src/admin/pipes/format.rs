//! How messages are printed.

use anyhow::bail;
use ringmq_remoting::codes::property;

use super::delimiter::unescaped;
use crate::questions::messages::Message;

/// What stands for what, for help and refusals.
pub const NAMES: &str = "%s body, %S its bytes, %k keys, %g tags, %t topic, %p queue, %b broker, \
    %o offset, %T store time, %B born time, %i id, %I offset id, %r times given back, \
    %h properties, %{NAME} one of them, %%";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Bytes(Vec<u8>),
    Field(char),
    Property(String),
}

/// A format with names of fields in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format(Vec<Piece>);

impl Format {
    /// Reads `%s`, `%{NAME}` and so on, and escapes.
    ///
    /// # Errors
    /// If there is no such field or escape.
    pub fn new(text: &str) -> anyhow::Result<Format> {
        let mut pieces = Vec::new();
        let mut parts = text.split('%');
        push(&mut pieces, parts.next().unwrap_or_default())?;
        while let Some(part) = parts.next() {
            let Some(field) = part.chars().next() else {
                // %% has an empty part in between
                let Some(behind) = parts.next() else {
                    bail!("{text:?} ends with %: write %% for one")
                };
                push(&mut pieces, "%")?;
                push(&mut pieces, behind)?;
                continue;
            };
            let rest = part.strip_prefix(field).unwrap_or_default();
            if field == '{' {
                let Some((name, rest)) = rest.split_once('}') else {
                    bail!("{text:?}: %{{ has no }} behind it")
                };
                pieces.push(Piece::Property(name.to_owned()));
                push(&mut pieces, rest)?;
            } else if "sSkgtpboTBiIrh".contains(field) {
                pieces.push(Piece::Field(field));
                push(&mut pieces, rest)?;
            } else {
                bail!("{text:?}: there is no %{field}: {NAMES}")
            }
        }
        Ok(Format(pieces))
    }

    /// Appends a message.
    pub fn write(&self, out: &mut Vec<u8>, message: &Message) {
        for piece in &self.0 {
            match piece {
                Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                Piece::Property(name) => {
                    out.extend_from_slice(message.property(name).unwrap_or_default().as_bytes());
                }
                Piece::Field('s') => out.extend_from_slice(&message.body),
                Piece::Field(field) => out.extend_from_slice(text(*field, message).as_bytes()),
            }
        }
    }
}

fn push(pieces: &mut Vec<Piece>, text: &str) -> anyhow::Result<()> {
    let bytes = unescaped(text)?;
    if !bytes.is_empty() {
        pieces.push(Piece::Bytes(bytes));
    }
    Ok(())
}

fn text(field: char, message: &Message) -> String {
    let property = |name| message.property(name).unwrap_or_default().to_owned();
    match field {
        'S' => message.body.len().to_string(),
        'k' => property(property::KEYS),
        'g' => property(property::TAGS),
        't' => message.topic.clone(),
        'p' => message.queue.to_string(),
        'b' => message.broker.clone(),
        'o' => message.queue_offset.to_string(),
        'T' => message.stored.to_string(),
        'B' => message.born.to_string(),
        'I' => message.offset_id(),
        'r' => message.reconsume_times.to_string(),
        'h' => {
            let pairs = message.properties.iter().map(|(key, value)| format!("{key}={value}"));
            pairs.collect::<Vec<_>>().join(",")
        }
        _ => message.id(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_printed() {
        let host = ([127, 0, 0, 1], 10911).into();
        let message = Message {
            broker: "b".into(),
            topic: "T".into(),
            queue: 3,
            queue_offset: 7,
            commit_log_offset: 0,
            store_size: 0,
            flag: 0,
            sys_flag: 0,
            born: 11,
            born_host: host,
            stored: 12,
            store_host: host,
            body_crc: 0,
            reconsume_times: 2,
            prepared_transaction_offset: 0,
            properties: vec![
                ("KEYS".into(), "k1 k2".into()),
                ("TAGS".into(), "red".into()),
                ("UNIQ_KEY".into(), "ID".into()),
            ],
            body: b"a\xFFb".to_vec(),
        };
        let format = Format::new("%t/%b/%p@%o %k %g %S %T %B %i %I %r %% %{TAGS}%{no} %h|%s\\n");
        let mut out = Vec::new();
        format.expect("sound").write(&mut out, &message);
        let expected = b"T/b/3@7 k1 k2 red 3 12 11 ID 7F00000100002A9F0000000000000000 2 % red \
            KEYS=k1 k2,TAGS=red,UNIQ_KEY=ID|";
        assert_eq!(out, [&expected[..], b"a\xFFb\n"].concat());
        for wrong in ["%q", "%", "a %", "%{KEYS", "\\q"] {
            assert!(Format::new(wrong).is_err(), "{wrong}");
        }
    }
}
