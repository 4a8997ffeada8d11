//! Fields one behind the other, little-endian. Reading takes no room for what is not there.

use bytes::Bytes;

use crate::{
    frames::{header::Kind, refusal::Refusal, secret::PROOF_BYTES},
    ids::{Epoch, ReplicaId},
};

/// Positions have 48 bits.
pub const POSITION_MAX: u64 = (1 << 48) - 1;

/// A body whose fields are always as long: its struct, and how it is written and read.
macro_rules! fixed {
    (
        $(#[$doc:meta])*
        $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty as $how:ident,)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            pub(super) fn write(&self, out: &mut $crate::frames::fields::Writer) {
                $(out.$how(self.$field);)*
            }

            pub(super) fn read(
                fields: &mut $crate::frames::fields::Reader,
            ) -> Result<$name, $crate::frames::refusal::Refusal> {
                $(let $field = fields.$how(stringify!($field))?;)*
                Ok($name { $($field,)* })
            }
        }
    };
}
pub(super) use fixed;

pub(super) struct Writer {
    kind: Kind,
    out: Vec<u8>,
}

impl Writer {
    /// Behind `before`, which is kept.
    pub fn new(kind: Kind, before: Vec<u8>) -> Writer {
        Writer { kind, out: before }
    }

    pub fn into_inner(self) -> Vec<u8> {
        self.out
    }

    pub fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    pub fn bool(&mut self, value: bool) {
        self.out.push(u8::from(value));
    }

    pub fn u16(&mut self, value: u16) {
        self.out.extend(value.to_le_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.out.extend(value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.out.extend(value.to_le_bytes());
    }

    pub fn u128(&mut self, value: u128) {
        self.out.extend(value.to_le_bytes());
    }

    pub fn position(&mut self, value: u64) {
        self.u64(value);
    }

    pub fn epoch(&mut self, value: Epoch) {
        self.u32(value.0);
    }

    pub fn replica(&mut self, value: ReplicaId) {
        self.u32(value.0);
    }

    pub fn proof(&mut self, value: [u8; PROOF_BYTES]) {
        self.bytes(&value);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend(bytes);
    }

    /// Length u16, then the text.
    pub fn text(&mut self, field: &'static str, text: &str, most: usize) -> Result<(), Refusal> {
        let length = self.count(field, text.len(), most)?;
        self.u16(length);
        self.bytes(text.as_bytes());
        Ok(())
    }

    /// A number of things, at most `most`.
    pub fn count(&self, field: &'static str, count: usize, most: usize) -> Result<u16, Refusal> {
        let refused = || Refusal::value(self.kind, field, count as u64, most as u64);
        let small = u16::try_from(count).ok().filter(|_| count <= most);
        small.ok_or_else(refused)
    }
}

pub(super) struct Reader {
    kind: Kind,
    rest: Bytes,
}

impl Reader {
    pub fn new(kind: Kind, fields: Bytes) -> Reader {
        Reader { kind, rest: fields }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// # Errors
    /// If something is left.
    pub fn end(self) -> Result<(), Refusal> {
        match self.rest.len() {
            0 => Ok(()),
            rest => Err(Refusal::Rest { kind: self.kind, rest }),
        }
    }

    /// All that is left.
    pub fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    pub fn bytes(&mut self, field: &'static str, count: usize) -> Result<Bytes, Refusal> {
        self.has(field, count)?;
        Ok(self.rest.split_to(count))
    }

    /// Whether so many bytes are left: before there is room made for what they say.
    fn has(&self, field: &'static str, count: usize) -> Result<(), Refusal> {
        match count.checked_sub(self.rest.len()) {
            None | Some(0) => Ok(()),
            Some(missing) => Err(Refusal::Ends { kind: self.kind, field, missing }),
        }
    }

    pub fn array<const COUNT: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<[u8; COUNT], Refusal> {
        let bytes = self.bytes(field, COUNT)?;
        let mut array = [0; COUNT];
        array.copy_from_slice(&bytes);
        Ok(array)
    }

    pub fn u8(&mut self, field: &'static str) -> Result<u8, Refusal> {
        self.array(field).map(u8::from_le_bytes)
    }

    pub fn u16(&mut self, field: &'static str) -> Result<u16, Refusal> {
        self.array(field).map(u16::from_le_bytes)
    }

    pub fn u32(&mut self, field: &'static str) -> Result<u32, Refusal> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub fn u64(&mut self, field: &'static str) -> Result<u64, Refusal> {
        self.array(field).map(u64::from_le_bytes)
    }

    pub fn u128(&mut self, field: &'static str) -> Result<u128, Refusal> {
        self.array(field).map(u128::from_le_bytes)
    }

    pub fn epoch(&mut self, field: &'static str) -> Result<Epoch, Refusal> {
        self.u32(field).map(Epoch)
    }

    pub fn replica(&mut self, field: &'static str) -> Result<ReplicaId, Refusal> {
        self.u32(field).map(ReplicaId)
    }

    pub fn proof(&mut self, field: &'static str) -> Result<[u8; PROOF_BYTES], Refusal> {
        self.array(field)
    }

    pub fn position(&mut self, field: &'static str) -> Result<u64, Refusal> {
        let value = self.u64(field)?;
        self.at_most(field, value, POSITION_MAX)?;
        Ok(value)
    }

    pub fn bool(&mut self, field: &'static str) -> Result<bool, Refusal> {
        let value = self.u8(field)?;
        self.at_most(field, u64::from(value), 1)?;
        Ok(value == 1)
    }

    pub fn text(&mut self, field: &'static str, most: usize) -> Result<String, Refusal> {
        let length = self.u16(field)?;
        self.at_most(field, u64::from(length), most as u64)?;
        let bytes = self.bytes(field, usize::from(length))?;
        let refused = |error: std::str::Utf8Error| {
            let at = error.valid_up_to();
            Refusal::Text { kind: self.kind, field, at }
        };
        std::str::from_utf8(&bytes).map(str::to_owned).map_err(refused)
    }

    /// A number of rows of at least so many bytes each, which are there.
    pub fn rows(&mut self, field: &'static str, bytes: usize) -> Result<usize, Refusal> {
        let count = usize::from(self.u16(field)?);
        self.has(field, count * bytes)?;
        Ok(count)
    }

    pub fn at_most(&self, field: &'static str, value: u64, most: u64) -> Result<(), Refusal> {
        match value > most {
            true => Err(Refusal::value(self.kind, field, value, most)),
            false => Ok(()),
        }
    }
}
