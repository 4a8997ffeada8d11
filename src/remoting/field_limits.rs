//! How long the fields of a header may be: the one table for all requests, applied where a header
//! is decoded for whoever handles it.
//!
//! These limits bound memory and are far above what anybody sends. What a field means has narrower
//! ones, which are checked where that is known.

use crate::command::Fields;

const KIB: usize = 1024;

/// Longest header of a request, in bytes. Properties of 32 KiB take six times as much in JSON; up
/// to here whoever sends too much hears which field it is, beyond it the connection ends.
pub const REQUEST_HEADER_BYTES_MAX: usize = 4 * 1024 * KIB;

/// A header up to this length, in bytes, can break no limit but those of names, which whoever looks
/// a name up checks himself.
pub const SHORT_HEADER_BYTES: usize = 32 * KIB;

/// Longest name of a field, in bytes.
pub const FIELD_NAME_BYTES_MAX: usize = 256;

/// Longest value of a field that is not in the table, known or not, in bytes.
pub const FIELD_BYTES_MAX: usize = 64 * KIB;

/// Names of topics, groups, clients, brokers and clusters, addresses, ids, words.
const NAME_BYTES_MAX: usize = 4 * KIB;

/// Texts that have a limit of their own, with an answer of its own, below this.
const TEXT_BYTES_MAX: usize = 128 * KIB;

const LIMITS: &[(&str, usize)] = &[
    ("__ZONE_NAME", NAME_BYTES_MAX),
    ("a", NAME_BYTES_MAX),
    ("b", NAME_BYTES_MAX),
    ("batchUniqId", NAME_BYTES_MAX),
    ("bname", NAME_BYTES_MAX),
    ("boundaryType", NAME_BYTES_MAX),
    ("brokerAddr", NAME_BYTES_MAX),
    ("brokerName", NAME_BYTES_MAX),
    ("c", NAME_BYTES_MAX),
    ("clientAddr", NAME_BYTES_MAX),
    ("clientID", NAME_BYTES_MAX),
    ("clientId", NAME_BYTES_MAX),
    ("cluster", NAME_BYTES_MAX),
    ("clusterName", NAME_BYTES_MAX),
    ("compareGroup", NAME_BYTES_MAX),
    ("consumerGroup", NAME_BYTES_MAX),
    ("defaultTopic", NAME_BYTES_MAX),
    ("destGroup", NAME_BYTES_MAX),
    ("expressionType", NAME_BYTES_MAX),
    ("filterGroups", TEXT_BYTES_MAX),
    ("group", NAME_BYTES_MAX),
    ("groupName", NAME_BYTES_MAX),
    ("haServerAddr", NAME_BYTES_MAX),
    ("i", TEXT_BYTES_MAX),
    ("masterAddr", NAME_BYTES_MAX),
    ("msgId", NAME_BYTES_MAX),
    ("n", NAME_BYTES_MAX),
    ("namespace", NAME_BYTES_MAX),
    ("offsetMsgId", NAME_BYTES_MAX),
    ("originMsgId", NAME_BYTES_MAX),
    ("originTopic", NAME_BYTES_MAX),
    ("producerGroup", NAME_BYTES_MAX),
    ("properties", TEXT_BYTES_MAX),
    ("srcGroup", NAME_BYTES_MAX),
    ("statsKey", NAME_BYTES_MAX),
    ("statsName", NAME_BYTES_MAX),
    ("subscription", TEXT_BYTES_MAX),
    ("topic", NAME_BYTES_MAX),
    ("topicFilterType", NAME_BYTES_MAX),
    ("transactionId", NAME_BYTES_MAX),
    ("value", TEXT_BYTES_MAX),
];

/// A field that is too long. `Display` is the remark of the answer, which is SYSTEM_ERROR.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldTooLong {
    #[error("the header field {name} has {bytes} bytes, the limit is {limit}: send a shorter one")]
    Value { name: String, bytes: usize, limit: usize },
    #[error(
        "the name of a header field has {bytes} bytes, the limit is {FIELD_NAME_BYTES_MAX}: send a \
         shorter one"
    )]
    Name { bytes: usize },
}

fn limit(field: &str) -> usize {
    let found = LIMITS.binary_search_by(|(name, _)| (*name).cmp(field));
    found.ok().and_then(|at| LIMITS.get(at)).map_or(FIELD_BYTES_MAX, |(_, limit)| *limit)
}

/// Checks all fields of a request, those that nobody knows too.
///
/// # Errors
/// The first that is too long.
pub fn check(fields: &Fields<'_>) -> Result<(), FieldTooLong> {
    for (name, value) in fields.iter() {
        if name.len() > FIELD_NAME_BYTES_MAX {
            return Err(FieldTooLong::Name { bytes: name.len() });
        }
        let (bytes, limit) = (value.len(), limit(name));
        if bytes > limit {
            return Err(FieldTooLong::Value { name: name.to_owned(), bytes, limit });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Header;
    use crate::encode::{self, Value};
    use crate::frame::{Frame, Serialization};

    #[test]
    fn the_table_is_sorted() {
        assert!(LIMITS.is_sorted_by(|(a, _), (b, _)| a < b));
    }

    #[test]
    fn every_field_has_a_limit_in_both_serializations() {
        let others = ["queueId", "nobody knows me", "key"].map(|name| (name, FIELD_BYTES_MAX));
        for (name, limit) in LIMITS.iter().chain(&others) {
            for serialization in [Serialization::Json, Serialization::RocketMq] {
                for (bytes, fits) in [(*limit, true), (limit + 1, false)] {
                    let (text, mut out) = ("\n".repeat(bytes), Vec::new());
                    let fields = [("flag", Value::Int(0)), (*name, Value::Str(&text))];
                    encode::request_values(&mut out, serialization, 34, 1, false, &fields, b"")
                        .expect("fits a frame");
                    let header = Header::decode(&Frame::parse(&out).expect("a frame"));
                    let checked = check(&header.expect("a header").fields);
                    let (name, limit) = ((*name).to_owned(), *limit);
                    let long = FieldTooLong::Value { name, bytes, limit };
                    assert_eq!(checked, if fits { Ok(()) } else { Err(long) });
                }
            }
        }
    }

    #[test]
    fn names_of_fields_have_a_limit() {
        let name = "n".repeat(257);
        let fields = |name| [(name, "")].into_iter().collect();
        assert_eq!(check(&fields(&name[..256])), Ok(()));
        assert_eq!(check(&fields(&name)), Err(FieldTooLong::Name { bytes: 257 }));
    }
}
