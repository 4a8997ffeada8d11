//! Typed headers: what the fields of a request or response mean. One file per family; the doc of
//! a header names its request code. Send and pull headers are in [`crate::send`] and
//! [`crate::pull`].
//!
//! A header decodes leniently: unknown fields are ignored, and a field that cannot be read counts
//! as missing. Required are the fields without which Java cannot answer; a missing one is an
//! error, and the caller decides what it means.

pub mod admin;
pub mod client;
pub mod consume;
pub mod name_server;
pub mod produce;

use crate::command::Fields;
use crate::encode::Value;

/// A required field that is not there, or not what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{header}: the field {field} is missing or no {kind}")]
pub struct HeaderFieldError {
    /// Java's name of the header class.
    pub header: &'static str,
    pub field: &'static str,
    pub kind: &'static str,
}

/// The value of a header field.
pub trait FieldValue<'a>: Sized {
    const KIND: &'static str;

    /// None when the text does not stand for a value.
    fn from_field(text: &'a str) -> Option<Self>;
}

impl<'a> FieldValue<'a> for &'a str {
    const KIND: &'static str = "string";

    fn from_field(text: &'a str) -> Option<Self> {
        Some(text)
    }
}

impl FieldValue<'_> for String {
    const KIND: &'static str = "string";

    fn from_field(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl FieldValue<'_> for i32 {
    const KIND: &'static str = "32-bit number";

    fn from_field(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl FieldValue<'_> for i64 {
    const KIND: &'static str = "64-bit number";

    fn from_field(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl FieldValue<'_> for bool {
    const KIND: &'static str = "boolean";

    /// As Java: whatever is not `true` is false.
    fn from_field(text: &str) -> Option<Self> {
        Some(text.eq_ignore_ascii_case("true"))
    }
}

/// The value of a field that must be there.
pub fn required<'a, T: FieldValue<'a>>(
    header: &'static str,
    fields: &'a Fields<'_>,
    field: &'static str,
) -> Result<T, HeaderFieldError> {
    let error = HeaderFieldError { header, field, kind: T::KIND };
    optional(fields, field).ok_or(error)
}

/// The value of a field that may be there.
pub fn optional<'a, T: FieldValue<'a>>(fields: &'a Fields<'_>, field: &str) -> Option<T> {
    fields.get(field).and_then(T::from_field)
}

/// How a value is encoded.
pub(crate) trait AsValue {
    fn as_value(&self) -> Option<Value<'_>>;
}

impl AsValue for String {
    fn as_value(&self) -> Option<Value<'_>> {
        Some(Value::Str(self))
    }
}

impl AsValue for i32 {
    fn as_value(&self) -> Option<Value<'_>> {
        Some(Value::Int(i64::from(*self)))
    }
}

impl AsValue for i64 {
    fn as_value(&self) -> Option<Value<'_>> {
        Some(Value::Int(*self))
    }
}

impl AsValue for bool {
    fn as_value(&self) -> Option<Value<'_>> {
        Some(Value::Bool(*self))
    }
}

impl<T: AsValue> AsValue for Option<T> {
    fn as_value(&self) -> Option<Value<'_>> {
        self.as_ref().and_then(T::as_value)
    }
}

/// A text that Java puts into a key, where one that is missing reads `null`.
pub fn joined(fields: &Fields<'_>, field: &str) -> String {
    fields.get(field).unwrap_or("null").to_owned()
}

/// Declares typed headers. A field is `required`, `optional` (an Option), `default` (its type's
/// default when missing) or `joined` (a text, `null` when missing).
macro_rules! headers {
    ($(
        $(#[$doc:meta])*
        $name:ident {
            $($kind:ident $field:ident: $type:ty = $wire:literal,)*
        }
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, PartialEq, Eq)]
            pub struct $name {
                $(pub $field: $crate::headers::headers!(@type $kind $type),)*
            }

            impl $name {
                pub fn decode(
                    fields: &$crate::command::Fields<'_>,
                ) -> Result<Self, $crate::headers::HeaderFieldError> {
                    Ok($name {
                        $($field: $crate::headers::headers!(
                            @decode $kind stringify!($name), fields, $wire
                        ),)*
                    })
                }

                /// The fields with their names on the wire; absent ones are left out.
                pub fn encode(&self) -> Vec<(&'static str, $crate::encode::Value<'_>)> {
                    use $crate::headers::AsValue;
                    let fields = [$(($wire, self.$field.as_value()),)*];
                    fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
                }
            }
        )*
    };
    (@type required $type:ty) => { $type };
    (@type default $type:ty) => { $type };
    (@type joined $type:ty) => { $type };
    (@type optional $type:ty) => { Option<$type> };
    (@decode required $header:expr, $fields:expr, $wire:expr) => {
        $crate::headers::required($header, $fields, $wire)?
    };
    (@decode joined $header:expr, $fields:expr, $wire:expr) => {
        $crate::headers::joined($fields, $wire)
    };
    (@decode default $header:expr, $fields:expr, $wire:expr) => {
        $crate::headers::optional($fields, $wire).unwrap_or_default()
    };
    (@decode optional $header:expr, $fields:expr, $wire:expr) => {
        $crate::headers::optional($fields, $wire)
    };
}
pub(crate) use headers;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::consume::UpdateConsumerOffsetRequestHeader as Update;
    use crate::headers::produce::EndTransactionRequestHeader as End;

    fn update() -> Update {
        Update {
            consumer_group: "g".to_owned(),
            topic: "t".to_owned(),
            queue_id: 3,
            commit_offset: i64::MAX,
        }
    }

    #[test]
    fn a_header_is_read_back_from_both_serializations() {
        use crate::command::Header;
        use crate::frame::{Frame, Serialization};
        for serialization in [Serialization::Json, Serialization::RocketMq] {
            let mut out = Vec::new();
            let update = update();
            let fields = update.encode();
            let sent =
                crate::encode::request_values(&mut out, serialization, 15, 1, true, &fields, b"");
            sent.expect("fits");
            let header = Header::decode(&Frame::parse(&out).expect("frame")).expect("header");
            assert_eq!(Update::decode(&header.fields), Ok(update));
        }
    }

    #[test]
    fn a_missing_or_broken_required_field_is_named() {
        let fields = [("consumerGroup", "g"), ("topic", "t"), ("queueId", "x")];
        let fields: Fields<'_> = fields.into_iter().collect();
        let error = Update::decode(&fields).expect_err("no queue");
        assert_eq!((error.field, error.kind), ("queueId", "32-bit number"));
        assert_eq!(error.header, "UpdateConsumerOffsetRequestHeader");
    }

    #[test]
    fn optional_fields_may_be_missing_broken_or_unknown() {
        let fields = [
            ("producerGroup", "g"),
            ("tranStateTableOffset", "1"),
            ("commitLogOffset", "2"),
            ("commitOrRollback", "8"),
            ("fromTransactionCheck", "TRUE"),
            ("msgId", "m"),
            ("unknown", "?"),
        ];
        let header = End::decode(&fields.into_iter().collect()).expect("a header");
        assert!(header.from_transaction_check);
        assert_eq!(header.transaction_id, None);
        assert!(header.encode().iter().all(|(name, _)| *name != "transactionId"));
    }
}
