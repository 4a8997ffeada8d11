//! Binary headers (`RocketMQSerializable`). An empty string is the same as none.
//!
//! ```text
//! code i16 | language u8 | version i16 | opaque i32 | flag i32
//! remark length i32, remark | fields length i32, (name length i16, name, length i32, value)*
//! ```

use super::{Fields, Header, HeaderError, Peek, restore_code};
use crate::language::Language;

pub(super) fn decode(bytes: &[u8]) -> Result<Header<'_>, HeaderError> {
    let mut reader = Reader { bytes, at: 0 };
    let start = start(&mut reader)?;
    let remark = reader.text32("remark")?;
    let mut fields = Fields::default();
    for field in reader.fields()? {
        let (name, value) = field?;
        if !value.is_empty() {
            fields.push(String::from_utf8_lossy(name), String::from_utf8_lossy(value))?;
        }
    }
    let remark = (!remark.is_empty()).then(|| String::from_utf8_lossy(remark));
    Ok(Header {
        code: restore_code(start.code, start.flag),
        language: Language::from_code(start.language),
        version: start.version,
        opaque: start.opaque,
        flag: start.flag,
        remark,
        fields,
    })
}

pub(super) fn peek(bytes: &[u8]) -> Result<Peek, HeaderError> {
    let start = start(&mut Reader { bytes, at: 0 })?;
    let code = restore_code(start.code, start.flag);
    Ok(Peek { code, opaque: start.opaque, flag: start.flag })
}

pub(crate) struct Start {
    pub code: i16,
    pub language: u8,
    pub version: i32,
    pub opaque: i32,
    pub flag: i32,
}

pub(crate) fn start(reader: &mut Reader<'_>) -> Result<Start, HeaderError> {
    let code = reader.i16("code")?;
    let [language] = reader.array("language")?;
    let version = i32::from(reader.i16("version")?);
    Ok(Start { code, language, version, opaque: reader.i32("opaque")?, flag: reader.i32("flag")? })
}

pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    fn take(&mut self, field: &'static str, length: usize) -> Result<&'a [u8], HeaderError> {
        let need = self.at.saturating_add(length);
        let have = self.bytes.len();
        let short = HeaderError::Short { field, need, have };
        let part = self.bytes.get(self.at..need).ok_or(short)?;
        self.at = need;
        Ok(part)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], HeaderError> {
        let part = self.take(field, N)?;
        Ok(part.try_into().expect("take gives the length asked for"))
    }

    fn i16(&mut self, field: &'static str) -> Result<i16, HeaderError> {
        self.array(field).map(i16::from_be_bytes)
    }

    fn i32(&mut self, field: &'static str) -> Result<i32, HeaderError> {
        self.array(field).map(i32::from_be_bytes)
    }

    /// A string with a 32-bit length.
    pub fn text32(&mut self, field: &'static str) -> Result<&'a [u8], HeaderError> {
        let length = self.i32(field)?;
        let bytes = usize::try_from(length);
        self.take(field, bytes.map_err(|_| length_error(field, length.into()))?)
    }

    fn text16(&mut self, field: &'static str) -> Result<&'a [u8], HeaderError> {
        let length = self.i16(field)?;
        let bytes = usize::try_from(length);
        self.take(field, bytes.map_err(|_| length_error(field, length.into()))?)
    }

    /// The fields that stand here, name and value.
    pub fn fields(&mut self) -> Result<FieldsReader<'a>, HeaderError> {
        let bytes = self.text32("extFields")?;
        Ok(FieldsReader { reader: Reader { bytes, at: 0 } })
    }
}

fn length_error(field: &'static str, length: i64) -> HeaderError {
    HeaderError::Length { field, length }
}

pub(crate) struct FieldsReader<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for FieldsReader<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), HeaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = &mut self.reader;
        if reader.at >= reader.bytes.len() {
            return None;
        }
        let entry = reader.text16("extFields name");
        let entry = entry.and_then(|name| Ok((name, reader.text32("extFields value")?)));
        if entry.is_err() {
            reader.at = reader.bytes.len();
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PULL_MESSAGE of a Java client with opaque 5, the remark "r" and two fields.
    const PULL: &[u8] = b"\x00\x0B\x00\x01\x99\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x01r\
        \x00\x00\x00\x15\x00\x05topic\x00\x00\x00\x01T\x00\x03abc\x00\x00\x00\x00";

    #[test]
    fn a_binary_header_is_decoded() {
        let header = decode(PULL).expect("a header");
        assert_eq!((header.code, header.opaque, header.version), (11, 5, 409));
        assert_eq!(header.remark.as_deref(), Some("r"));
        assert_eq!(header.fields.get("topic"), Some("T"));
        assert_eq!(header.fields.get("abc"), None);
        assert_eq!(peek(PULL), Ok(Peek { code: 11, opaque: 5, flag: 0 }));
    }

    #[test]
    fn every_truncation_is_an_error() {
        for cut in 0..PULL.len() {
            assert!(decode(PULL.get(..cut).expect("within")).is_err(), "{cut}");
        }
    }

    #[test]
    fn codes_that_are_cut_to_16_bits_are_restored() {
        let names = [
            (3442, request::POP_MESSAGE),
            (3443, request::ACK_MESSAGE),
            (3444, request::PEEK_MESSAGE),
            (3445, request::CHANGE_MESSAGE_INVISIBLETIME),
            (3446, request::NOTIFICATION),
            (3447, request::POLLING_INFO),
            (3448, request::POP_ROLLBACK),
            (3543, request::BATCH_ACK_MESSAGE),
        ];
        for (cut, code) in names {
            assert_eq!(restore_code(cut, 0), code);
            assert_eq!(restore_code(cut, 1), i32::from(cut));
        }
    }

    #[test]
    fn negative_lengths_are_refused() {
        let mut bytes = PULL.to_vec();
        bytes[13] = 0xFF;
        assert!(matches!(decode(&bytes), Err(HeaderError::Length { field: "remark", .. })));
    }

    use crate::codes::request;
}
