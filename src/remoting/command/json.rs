//! JSON headers.

use std::borrow::Cow;

use super::{Fields, Header, HeaderError, Peek};
use crate::fastjson::{integer, is_like};
use crate::language::Language;
use crate::lexer::{JsonError, Lexer, RawText, Token};

/// The members of a header that mean something here. The rest is passed over, as in Java.
const MEMBERS: [&str; 7] = ["code", "opaque", "flag", "version", "language", "remark", "extFields"];

/// Which members have been seen. Of several with the exact name the last counts; between names
/// that differ, the first.
#[derive(Default)]
struct Seen {
    exact: [bool; MEMBERS.len()],
    like: [bool; MEMBERS.len()],
}

impl Seen {
    /// The member that a key stands for, if its value counts.
    fn member(&mut self, key: &str) -> Option<&'static str> {
        let exact = MEMBERS.iter().position(|name| *name == key);
        let found = exact.or_else(|| MEMBERS.iter().position(|name| is_like(key, name)))?;
        let (by_name, by_likeness) = (self.exact.get_mut(found)?, self.like.get_mut(found)?);
        if *by_likeness || (exact.is_none() && *by_name) {
            return None;
        }
        *(if exact.is_some() { by_name } else { by_likeness }) = true;
        MEMBERS.get(found).copied()
    }
}

pub(super) fn decode(bytes: &[u8]) -> Result<Header<'_>, HeaderError> {
    let mut header = Header::default();
    let mut seen = Seen::default();
    let mut lexer = Lexer::new(bytes);
    expect_object(&mut lexer)?;
    while let Some(key) = next_key(&mut lexer)? {
        let value = lexer.next()?;
        match seen.member(&key.text()?) {
            Some("code") => header.code = number(&mut lexer, "code", value)?,
            Some("version") => header.version = number(&mut lexer, "version", value)?,
            Some("opaque") => header.opaque = number(&mut lexer, "opaque", value)?,
            Some("flag") => header.flag = number(&mut lexer, "flag", value)?,
            Some("language") => header.language = language(&mut lexer, value)?,
            Some("remark") => {
                header.remark = text(&mut lexer, value)?.filter(|remark| !remark.is_empty());
            }
            Some("extFields") => header.fields = fields(&mut lexer, value)?,
            _ => lexer.skip_value(value)?,
        }
    }
    expect_end(&mut lexer)?;
    Ok(header)
}

pub(super) fn peek(bytes: &[u8]) -> Result<Peek, HeaderError> {
    let mut peek = Peek::default();
    let mut seen = Seen::default();
    let mut lexer = Lexer::new(bytes);
    expect_object(&mut lexer)?;
    while let Some(key) = next_key(&mut lexer)? {
        let value = lexer.next()?;
        match seen.member(&key.text()?) {
            Some("code") => peek.code = number(&mut lexer, "code", value)?,
            Some("opaque") => peek.opaque = number(&mut lexer, "opaque", value)?,
            Some("flag") => peek.flag = number(&mut lexer, "flag", value)?,
            _ => lexer.skip_value(value)?,
        }
    }
    Ok(peek)
}

fn expect_end(lexer: &mut Lexer<'_>) -> Result<(), HeaderError> {
    match lexer.next()? {
        Token::End => Ok(()),
        token => Err(lexer.unexpected(&token, "end").into()),
    }
}

fn expect_object(lexer: &mut Lexer<'_>) -> Result<(), HeaderError> {
    match lexer.next()? {
        Token::ObjectStart => Ok(()),
        token => Err(lexer.unexpected(&token, "'{'").into()),
    }
}

/// The next key of an object with the colon behind it; None at the end of the object.
fn next_key<'a>(lexer: &mut Lexer<'a>) -> Result<Option<RawText<'a>>, JsonError> {
    let key = loop {
        match lexer.next()? {
            Token::Comma => {}
            Token::ObjectEnd => return Ok(None),
            Token::Text(key) => break key,
            Token::Word(bytes) => {
                break RawText { bytes, escaped: false, at: lexer.at() };
            }
            token => return Err(lexer.unexpected(&token, "key")),
        }
    };
    match lexer.next()? {
        Token::Colon => Ok(Some(key)),
        token => Err(lexer.unexpected(&token, "':'")),
    }
}

fn number(
    lexer: &mut Lexer<'_>,
    field: &'static str,
    token: Token<'_>,
) -> Result<i32, HeaderError> {
    let text = match token {
        Token::Word(b"null") => return Ok(0),
        Token::Word(b"true") => return Ok(1),
        Token::Word(word) => String::from_utf8_lossy(word),
        Token::Text(text) => text.text()?,
        token => return Err(lexer.unexpected(&token, "number").into()),
    };
    if text.is_empty() {
        return Ok(0);
    }
    integer(&text).and_then(|number| i32::try_from(number).ok()).ok_or_else(|| {
        let value = text.chars().take(40).collect();
        HeaderError::Number { field, value }
    })
}

fn language<'a>(lexer: &mut Lexer<'a>, token: Token<'a>) -> Result<Option<Language>, HeaderError> {
    let Some(text) = text(lexer, token)? else {
        return Ok(None);
    };
    let by_code = || text.parse().ok().and_then(Language::from_code);
    Ok(Language::from_name(&text).or_else(by_code))
}

/// A value as text, as Java has it in a map of strings. None is null.
fn text<'a>(lexer: &mut Lexer<'a>, token: Token<'a>) -> Result<Option<Cow<'a, str>>, HeaderError> {
    match token {
        Token::Word(b"null") => Ok(None),
        Token::Word(word) => Ok(Some(String::from_utf8_lossy(word))),
        Token::Text(text) => Ok(Some(text.text()?)),
        nested => {
            let start = lexer.at() - 1;
            lexer.skip_value(nested)?;
            Ok(Some(String::from_utf8_lossy(lexer.since(start))))
        }
    }
}

fn fields<'a>(lexer: &mut Lexer<'a>, token: Token<'a>) -> Result<Fields<'a>, HeaderError> {
    let mut fields = Fields::default();
    match token {
        Token::ObjectStart => {}
        Token::Word(b"null") => return Ok(fields),
        token => return Err(lexer.unexpected(&token, "object of extFields").into()),
    }
    while let Some(key) = next_key(lexer)? {
        let value = lexer.next()?;
        if let Some(value) = text(lexer, value)? {
            fields.push(key.text()?, value)?;
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JAVA: &str = concat!(
        r#"{"code":310,"extFields":{"a":"group","i":"KEYS\u0001k\u0002"},"flag":2,"#,
        r#""language":"JAVA","opaque":7,"serializeTypeCurrentRPC":"JSON","version":409}"#
    );

    #[test]
    fn members_are_found_in_any_case_and_behind_a_byte_order_mark() {
        let plain = decode(br#"{"code":11,"opaque":5,"extFields":{"topic":"T"}}"#).expect("plain");
        for text in [
            r#"{"CODE":11,"Opaque":5,"ext_fields":{"topic":"T"}}"#,
            "\u{feff}{\"code\":11,\"o-p_aque\":\"5\",\"EXTFIELDS\":{topic:'T'}}\0",
            r#"{"code":11,"opaque":5,"extFields":{"topic":"T"},"Code":12,"more":{"a":[1]}}"#,
            r#"{"Code":11.9,"code":12,"opaque":4,"opaque":5,"extFields":{"topic":"T"}}"#,
        ] {
            let header = decode(text.as_bytes()).expect(text);
            assert_eq!(header, plain, "{text}");
            let peeked = peek(text.as_bytes()).expect(text);
            assert_eq!((peeked.code, peeked.opaque), (11, 5), "{text}");
        }
        assert!(decode(b"{}x").is_err() && decode(b"{}{}").is_err());
    }

    #[test]
    fn a_header_of_java_is_decoded() {
        let header = decode(JAVA.as_bytes()).expect("a header");
        assert_eq!((header.code, header.opaque, header.version), (310, 7, 409));
        assert_eq!(header.language, Some(Language::Java));
        assert!(header.is_oneway() && !header.is_response());
        assert_eq!(header.fields.get("a"), Some("group"));
        assert_eq!(header.fields.get("i"), Some("KEYS\u{1}k\u{2}"));
        assert_eq!(header.fields.get("b"), None);
        let expected = Peek { code: 310, opaque: 7, flag: 2 };
        assert_eq!(peek(JAVA.as_bytes()), Ok(expected));
    }

    #[test]
    fn headers_are_read_as_leniently_as_fastjson_does() {
        let json = concat!(
            "{ 'code' : \"11\", flag:null, other:[{}, {a:1}], language:'COBOL', remark:'', ",
            "extFields:{'n':5, \"b\":true, x:null, o:{\"a\":1}, n:6}, opaque:-3, }\n"
        );
        let header = decode(json.as_bytes()).expect("a header");
        assert_eq!((header.code, header.flag, header.opaque), (11, 0, -3));
        assert_eq!((header.language, header.remark.as_deref()), (None, None));
        assert_eq!(header.fields.get("n"), Some("6"));
        assert_eq!(header.fields.get("b"), Some("true"));
        assert_eq!(header.fields.get("x"), None);
        assert_eq!(header.fields.get("o"), Some("{\"a\":1}"));
        assert_eq!(peek(json.as_bytes()), Ok(Peek { code: 11, opaque: -3, flag: 0 }));
    }

    #[test]
    fn empty_objects_have_the_defaults_of_java() {
        assert_eq!(decode(b"{}"), Ok(Header::default()));
        let header = decode(b"{\"extFields\":null}").expect("a header");
        assert!(header.fields.is_empty());
    }

    #[test]
    fn every_truncation_is_an_error() {
        for cut in 0..JAVA.len() {
            let bytes = JAVA.as_bytes().get(..cut).expect("within");
            assert!(decode(bytes).is_err(), "{cut}");
            assert!(peek(bytes).is_err(), "{cut}");
        }
    }

    #[test]
    fn too_many_fields_are_refused() {
        let fields: Vec<String> = (0..2000).map(|n| format!("\"f{n}\":\"\"")).collect();
        let json = format!("{{\"extFields\":{{{}}}}}", fields.join(","));
        assert_eq!(decode(json.as_bytes()), Err(HeaderError::Fields { limit: 1024 }));
    }
}
