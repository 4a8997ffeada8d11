//! Registrations as JSON: objects within an object, of which each member of each is a part.

use super::{PART_BYTES_MAX, Part, TopicQueues};
use crate::{
    body::register::RegisterError,
    fastjson::{self, Memory, is_like},
    lexer::{JsonError, Lexer, Token},
};

/// What one part may become in memory; names are far below.
const PART_MEMORY_MAX: usize = 64 * 1024;

/// Where the lexer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before everything.
    Begin,
    /// Among the members of the body.
    Body,
    /// Among version and topics.
    Wrapper,
    /// Among topics.
    Topics,
    /// Behind everything.
    End,
}

pub struct Json<'a> {
    bytes: &'a [u8],
    lexer: Lexer<'a>,
    at: At,
    /// Version and topics are the body itself.
    bare: bool,
    /// Levels that are open within a value that nobody needs.
    depth: usize,
}

impl<'a> Json<'a> {
    pub fn new(bytes: &'a [u8], bare: bool) -> Json<'a> {
        Json { bytes, lexer: Lexer::new(bytes), at: At::Begin, bare, depth: 0 }
    }

    pub fn next(&mut self, read: &mut usize) -> Result<Part, RegisterError> {
        let before = self.lexer.at();
        let window = before.saturating_add(PART_BYTES_MAX);
        // What does not end within the window is too long, and not looked at any further.
        let mut lexer = self.lexer.within(self.bytes, window);
        let part = self.part(&mut lexer);
        *read += lexer.at() - before;
        let is_cut = window < self.bytes.len();
        match part {
            Err(RegisterError::Body(fastjson::BodyError::Json(JsonError::End { .. })))
                if is_cut =>
            {
                Err(RegisterError::Part { at: before, limit: PART_BYTES_MAX })
            }
            Err(error) => Err(error),
            // The window's end is not the end of a word or comment.
            Ok(_) if is_cut && lexer.at() >= window => {
                Err(RegisterError::Part { at: before, limit: PART_BYTES_MAX })
            }
            Ok(part) => {
                self.lexer = lexer.within(self.bytes, self.bytes.len());
                Ok(part)
            }
        }
    }

    fn part(&mut self, lexer: &mut Lexer<'a>) -> Result<Part, RegisterError> {
        if self.depth > 0 {
            self.pass_over(lexer)?;
            return Ok(Part::Other);
        }
        match self.at {
            At::Begin => {
                expect(lexer, &Token::ObjectStart, "'{'")?;
                self.at = if self.bare { At::Wrapper } else { At::Body };
                Ok(Part::Other)
            }
            At::End => match next(lexer)? {
                Token::End => Ok(Part::End),
                token => Err(unexpected(lexer, &token, "end")),
            },
            At::Body | At::Wrapper | At::Topics => self.member(lexer),
        }
    }

    /// One token of a value that nobody needs.
    fn pass_over(&mut self, lexer: &mut Lexer<'a>) -> Result<(), RegisterError> {
        match next(lexer)? {
            Token::ObjectStart | Token::ArrayStart => self.depth += 1,
            Token::ObjectEnd | Token::ArrayEnd => self.depth -= 1,
            Token::End => return Err(unexpected(lexer, &Token::End, "value")),
            _ => {}
        }
        Ok(())
    }

    fn member(&mut self, lexer: &mut Lexer<'a>) -> Result<Part, RegisterError> {
        let key = match next(lexer)? {
            Token::Comma => return Ok(Part::Other),
            Token::ObjectEnd => {
                self.at = match self.at {
                    At::Topics => At::Wrapper,
                    At::Wrapper if !self.bare => At::Body,
                    _ => At::End,
                };
                return Ok(Part::Other);
            }
            Token::Text(text) => text.text().map_err(fastjson::BodyError::from)?,
            Token::Word(word) => String::from_utf8_lossy(word),
            token => return Err(unexpected(lexer, &token, "key")),
        };
        expect(lexer, &Token::Colon, "':'")?;
        let mut ahead = lexer.clone();
        let first = next(&mut ahead)?;
        let is_null = matches!(first, Token::Word(b"null"));
        match self.at {
            At::Body if !is_null && is_like(&key, "topicConfigSerializeWrapper") => {
                expect(lexer, &Token::ObjectStart, "'{'")?;
                self.at = At::Wrapper;
            }
            At::Wrapper if !is_null && is_like(&key, "topicConfigTable") => {
                expect(lexer, &Token::ObjectStart, "'{'")?;
                self.at = At::Topics;
            }
            At::Wrapper if !is_null && is_like(&key, "dataVersion") => {
                return Ok(Part::Version(value(lexer)?));
            }
            At::Topics if !is_null => {
                let mut topic: TopicQueues = value(lexer)?;
                if topic.topic_name.is_empty() {
                    topic.topic_name = key.into_owned();
                }
                return Ok(Part::Topic(topic));
            }
            _ => {
                *lexer = ahead;
                match first {
                    Token::ObjectStart | Token::ArrayStart => self.depth = 1,
                    Token::Text(_) | Token::Word(_) => {}
                    token => return Err(unexpected(lexer, &token, "value")),
                }
            }
        }
        Ok(Part::Other)
    }
}

fn next<'a>(lexer: &mut Lexer<'a>) -> Result<Token<'a>, RegisterError> {
    Ok(lexer.next().map_err(fastjson::BodyError::from)?)
}

fn unexpected(lexer: &Lexer<'_>, token: &Token<'_>, expected: &'static str) -> RegisterError {
    fastjson::BodyError::from(lexer.unexpected(token, expected)).into()
}

fn expect(
    lexer: &mut Lexer<'_>,
    wanted: &Token<'_>,
    name: &'static str,
) -> Result<(), RegisterError> {
    match next(lexer)? {
        token if token == *wanted => Ok(()),
        token => Err(unexpected(lexer, &token, name)),
    }
}

fn value<T: serde::de::DeserializeOwned>(lexer: &mut Lexer<'_>) -> Result<T, RegisterError> {
    Ok(fastjson::value(lexer, &Memory::new(PART_MEMORY_MAX))?)
}
