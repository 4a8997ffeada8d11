//! Texts with escapes, and what stands between messages.

use anyhow::{Context, bail, ensure};
use memchr::memmem;

/// A text in which `\n`, `\r`, `\t`, `\0`, `\\` and `\xNN` stand for bytes.
///
/// # Errors
/// If an escape is none of these.
pub fn unescaped(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        if letter != '\\' {
            out.extend(letter.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        out.push(match rest.next() {
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 2);
                byte.with_context(|| {
                    format!("{text:?}: \\x{digits} is no byte, which has two digits 0-9, a-f")
                })?
            }
            other => {
                let other = other.map_or_else(String::new, String::from);
                bail!("{text:?}: there is no escape \\{other}: \\n \\r \\t \\0 \\\\ \\xNN are")
            }
        });
    }
    Ok(out)
}

/// Bytes that end a message, or a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delimiter(Vec<u8>);

impl Delimiter {
    /// # Errors
    /// As [`unescaped`], or if it is empty.
    pub fn new(text: &str) -> anyhow::Result<Delimiter> {
        let bytes = unescaped(text)?;
        ensure!(!bytes.is_empty(), "a delimiter has at least one byte");
        Ok(Delimiter(bytes))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What stands before the first one, and behind it.
    pub fn split<'a>(&self, bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let at = match self.0.as_slice() {
            [byte] => memchr::memchr(*byte, bytes)?,
            all => memmem::find(bytes, all)?,
        };
        Some((bytes.get(..at)?, bytes.get(at + self.0.len()..)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_bytes() {
        let bytes = unescaped("a\\t\\x00\\\\\u{e9}\\n").expect("sound");
        assert_eq!(bytes, "a\t\0\\\u{e9}\n".as_bytes());
        for wrong in ["\\q", "\\x4", "\\xzz", "\\"] {
            assert!(unescaped(wrong).is_err(), "{wrong}");
        }
        let two = Delimiter::new("--").expect("sound");
        assert_eq!(two.split(b"a-b--c--d"), Some((&b"a-b"[..], &b"c--d"[..])));
        assert_eq!(two.split(b"a-b"), None);
        assert!(Delimiter::new("").is_err());
    }
}
