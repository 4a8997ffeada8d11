//! Java's .properties format: `key = value`, `key: value` or `key value` lines, `#` and `!`
//! comments, lines continued by a trailing backslash, `\uXXXX` and other escapes.

/// One entry of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Line of the file on which the entry starts, from 1.
    pub line: usize,
    pub key: String,
    /// Blanks at the end are kept, as Java does.
    pub value: String,
}

/// Text of a file: UTF-8 if it is, else ISO-8859-1, which Java assumes always.
pub fn decode(bytes: &[u8]) -> String {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// The first character that no text has, such as NUL, and its line from 1. Java takes it: a file of
/// another kind starts a server there with nothing but defaults.
pub fn odd_character(text: &str) -> Option<(usize, char)> {
    let odd = |letter: char| letter.is_ascii_control() && !"\t\n\r\x0C".contains(letter);
    let (at, found) = text.char_indices().find(|(_, letter)| odd(*letter))?;
    let line = text.get(..at)?.matches('\n').count() + 1;
    Some((line, found))
}

/// Reads all entries in the order of the file; a key may occur several times. Never fails: like
/// Java, everything that is no comment is some entry.
pub fn parse(text: &str) -> Vec<Entry> {
    logical_lines(text).into_iter().map(|(line, text)| entry(line, &text)).collect()
}

/// Whether a value holds what its author surely meant as a comment: Java knows none behind values.
pub fn trailing_comment(value: &str) -> Option<&str> {
    let bytes = value.as_bytes();
    let at = bytes.windows(2).position(|pair| matches!(pair, b" #" | b"\t#"))?;
    value.get(at + 1..)
}

/// `key=value` and a line feed, escaped so that [`parse`] reads exactly it back.
pub fn line(key: &str, value: &str) -> String {
    let mut text = String::with_capacity(key.len() + value.len() + 2);
    escape(key, true, &mut text);
    text.push('=');
    escape(value, false, &mut text);
    text.push('\n');
    text
}

/// Joins continued lines and drops comments and blank lines.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut continued = false;
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    for (index, natural) in text.split('\n').enumerate() {
        let start = natural.trim_start_matches(is_blank);
        if !continued && (start.is_empty() || start.starts_with(['#', '!'])) {
            continue;
        }
        let backslashes = start.bytes().rev().take_while(|byte| *byte == b'\\').count();
        let continues = backslashes % 2 == 1;
        let part = if continues { start.strip_suffix('\\').unwrap_or(start) } else { start };
        match lines.last_mut().filter(|_| continued) {
            Some((_, line)) => line.push_str(part),
            None => lines.push((index + 1, part.to_owned())),
        }
        continued = continues;
    }
    lines
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0C')
}

fn entry(line: usize, text: &str) -> Entry {
    let mut escaped = false;
    let key_end = text.char_indices().find(|(_, c)| {
        let ends = !escaped && (is_blank(*c) || matches!(c, '=' | ':'));
        escaped = *c == '\\' && !escaped;
        ends
    });
    let (key, rest) = text.split_at(key_end.map_or(text.len(), |(at, _)| at));
    let rest = rest.trim_start_matches(is_blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(is_blank);
    Entry { line, key: unescape(key), value: unescape(rest) }
}

fn unescape(text: &str) -> String {
    // UTF-16 in between: a pair of \u escapes may be one character.
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut characters = text.chars();
    let mut buffer = [0; 2];
    while let Some(c) = characters.next() {
        if c != '\\' {
            units.extend_from_slice(c.encode_utf16(&mut buffer));
            continue;
        }
        match characters.next() {
            Some('t') => units.push(u16::from(b'\t')),
            Some('n') => units.push(u16::from(b'\n')),
            Some('r') => units.push(u16::from(b'\r')),
            Some('f') => units.push(0x0C),
            Some('u') => {
                let digits: String = characters.clone().take(4).collect();
                let code = (digits.len() == 4).then(|| u16::from_str_radix(&digits, 16).ok());
                match code.flatten() {
                    Some(code) => {
                        units.push(code);
                        characters.by_ref().take(4).for_each(drop);
                    }
                    // Java throws here; a lone \u is taken as the letter.
                    None => units.push(u16::from(b'u')),
                }
            }
            Some(other) => units.extend_from_slice(other.encode_utf16(&mut buffer)),
            None => {}
        }
    }
    String::from_utf16_lossy(&units)
}

fn escape(text: &str, key: bool, into: &mut String) {
    let mut leading = true;
    for c in text.chars() {
        match c {
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            '\t' => into.push_str("\\t"),
            ' ' if key || leading => into.push_str("\\ "),
            '=' | ':' | '#' | '!' if key => {
                into.push('\\');
                into.push(c);
            }
            c if c.is_control() => into.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => into.push(c),
        }
        leading &= c == ' ';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).into_iter().map(|entry| (entry.key, entry.value)).collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn all_three_separators_and_both_comments() {
        let text = "# c\n! c\n  a = 1\nb:2\nc 3\nd=\ne\n\n  f\t:=4\n";
        let expected = [("a", "1"), ("b", "2"), ("c", "3"), ("d", ""), ("e", ""), ("f", "=4")];
        assert_eq!(pairs(text), expected.map(|(key, value)| pair(key, value)));
    }

    #[test]
    fn continued_lines_lose_their_indentation_and_comments_cannot_continue() {
        let text = "# note \\\na = 1,\\\n    2,\\\r\n\t3\nb = x\\\\\nc=y\\";
        assert_eq!(pairs(text), [pair("a", "1,2,3"), pair("b", "x\\"), pair("c", "y")]);
        let lines: Vec<usize> = parse(text).iter().map(|entry| entry.line).collect();
        assert_eq!(lines, [2, 5, 6]);
    }

    #[test]
    fn escapes_are_decoded_and_trailing_blanks_kept() {
        let text = "path\\ with\\=sign = a\\tb \nname=\\u00e9\\uD83D\\uDE00\nbad=\\u12\n";
        let expected = [("path with=sign", "a\tb "), ("name", "\u{e9}\u{1F600}"), ("bad", "u12")];
        assert_eq!(pairs(text), expected.map(|(key, value)| pair(key, value)));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_latin() {
        assert_eq!(decode(b"a=\xE9"), "a=\u{e9}");
        assert_eq!(decode("a=\u{e9}".as_bytes()), "a=\u{e9}");
        assert_eq!(decode(b"\xEF\xBB\xBFa=1"), "a=1");
    }

    #[test]
    fn what_is_no_text_is_told_by_its_line() {
        assert_eq!(odd_character("a=1\r\n\tb\u{e9}=\u{9b}\x0C"), None);
        assert_eq!(odd_character("a=1\n\nb=\0"), Some((3, '\0')));
        assert_eq!(odd_character(&decode(b"\x7fELF\x02")), Some((1, '\x7f')));
    }

    #[test]
    fn comments_behind_values_are_noticed() {
        assert_eq!(trailing_comment("48 # hours"), Some("# hours"));
        assert_eq!(trailing_comment("a#b"), None);
    }

    #[test]
    fn written_lines_read_back_whatever_they_hold() {
        for (key, value) in [("a b=c", "  x\\ \n#\u{1}"), ("k", "k=v\ninjected=1"), ("", "")] {
            assert_eq!(pairs(&line(key, value)), [pair(key, value)]);
        }
    }
}
