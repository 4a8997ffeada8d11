//! Reads JSON straight into bodies, member by member, as fastjson 1.x does.
//!
//! A member of a body is found by its exact name, else by its name in any case and with `_` and
//! `-` between its letters. Of several with the exact name the last counts; between names that
//! differ, the first. Numbers and truth values may be
//! texts and the other way round. A member that is null or unknown is passed over.

use std::borrow::Cow;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::{BodyError, DEPTH_MAX, memory::Memory};
use crate::lexer::{JsonError, Lexer, Token};

/// A value, of which the lexer stands at the first token.
pub(super) struct Value<'l, 'a> {
    lexer: &'l mut Lexer<'a>,
    memory: &'l Memory,
    depth: usize,
}

impl<'l, 'a> Value<'l, 'a> {
    pub fn new(lexer: &'l mut Lexer<'a>, memory: &'l Memory) -> Value<'l, 'a> {
        Value { lexer, memory, depth: 0 }
    }

    fn next(&mut self) -> Result<Token<'a>, BodyError> {
        if self.depth > DEPTH_MAX {
            return Err(JsonError::Depth { at: self.lexer.at(), limit: DEPTH_MAX }.into());
        }
        Ok(self.lexer.next()?)
    }

    fn unexpected(&self, token: &Token<'_>, expected: &'static str) -> BodyError {
        self.lexer.unexpected(token, expected).into()
    }

    /// A text, or anything else as it stands.
    fn text(&mut self) -> Result<Cow<'a, str>, BodyError> {
        let before = self.lexer.at();
        let text = match self.next()? {
            Token::Text(text) => text.text()?,
            Token::Word(word) => String::from_utf8_lossy(word),
            token => {
                self.lexer.skip_value(token)?;
                let bytes = self.lexer.since(before).trim_ascii_start();
                String::from_utf8_lossy(bytes)
            }
        };
        self.memory.take_text(&text)?;
        Ok(text)
    }

    /// `truth`: a truth value stands for 1 or 0.
    fn number<'de, V: Visitor<'de>>(
        mut self,
        truth: bool,
        visitor: V,
    ) -> Result<V::Value, BodyError> {
        let at = self.lexer.at();
        let text = match self.next()? {
            Token::Word(b"true") if truth => return visitor.visit_i64(1),
            Token::Word(b"false") if truth => return visitor.visit_i64(0),
            Token::Word(word) => String::from_utf8_lossy(word),
            Token::Text(text) => text.text()?,
            token => return Err(self.unexpected(&token, "number")),
        };
        match integer(text.trim()) {
            Some(number) => visitor.visit_i64(number),
            None => Err(JsonError::Unexpected { at, found: "text", expected: "number" }.into()),
        }
    }

    fn truth(&mut self) -> Result<bool, BodyError> {
        let at = self.lexer.at();
        let truth = match self.next()? {
            Token::Text(text) => parse_truth(&text.text()?),
            Token::Word(b"true") => Some(true),
            Token::Word(b"false") => Some(false),
            // Of all numbers only 1 is true.
            Token::Word(word) => {
                std::str::from_utf8(word).ok().and_then(integer).map(|number| number == 1)
            }
            token => return Err(self.unexpected(&token, "truth value")),
        };
        let (found, expected) = ("text", "truth value");
        Ok(truth.ok_or(JsonError::Unexpected { at, found, expected })?)
    }
}

/// The whole number that a text stands for; as in Java, what is behind the point is cut off.
pub(crate) fn integer(text: &str) -> Option<i64> {
    let fraction = || text.parse::<f64>().ok().filter(|number| number.is_finite());
    text.parse().ok().or_else(|| fraction().map(|number| number as i64))
}

/// The texts that fastjson takes for a truth value.
fn parse_truth(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") || text == "1" => Some(true),
        _ if text.eq_ignore_ascii_case("false") || text == "0" => Some(false),
        "Y" | "T" => Some(true),
        "N" | "F" => Some(false),
        _ => None,
    }
}

fn is_null(token: &Token<'_>) -> bool {
    matches!(token, Token::Word(b"null" | b"undefined"))
}

macro_rules! numbers {
    ($truth:literal: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BodyError> {
            self.number($truth, visitor)
        })*
    };
}

macro_rules! texts {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, BodyError> {
            visitor.visit_str(&self.text()?)
        })*
    };
}

// What is read does not borrow: texts with escapes are made anew.
impl<'de> Deserializer<'de> for Value<'_, '_> {
    type Error = BodyError;

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, BodyError> {
        match self.next()? {
            Token::ObjectStart => {
                let (lexer, memory, depth) = (self.lexer, self.memory, self.depth + 1);
                visitor.visit_map(Entries { lexer, memory, depth })
            }
            Token::ArrayStart => {
                let (lexer, memory, depth) = (self.lexer, self.memory, self.depth + 1);
                visitor.visit_seq(Items { lexer, memory, depth, nulls: true })
            }
            Token::Text(text) => {
                let text = text.text()?;
                self.memory.take_text(&text)?;
                visitor.visit_str(&text)
            }
            token if is_null(&token) => visitor.visit_unit(),
            Token::Word(b"true") => visitor.visit_bool(true),
            Token::Word(b"false") => visitor.visit_bool(false),
            Token::Word(word) => {
                let word = String::from_utf8_lossy(word);
                match (word.parse::<i64>(), word.parse::<f64>()) {
                    (Ok(number), _) => visitor.visit_i64(number),
                    (_, Ok(number)) => visitor.visit_f64(number),
                    _ => visitor.visit_str(&word),
                }
            }
            token => Err(self.unexpected(&token, "value")),
        }
    }

    numbers!(true: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_u8 deserialize_u16);
    numbers!(true: deserialize_u32);
    numbers!(false: deserialize_i64 deserialize_u64);
    texts!(deserialize_str deserialize_string deserialize_char deserialize_identifier);

    fn deserialize_f64<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, BodyError> {
        let text = self.text()?;
        visitor.visit_f64(text.trim().parse().map_err(BodyError::custom)?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BodyError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, BodyError> {
        visitor.visit_bool(self.truth()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BodyError> {
        let mut ahead = self.lexer.clone();
        if is_null(&ahead.next()?) {
            *self.lexer = ahead;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, BodyError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, BodyError> {
        match self.next()? {
            Token::ArrayStart => {
                let (lexer, memory, depth) = (self.lexer, self.memory, self.depth + 1);
                visitor.visit_seq(Items { lexer, memory, depth, nulls: false })
            }
            token => Err(self.unexpected(&token, "'['")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, BodyError> {
        match self.next()? {
            Token::ObjectStart => {
                let (lexer, memory, depth) = (self.lexer, self.memory, self.depth + 1);
                visitor.visit_map(Entries { lexer, memory, depth })
            }
            token => Err(self.unexpected(&token, "'{'")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, BodyError> {
        match self.next()? {
            Token::ObjectStart => {
                let members = find_members(self.lexer, fields)?.into_iter();
                let (memory, depth) = (self.memory, self.depth + 1);
                visitor.visit_map(Members { members, memory, value: None, depth })
            }
            token => Err(self.unexpected(&token, "'{'")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(
        mut self,
        visitor: V,
    ) -> Result<V::Value, BodyError> {
        let first = self.next()?;
        self.lexer.skip_value(first)?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i128 u128 bytes byte_buf unit unit_struct tuple tuple_struct enum
    }
}

/// The key of an object's next member with the colon behind it; None at the object's end.
fn next_key<'a>(lexer: &mut Lexer<'a>) -> Result<Option<Token<'a>>, BodyError> {
    loop {
        match lexer.next()? {
            Token::Comma => {}
            Token::ObjectEnd => return Ok(None),
            key => return Ok(Some(key)),
        }
    }
}

fn colon(lexer: &mut Lexer<'_>) -> Result<(), BodyError> {
    match lexer.next()? {
        Token::Colon => Ok(()),
        token => Err(lexer.unexpected(&token, "':'").into()),
    }
}

fn key_text<'a>(lexer: &Lexer<'a>, key: &Token<'a>) -> Result<Cow<'a, str>, BodyError> {
    match key {
        Token::Text(text) => Ok(text.text()?),
        Token::Word(word) => Ok(String::from_utf8_lossy(word)),
        token => Err(lexer.unexpected(token, "key").into()),
    }
}

/// A member of a body, of which the lexer stands before the value.
struct Member<'a> {
    name: &'static str,
    value: Lexer<'a>,
    exact: bool,
}

/// Goes through an object to its end and finds the values of the fields.
fn find_members<'a>(
    lexer: &mut Lexer<'a>,
    fields: &'static [&'static str],
) -> Result<Vec<Member<'a>>, BodyError> {
    let mut found: Vec<Member<'a>> = Vec::with_capacity(fields.len());
    while let Some(key) = next_key(lexer)? {
        let key = match key {
            Token::ObjectStart | Token::ArrayStart => {
                lexer.skip_value(key)?;
                Cow::Borrowed("")
            }
            key => key_text(lexer, &key)?,
        };
        colon(lexer)?;
        let value = lexer.clone();
        let first = lexer.next()?;
        lexer.skip_value(first)?;
        let Some(name) = match_field(&key, &first, fields).filter(|_| !is_null(&first)) else {
            continue;
        };
        let exact = *key == *name;
        match found.iter_mut().find(|member| member.name == name) {
            None => found.push(Member { name, value, exact }),
            Some(old) if exact && old.exact => old.value = value,
            Some(_) => {}
        }
    }
    Ok(found)
}

fn match_field(
    key: &str,
    value: &Token<'_>,
    fields: &'static [&'static str],
) -> Option<&'static str> {
    if let Some(name) = fields.iter().find(|name| **name == key) {
        return Some(name);
    }
    let like = |key: &str| fields.iter().find(|name| is_like(key, name)).copied();
    like(key).or_else(|| {
        // Truth values are also found by the name of their getter.
        let truth = matches!(value, Token::Word(b"true" | b"false"));
        like(key.strip_prefix("is")?).filter(|_| truth)
    })
}

/// Whether two names are the same but for case and the signs that separate words.
pub(crate) fn is_like(key: &str, name: &str) -> bool {
    letters(key).eq(letters(name))
}

fn letters(name: &str) -> impl Iterator<Item = u8> {
    let letters = name.bytes().filter(|byte| !matches!(byte, b'_' | b'-'));
    letters.map(|byte| byte.to_ascii_lowercase())
}

/// The members of a body that are there.
struct Members<'l, 'a> {
    members: std::vec::IntoIter<Member<'a>>,
    memory: &'l Memory,
    value: Option<Lexer<'a>>,
    depth: usize,
}

impl<'de> MapAccess<'de> for Members<'_, '_> {
    type Error = BodyError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, BodyError> {
        let Some(member) = self.members.next() else {
            return Ok(None);
        };
        self.value = Some(member.value);
        let name: StrDeserializer<'_, BodyError> = member.name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, BodyError> {
        let mut lexer = self.value.take().unwrap_or_else(|| Lexer::new(b""));
        seed.deserialize(Value { lexer: &mut lexer, memory: self.memory, depth: self.depth })
    }
}

/// The entries of a map. Their keys may be objects.
struct Entries<'l, 'a> {
    lexer: &'l mut Lexer<'a>,
    memory: &'l Memory,
    depth: usize,
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = BodyError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, BodyError> {
        loop {
            let mut ahead = self.lexer.clone();
            let before_key = loop {
                let before = ahead.clone();
                match ahead.next()? {
                    Token::Comma => {}
                    Token::ObjectEnd => {
                        *self.lexer = ahead;
                        return Ok(None);
                    }
                    key => {
                        ahead.skip_value(key)?;
                        break before;
                    }
                }
            };
            colon(&mut ahead)?;
            let mut value = ahead.clone();
            if is_null(&value.next()?) {
                *self.lexer = value;
                continue;
            }
            *self.lexer = ahead;
            self.memory.take_item::<K::Value>()?;
            let (lexer, memory, depth) = (before_key, self.memory, self.depth);
            return seed.deserialize(Key { lexer, memory, depth }).map(Some);
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, BodyError> {
        self.memory.take_item::<V::Value>()?;
        seed.deserialize(Value { lexer: self.lexer, memory: self.memory, depth: self.depth })
    }
}

/// The key of an entry: a text, a word, or an object, which may be within a text.
struct Key<'l, 'a> {
    lexer: Lexer<'a>,
    memory: &'l Memory,
    depth: usize,
}

impl<'a> Key<'_, 'a> {
    fn text(&mut self) -> Result<Cow<'a, str>, BodyError> {
        let before = self.lexer.clone();
        let text = match self.lexer.next()? {
            token @ (Token::ObjectStart | Token::ArrayStart) => {
                self.lexer.skip_value(token)?;
                let bytes = self.lexer.since(before.at());
                String::from_utf8_lossy(bytes.trim_ascii_start())
            }
            token => key_text(&self.lexer, &token)?,
        };
        self.memory.take_text(&text)?;
        Ok(text)
    }
}

impl<'de> Deserializer<'de> for Key<'_, '_> {
    type Error = BodyError;

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, BodyError> {
        visitor.visit_str(&self.text()?)
    }

    fn deserialize_i32<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, BodyError> {
        let (lexer, memory, depth) = (&mut self.lexer, self.memory, self.depth);
        Value { lexer, memory, depth }.number(false, visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BodyError> {
        self.deserialize_i32(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, BodyError> {
        let text = self.text()?;
        let mut lexer = Lexer::new(text.as_bytes());
        let value = Value { lexer: &mut lexer, memory: self.memory, depth: self.depth };
        value.deserialize_struct(name, fields, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The items of a list.
struct Items<'l, 'a> {
    lexer: &'l mut Lexer<'a>,
    memory: &'l Memory,
    depth: usize,
    /// Null is an item, and not passed over.
    nulls: bool,
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = BodyError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, BodyError> {
        loop {
            let mut ahead = self.lexer.clone();
            match ahead.next()? {
                Token::Comma => *self.lexer = ahead,
                Token::ArrayEnd => {
                    *self.lexer = ahead;
                    return Ok(None);
                }
                token if is_null(&token) && !self.nulls => *self.lexer = ahead,
                _ => break,
            }
        }
        self.memory.take_item::<T::Value>()?;
        let (lexer, memory, depth) = (&mut *self.lexer, self.memory, self.depth);
        seed.deserialize(Value { lexer, memory, depth }).map(Some)
    }
}
