//! What a consumer's expression means (`FilterAPI`).

use std::collections::BTreeSet;

use ringmq_base::hash::java_string_hash;

use crate::body::SubscriptionData;

/// The expression type that filters by tag.
pub const TAG: &str = "TAG";
/// The expression type that filters by properties.
pub const SQL92: &str = "SQL92";
/// The expression that every message meets.
pub const SUB_ALL: &str = "*";

/// Why an expression is refused. The texts are those of Java.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    #[error("subString split error")]
    Split,
    #[error("Expression can't be null! {0}")]
    Empty(String),
}

impl SubscriptionData {
    /// A subscription by an expression of any type; the type is TAG when absent. `sub_version` is
    /// in milliseconds since 1970.
    pub fn build(
        topic: &str,
        expression: Option<&str>,
        expression_type: Option<&str>,
        sub_version: i64,
    ) -> Result<SubscriptionData, SubscriptionError> {
        let data = SubscriptionData {
            topic: topic.to_owned(),
            sub_version,
            ..SubscriptionData::default()
        };
        let expression = expression.unwrap_or_default();
        match expression_type {
            None | Some(TAG) => by_tags(data, expression),
            Some(kind) if expression.is_empty() => Err(SubscriptionError::Empty(kind.to_owned())),
            Some(kind) => Ok(SubscriptionData {
                sub_string: expression.to_owned(),
                expression_type: Some(kind.to_owned()),
                ..data
            }),
        }
    }

    /// Whether the expression is one of tags.
    pub fn is_tag_type(&self) -> bool {
        self.expression_type.as_deref().is_none_or(|kind| kind == TAG)
    }

    /// Whether a message with this tags code may be wanted, by its tag alone. Different tags can
    /// have the same code: the client looks at the tag again.
    pub fn matches_tags_code(&self, tags_code: i64) -> bool {
        if self.class_filter_mode || self.sub_string == SUB_ALL {
            return true;
        }
        i32::try_from(tags_code).is_ok_and(|code| self.code_set.contains(&code))
    }
}

fn by_tags(
    data: SubscriptionData,
    expression: &str,
) -> Result<SubscriptionData, SubscriptionError> {
    if expression.is_empty() || expression == SUB_ALL {
        return Ok(SubscriptionData { sub_string: SUB_ALL.to_owned(), ..data });
    }
    if expression.split("||").all(str::is_empty) {
        return Err(SubscriptionError::Split);
    }
    let trim = |tag: &str| tag.trim_matches(|c: char| c <= ' ').to_owned();
    let tags_set: BTreeSet<String> =
        expression.split("||").map(trim).filter(|tag| !tag.is_empty()).collect();
    let code_set = tags_set.iter().map(|tag| java_string_hash(tag)).collect();
    Ok(SubscriptionData { sub_string: expression.to_owned(), tags_set, code_set, ..data })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(expression: Option<&str>) -> SubscriptionData {
        SubscriptionData::build("t", expression, None, 5).expect("a subscription")
    }

    #[test]
    fn no_expression_means_everything() {
        for expression in [None, Some(""), Some("*")] {
            let data = build(expression);
            assert_eq!((data.sub_string.as_str(), data.sub_version), ("*", 5));
            assert!(data.tags_set.is_empty() && data.matches_tags_code(0));
        }
    }

    #[test]
    fn tags_are_trimmed_and_hashed_as_in_java() {
        let data = build(Some(" TagA || b||\t|| "));
        assert_eq!(data.tags_set, ["TagA".to_owned(), "b".to_owned()].into());
        assert_eq!(data.code_set, [2_598_919, 98].into());
        assert!(data.matches_tags_code(98) && !data.matches_tags_code(99));
        assert!(!data.matches_tags_code(i64::from(i32::MIN) - 1));
        assert!(data.is_tag_type());
    }

    #[test]
    fn what_java_refuses_is_refused() {
        let error = SubscriptionData::build("t", Some("||"), Some(TAG), 0);
        assert_eq!(error, Err(SubscriptionError::Split));
        let error = SubscriptionData::build("t", None, Some(SQL92), 0).expect_err("empty");
        assert_eq!(error.to_string(), "Expression can't be null! SQL92");
        let sql = SubscriptionData::build("t", Some("a > 1"), Some(SQL92), 0).expect("sql");
        assert!(!sql.is_tag_type() && sql.code_set.is_empty());
    }
}
