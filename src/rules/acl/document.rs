//! A YAML file as a tree that knows its lines, read within limits and written as SnakeYAML, the
//! library of the Java broker, reads it. Values are texts as they stand in the file: no number is
//! made of a secret key. Comments are lost when it is written again, as in Java.

use std::{collections::BTreeMap, fmt::Write};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::accounts::Problem;

/// Deepest nesting.
const DEPTH_MAX: usize = 8;
/// Most values in a file, those of aliases counted each time.
const NODES_MAX: usize = 200_000;

/// A value with the line on which it begins.
#[derive(Clone, PartialEq, Eq)]
pub struct Node {
    pub line: usize,
    pub value: Value,
}

#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    Null,
    /// `plain`: it stands in the file without quotes.
    Text {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// In the order of the file; no key is there twice.
    Map(Vec<(String, Node)>),
}

impl Node {
    pub fn new(value: Value) -> Node {
        Node { line: 0, value }
    }

    pub fn text(text: &str) -> Node {
        Node::new(Value::Text { text: text.to_owned(), plain: false })
    }

    /// A number or a truth value.
    pub fn word(word: impl ToString) -> Node {
        Node::new(Value::Text { text: word.to_string(), plain: true })
    }

    pub fn texts(texts: &[String]) -> Node {
        Node::new(Value::List(texts.iter().map(|text| Node::text(text)).collect()))
    }

    /// A member of a map; `None` if this is none.
    pub fn member(&self, name: &str) -> Option<&Node> {
        let Value::Map(members) = &self.value else { return None };
        members.iter().find(|(key, _)| key == name).map(|(_, node)| node)
    }

    pub fn member_mut(&mut self, name: &str) -> Option<&mut Node> {
        let Value::Map(members) = &mut self.value else { return None };
        members.iter_mut().find(|(key, _)| key == name).map(|(_, node)| node)
    }

    /// Sets a member; what was no map becomes one.
    pub fn set(&mut self, name: &str, node: Node) {
        if let Some(member) = self.member_mut(name) {
            *member = node;
            return;
        }
        match &mut self.value {
            Value::Map(members) => members.push((name.to_owned(), node)),
            other => *other = Value::Map(vec![(name.to_owned(), node)]),
        }
    }
}

/// Reads a file. An empty one is null.
///
/// # Errors
/// If it is no YAML, or more than the limits allow.
pub fn parse(text: &str) -> Result<Node, Problem> {
    let mut reader =
        Reader { parser: Parser::new_from_str(text), anchors: BTreeMap::new(), nodes: 0 };
    reader.document()
}

struct Reader<'a, P: Iterator<Item = Result<(Event<'a>, Span), ScanError>>> {
    parser: P,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

impl<'a, P: Iterator<Item = Result<(Event<'a>, Span), ScanError>>> Reader<'a, P> {
    fn next(&mut self) -> Result<(Event<'a>, usize), Problem> {
        match self.parser.next() {
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            Some(Err(error)) => {
                let line = error.marker().line();
                Err(Problem::new(line, format!("it is no YAML: {}", error.info())))
            }
            None => Ok((Event::StreamEnd, 0)),
        }
    }

    fn document(&mut self) -> Result<Node, Problem> {
        let mut root = Node::new(Value::Null);
        let mut documents = 0;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(root),
                (Event::DocumentStart(_), line) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(Problem::new(line, "a second document begins; take it out"));
                    }
                    let (event, line) = self.next()?;
                    root = self.node(event, line, 0)?;
                }
                _ => {}
            }
        }
    }

    fn node(&mut self, event: Event<'a>, line: usize, depth: usize) -> Result<Node, Problem> {
        if depth > DEPTH_MAX {
            return Err(Problem::new(line, format!("it is nested deeper than {DEPTH_MAX} levels")));
        }
        self.count(1, line)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => (scalar(&text, style), anchor),
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                let node =
                    known.ok_or_else(|| Problem::new(line, "an alias stands for nothing"))?;
                self.count(size(&node), line)?;
                return Ok(node);
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, line) => items.push(self.node(event, line, depth + 1)?),
                    }
                }
                (Value::List(items), anchor)
            }
            Event::MappingStart(anchor, _) => (self.map(depth)?, anchor),
            _ => return Err(Problem::new(line, "a value is missing")),
        };
        let node = Node { line, value };
        if anchor > 0 {
            self.count(size(&node), line)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn map(&mut self, depth: usize) -> Result<Value, Problem> {
        let mut members: Vec<(String, Node)> = Vec::new();
        loop {
            let (event, line) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Value::Map(members)),
                next => next,
            };
            let Event::Scalar(key, ..) = event else {
                return Err(Problem::new(line, "a key has to be a word"));
            };
            let key = key.into_owned();
            if members.iter().any(|(other, _)| *other == key) {
                return Err(Problem::new(line, format!("{key} is there twice")));
            }
            // A map of accounts has a few members: looking at all of them is short.
            if members.len() >= MEMBERS_MAX {
                return Err(Problem::new(line, format!("there are more than {MEMBERS_MAX} keys")));
            }
            let (event, line) = self.next()?;
            members.push((key, self.node(event, line, depth + 1)?));
        }
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), Problem> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            return Err(Problem::new(line, format!("there are more than {NODES_MAX} values")));
        }
        Ok(())
    }
}

/// Most members of one map.
const MEMBERS_MAX: usize = 64;

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Null | Value::Text { .. } => 0,
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(members) => members.iter().map(|(_, node)| size(node)).sum(),
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    let plain = style == ScalarStyle::Plain;
    match text {
        "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
        _ => Value::Text { text: text.to_owned(), plain },
    }
}

/// Writes a tree as a file.
pub fn write(root: &Node) -> String {
    let mut out = String::new();
    match &root.value {
        Value::Null => {}
        _ => write_node(&mut out, root, 0, Place::Line),
    }
    out
}

/// Where a value is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the start of a line.
    Line,
    /// Behind `key:`.
    Member,
    /// Behind `-`.
    Item,
}

fn write_node(out: &mut String, node: &Node, indent: usize, place: Place) {
    let space = if place == Place::Line { "" } else { " " };
    let pad = " ".repeat(indent);
    match &node.value {
        Value::Null => out.push_str(&format!("{space}null\n")),
        Value::Text { text, plain } => {
            out.push_str(&format!("{space}{}\n", quoted(text, *plain)));
        }
        Value::List(items) if items.is_empty() => out.push_str(&format!("{space}[]\n")),
        Value::Map(members) if members.is_empty() => out.push_str(&format!("{space}{{}}\n")),
        Value::List(items) => {
            if place != Place::Line {
                out.push('\n');
            }
            for item in items {
                out.push_str(&format!("{pad}-"));
                write_node(out, item, indent + 2, Place::Item);
            }
        }
        Value::Map(members) => {
            if place == Place::Member {
                out.push('\n');
            }
            for (number, (key, member)) in members.iter().enumerate() {
                // The first member of an item stands on the line of its dash.
                match place {
                    Place::Item if number == 0 => out.push(' '),
                    _ => out.push_str(&pad),
                }
                out.push_str(&format!("{}:", quoted(key, false)));
                let deeper = match member.value {
                    Value::List(_) => indent,
                    _ => indent + 2,
                };
                write_node(out, member, deeper, Place::Member);
            }
        }
    }
}

/// A text as a value: without quotes if it was so, or if no reader takes it for anything else.
fn quoted(text: &str, plain: bool) -> String {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"_./|=+-*%@".contains(&byte);
    let starts = |byte: u8| byte.is_ascii_alphabetic() || (plain && byte.is_ascii_digit());
    let words = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let is_word = words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if text.bytes().all(letters) && text.bytes().next().is_some_and(starts) && (plain || !is_word) {
        return text.to_owned();
    }
    if !text.chars().any(char::is_control) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter.is_control() => {
                write!(out, "\\u{:04x}", u32::from(letter)).expect("a string takes all");
            }
            letter => out.push(letter),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> String {
        write(&parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}")))
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let text = concat!(
            "# comment\n",
            "globalWhiteRemoteAddresses:\n  - 10.10.103.*\n  - '*'\n",
            "accounts:\n  - accessKey: RocketMQ\n    secretKey: 012345678 # a key\n",
            "    whiteRemoteAddress:\n    admin: false\n    topicPerms:\n",
            "      - topicA=DENY\n      - \"topic \\\"B\\\"\\t=PUB|SUB\"\n    groupPerms: []\n",
            "  - {accessKey: 'it''s', secretKey: \"12345678\"}\n",
            "dataVersion:\n- timestamp: 1600000000000\n  counter: 5\n",
        );
        let written = again(text);
        assert_eq!(again(&written), written);
        for part in [
            "globalWhiteRemoteAddresses:\n- 10.10.103.*\n- '*'\n",
            "accounts:\n- accessKey: RocketMQ\n  secretKey: 012345678\n",
            "  whiteRemoteAddress: null\n  admin: false\n  topicPerms:\n  - topicA=DENY\n",
            "  - \"topic \\\"B\\\"\\u0009=PUB|SUB\"\n  groupPerms: []\n",
            "- accessKey: 'it''s'\n  secretKey: '12345678'\n",
            "dataVersion:\n- timestamp: 1600000000000\n  counter: 5\n",
        ] {
            assert!(written.contains(part), "{part} in {written}");
        }
        assert_eq!(again(""), "");
        assert_eq!(quoted("true", false), "'true'");
        assert_eq!(quoted("true", true), "true");
        assert_eq!(quoted("1.5", false), "'1.5'");
    }

    #[test]
    fn aliases_are_followed_within_limits() {
        let node = parse("a: &x\n- t=PUB\nb: *x\n").expect("YAML");
        assert!(node.member("a").map(|n| &n.value) == node.member("b").map(|n| &n.value));
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..8 {
            let item = format!("*a{}, ", level - 1);
            bomb += &format!("a{level}: &a{level} [{}x]\n", item.repeat(10));
        }
        assert!(problem(&bomb).contains("more than 200000 values"), "{}", problem(&bomb));
    }

    fn problem(text: &str) -> String {
        parse(text).err().map(|problem| problem.to_string()).unwrap_or_default()
    }

    #[test]
    fn problems_name_their_line() {
        assert!(problem("a: b\na: c\n").starts_with("line 2: a is there twice"));
        assert!(problem("a:\n  - b\n c: d\n").starts_with("line "));
        assert!(problem("a: [1, 2\n").starts_with("line "));
        assert!(problem("---\na: b\n---\nc: d\n").contains("second document"));
        assert!(problem(&"[".repeat(20)).contains("deeper than 8"));
        assert!(!problem(&"[".repeat(100_000)).is_empty());
        assert!(problem("? [a]\n: b\n").contains("a key has to be a word"));
        let many: String = (0..100).map(|n| format!("k{n}: 1\n")).collect();
        assert!(problem(&many).contains("more than 64 keys"));
    }
}
