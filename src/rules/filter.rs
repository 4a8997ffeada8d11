//! Which messages of a queue a consumer wants. Every kind of filter meets in [`Filter`].

use std::sync::Arc;

use ringmq_base::hash::java_string_hash;

use super::sql_filter::{SQL92, SqlError, SqlFilter};

/// Expression type of a subscription by tags; also meant by an empty or missing type.
pub const TAG: &str = "TAG";

/// Subscription text for every message.
pub const SUB_ALL: &str = "*";

/// Tags of a filter that need no allocation.
const INLINE: usize = 6;

/// What a consumer wants of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    Tags(TagFilter),
    /// By the properties of each message: [`Filter::keep`] lets all through.
    Sql(Arc<SqlFilter>),
    /// A heartbeat's SQL92 expression that is none, and why; pulls with it are refused.
    Broken(SqlError),
    /// An expression type that the broker has no filter for; pulls with it are refused.
    Unsupported(Arc<str>),
}

/// Why a subscription text is not a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error("the subscription has no tag between its ||; write * for every message")]
    NoTag,
    #[error("a subscription of a type other than TAG needs an expression")]
    NoExpression,
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl Filter {
    pub const ALL: Filter = Filter::Tags(TagFilter::All);

    /// The filter of a subscription text, as Java's `FilterAPI.build` understands it.
    ///
    /// # Errors
    /// If the text has no expression where one must be.
    pub fn parse(text: Option<&str>, expression_type: Option<&str>) -> Result<Filter, FilterError> {
        let text = text.unwrap_or_default();
        match expression_type {
            None | Some(TAG | "") => TagFilter::parse(text).map(Filter::Tags),
            Some(_) if text.is_empty() => Err(FilterError::NoExpression),
            Some(SQL92) => Ok(Filter::Sql(Arc::new(SqlFilter::parse(text)?))),
            Some(other) => Ok(Filter::Unsupported(Arc::from(other))),
        }
    }

    /// The filter of a heartbeat's subscription. The codes are the client's; they are computed from
    /// the text if it sent none.
    pub fn of_heartbeat(text: &str, expression_type: &str, codes: &[i32]) -> Filter {
        if expression_type == SQL92 {
            return match SqlFilter::parse(text) {
                Ok(filter) => Filter::Sql(Arc::new(filter)),
                Err(error) => Filter::Broken(error),
            };
        }
        if !is_tag_type(expression_type) {
            return Filter::Unsupported(Arc::from(expression_type));
        }
        if text == SUB_ALL || (text.is_empty() && codes.is_empty()) {
            return Filter::ALL;
        }
        if codes.is_empty() {
            return Filter::Tags(TagFilter::of_text(text));
        }
        Filter::Tags(TagFilter::of_codes(codes.iter().copied()))
    }

    /// What it takes in memory besides itself, about, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Filter::Sql(filter) => filter.bytes(),
            Filter::Tags(TagFilter::Codes(TagCodes::Many(codes))) => size_of_val(&**codes),
            _ => 0,
        }
    }

    /// Whether a message with this `tagsCode` may be wanted.
    #[inline]
    pub fn keep(&self, tags_code: i64) -> bool {
        match self {
            Filter::Tags(tags) => tags.keep(tags_code),
            Filter::Sql(_) => true,
            Filter::Broken(_) | Filter::Unsupported(_) => false,
        }
    }
}

/// Whether the expression type means tags.
pub fn is_tag_type(expression_type: &str) -> bool {
    expression_type.is_empty() || expression_type == TAG
}

/// Messages by the hash of their tag. Two tags may share a hash: clients check again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagFilter {
    All,
    Codes(TagCodes),
}

/// Distinct tag hashes in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagCodes {
    /// The first `count` of `codes`; the others are 0.
    Few {
        count: u8,
        codes: [i32; INLINE],
    },
    Many(Arc<[i32]>),
}

impl TagFilter {
    /// The filter of `a || b || c`, of `*` or of an empty text.
    fn parse(text: &str) -> Result<TagFilter, FilterError> {
        if text.is_empty() || text == SUB_ALL {
            return Ok(TagFilter::All);
        }
        if text.split("||").all(str::is_empty) {
            return Err(FilterError::NoTag);
        }
        Ok(TagFilter::of_text(text))
    }

    fn of_text(text: &str) -> TagFilter {
        let tags = text.split("||").map(java_trim).filter(|tag| !tag.is_empty());
        TagFilter::of_codes(tags.map(java_string_hash))
    }

    pub fn of_codes(all: impl Iterator<Item = i32> + Clone) -> TagFilter {
        let mut codes = [0; INLINE];
        let mut count = 0;
        for code in all.clone() {
            let Err(at) = codes[..count].binary_search(&code) else {
                continue;
            };
            if count == INLINE {
                return TagFilter::Codes(TagCodes::many(all));
            }
            codes.copy_within(at..count, at + 1);
            codes[at] = code;
            count += 1;
        }
        let count = u8::try_from(count).expect("at most the inline codes");
        TagFilter::Codes(TagCodes::Few { count, codes })
    }

    /// Whether a message with this `tagsCode` is wanted. Java compares the low 32 bits.
    #[inline]
    pub fn keep(&self, tags_code: i64) -> bool {
        match self {
            TagFilter::All => true,
            TagFilter::Codes(codes) => codes.contains(tags_code as i32),
        }
    }
}

impl TagCodes {
    fn many(codes: impl Iterator<Item = i32>) -> TagCodes {
        let mut codes: Vec<i32> = codes.collect();
        codes.sort_unstable();
        codes.dedup();
        TagCodes::Many(codes.into())
    }

    pub fn as_slice(&self) -> &[i32] {
        match self {
            TagCodes::Few { count, codes } => codes.get(..usize::from(*count)).unwrap_or(codes),
            TagCodes::Many(codes) => codes,
        }
    }

    #[inline]
    fn contains(&self, code: i32) -> bool {
        match self {
            TagCodes::Few { .. } => self.as_slice().contains(&code),
            TagCodes::Many(codes) => codes.binary_search(&code).is_ok(),
        }
    }
}

/// `String.trim` of Java: every character up to the space goes.
fn java_trim(text: &str) -> &str {
    text.trim_matches(|letter| letter <= ' ')
}

#[cfg(test)]
mod tests {
    use ringmq_base::hash::tags_code;

    use super::*;

    fn keeps(filter: &Filter, tag: &str) -> bool {
        filter.keep(tags_code(Some(tag)))
    }

    #[test]
    fn star_and_nothing_mean_every_message() {
        for text in [None, Some(""), Some("*")] {
            let filter = Filter::parse(text, None).expect("parses");
            assert!(keeps(&filter, "x") && filter.keep(0));
        }
        assert_eq!(Filter::of_heartbeat("*", "TAG", &[]), Filter::ALL);
        assert_eq!(Filter::of_heartbeat("", "", &[]), Filter::ALL);
    }

    #[test]
    fn tags_are_split_and_trimmed() {
        let filter = Filter::parse(Some(" a || b||\tc "), Some("TAG")).expect("parses");
        assert!(["a", "b", "c"].iter().all(|tag| keeps(&filter, tag)));
        assert!(!keeps(&filter, "d") && !keeps(&filter, "a ") && !filter.keep(0));
        assert_eq!(Filter::parse(Some("||||"), None), Err(FilterError::NoTag));
        let blank = Filter::parse(Some("  "), None).expect("parses, as in Java");
        assert!(!keeps(&blank, "a") && !blank.keep(0));
    }

    #[test]
    fn many_tags_are_found_as_well() {
        let tags: Vec<String> = (0..100).map(|number| format!("tag{number}")).collect();
        let filter = Filter::parse(Some(&tags.join("||")), None).expect("parses");
        assert!(tags.iter().all(|tag| keeps(&filter, tag)));
        assert!(!keeps(&filter, "tag100"));
        let double = Filter::parse(Some("a||a||b||a||b||a||b||b"), None).expect("parses");
        let Filter::Tags(TagFilter::Codes(codes)) = &double else { panic!("codes") };
        assert_eq!(codes.as_slice().len(), 2);
    }

    #[test]
    fn a_hash_below_zero_matches_its_sign_extended_code() {
        let filter = Filter::of_heartbeat("polygenelubricants", "TAG", &[i32::MIN]);
        assert!(keeps(&filter, "polygenelubricants"));
        let computed = Filter::of_heartbeat("polygenelubricants", "TAG", &[]);
        assert_eq!(computed, filter);
    }

    #[test]
    fn other_expression_types_are_known_by_name_only() {
        let filter = Filter::parse(Some("a > 5"), Some("GROOVY")).expect("accepted");
        assert_eq!(filter, Filter::Unsupported("GROOVY".into()));
        assert!(!filter.keep(0));
    }

    #[test]
    fn sql_is_compiled_and_looks_at_every_message() {
        let filter = Filter::parse(Some("a > 5"), Some("SQL92")).expect("an expression");
        assert!(matches!(filter, Filter::Sql(_)) && filter.keep(0));
        assert_eq!(filter, Filter::of_heartbeat("a > 5", "SQL92", &[]));
        assert!(matches!(Filter::parse(Some("a >"), Some("SQL92")), Err(FilterError::Sql(_))));
        assert!(matches!(Filter::of_heartbeat("a >", "SQL92", &[]), Filter::Broken(_)));
        assert_eq!(Filter::parse(None, Some("SQL92")), Err(FilterError::NoExpression));
    }
}
