use proptest::{collection::vec, proptest, sample::select};

use super::*;

const PROPERTIES: &[u8] =
    b"TAGS\x01TagA\x02a\x015\x02f\x015.5\x02big\x013000000000\x02s\x01it's\x02t\x01true\x02n\x01-5";

fn keeps(text: &str) -> bool {
    let filter = SqlFilter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    filter.keep(PROPERTIES, &mut Steps::default()).expect("few steps")
}

fn refused(text: &str) -> String {
    SqlFilter::parse(text).expect_err(text).to_string()
}

#[test]
fn messages_are_kept_by_their_properties() {
    for text in [
        "(TAGS is not null and TAGS in ('TagA', 'TagB'))",
        "a > 4 AND a < 6 AND a = 5 AND a <> 4 AND a >= 5 AND a <= 5",
        "a between 5 and 6",
        "a not between 6 and 7",
        "n = -5 and n < -4 and n between -5 and 5",
        "f = 5.5 and f > 5.0",
        "big > 2999999999",
        "s = 'it''s'",
        "s not in ('x')",
        "missing is null",
        "missing = 'x' or a = 5",
        "NOT (a = 4)",
        "not a = 4 or true",
        "t = true",
        "5 = a",
        "a = +5L",
        "s contains 't''' and s startswith 'it' and s endswith 's' and s not contains 'x'",
        "a > 4 -- a comment\n AND a < 6",
        "big > a",
        "(((a)) > (4))",
    ] {
        assert!(keeps(text), "{text}");
    }
}

#[test]
fn what_is_false_unknown_or_not_comparable_keeps_a_message_back() {
    for text in [
        "a > 5",
        "TAGS in ('TagC')",
        "a between 6 and 7",
        "missing = 'x'",
        "missing <> 'x'",
        "missing > 5",
        "not (missing = 'x')",
        "missing not in ('x')",
        "missing is not null",
        "missing = 'x' and a = 5",
        "a",
        "TRUE AND s",
        // a text that is no number of the constant's kind
        "f > 5",
        "big > 5",
        "s > 5",
        "s > 5 or a = 5",
        "s > TAGS",
        // NOT binds to the property alone, as in Java
        "NOT s = 'x'",
        "missing contains 'x'",
        "missing not contains 'x'",
        "s contains ''",
    ] {
        assert!(!keeps(text), "{text}");
    }
}

#[test]
fn what_is_no_condition_is_refused_with_place_and_reason() {
    for (text, mention) in [
        ("", "character 0: the end where a property"),
        ("a >", "character 3: the end"),
        ("a LIKE 'x'", "character 2: LIKE where AND, OR or the end"),
        ("a > 5)", "character 5: ) where"),
        ("(a > 5", "where ) should be"),
        ("a = null", "IS NULL"),
        ("a > 'x'", "only properties and numbers"),
        ("a > true", "only properties and numbers"),
        ("(a = 1) > 5", "only properties and numbers"),
        ("5", "a condition should be here"),
        ("a = 1 and 'x'", "a condition should be here"),
        ("true = 5", "TRUE and FALSE"),
        ("a in (5)", "a text in quotes"),
        ("5 in ('5')", "IN is for properties"),
        ("a between 6 and 5", "the first bound"),
        ("a not like 'x'", "BETWEEN, IN"),
        ("a is 5", "where NULL"),
        ("a = 99999999999999999999", "out of range"),
        ("a = 1e999", "out of range"),
        ("a ; b", "';' begins no"),
        ("and = 5", "and where a property"),
    ] {
        let error = refused(text);
        assert!(error.contains(mention), "{text:?}: {error}");
    }
}

#[test]
fn no_text_takes_the_stack() {
    let deep = "(".repeat(65) + "a" + &")".repeat(65);
    assert!(refused(&deep).contains("nested deeper"));
    assert!(refused(&"not ".repeat(15_000)).contains("nested deeper"));
    assert!(refused(&("a".to_owned() + &" = b".repeat(10_000))).contains("nested deeper"));
    assert!(refused(&("a".to_owned() + &" is null".repeat(8_000))).contains("nested deeper"));
    let long = "a = 4".to_owned() + &" or a = 4".repeat(5_000) + " or a = 5";
    assert!(keeps(&long));
}

#[test]
fn an_expression_takes_no_more_memory_than_its_text_allows() {
    // Each BETWEEN has the one before as its operand.
    let chain = "a".to_owned() + &" between 1 and 2".repeat(24);
    assert!(refused(&chain).contains("only properties and numbers"), "a condition has no order");
    let signs = "-".repeat(60) + "a between 1 and 2";
    let filter = SqlFilter::parse(&signs).expect("an expression");
    assert!(filter.bytes() < 100 * signs.len() + 1000, "{} bytes", filter.bytes());
    let long = "a = 4".to_owned() + &" or a = 4".repeat(7000);
    let filter = SqlFilter::parse(&long).expect("an expression");
    assert!(filter.bytes() < 60 * long.len(), "{} bytes", filter.bytes());
    let text = "a".repeat(SUBSCRIPTION_BYTES_MAX + 1);
    assert_eq!(SqlFilter::parse(&text), Err(SqlError::TooLong { bytes: text.len() }));
}

#[test]
fn an_evaluation_that_takes_too_many_steps_is_given_up() {
    let mut properties = b"v\x01".to_vec();
    properties.resize(31_000, b'x');
    let terms = vec!["v contains 'y'"; 3000].join(" or ");
    let filter = SqlFilter::parse(&terms).expect("an expression");
    let mut steps = Steps::default();
    assert_eq!(filter.keep(&properties, &mut steps), Err(TooManySteps));
    assert!(steps.total() < Steps::MESSAGE_MAX + 31_000 / 16 + 2, "{steps:?}");
    // The next message is another matter.
    assert_eq!(filter.keep(b"v\x01y", &mut steps), Ok(true));
    let few = SqlFilter::parse(&vec!["v contains 'y'"; 20].join(" or ")).expect("an expression");
    assert_eq!(few.keep(&properties, &mut steps), Ok(false));
}

#[test]
fn properties_are_looked_up_once_a_message() {
    let mut properties = Vec::new();
    for number in 0..2000 {
        properties.extend_from_slice(format!("p{number}\x01{number}\x02").as_bytes());
    }
    let terms: Vec<String> = (0..2000).map(|number| format!("p{number} = {number}")).collect();
    let filter = SqlFilter::parse(&terms.join(" and ")).expect("an expression");
    let mut steps = Steps::default();
    assert_eq!(filter.keep(&properties, &mut steps), Ok(true));
    assert!(steps.total() < 2000 * 8, "{steps:?}");
}

#[test]
fn between_knows_nothing_of_what_is_missing() {
    for (text, kept) in [
        ("a between missing and 6", false),
        ("a not between missing and 4", true),
        ("a not between 6 and missing", true),
        ("a between 6 and missing", false),
        ("not (a between 6 and missing)", true),
        ("not (a between missing and 6)", false),
        ("missing between 1 and 2", false),
        ("not (missing between 1 and 2)", false),
    ] {
        assert_eq!(keeps(text), kept, "{text}");
    }
}

#[test]
fn filters_are_equal_by_their_text() {
    let filter = |text| SqlFilter::parse(text).expect("an expression");
    assert_eq!(filter("a > 5"), filter("a > 5"));
    assert_ne!(filter("a > 5"), filter("a > 6"));
    assert_eq!(format!("{:?}", filter("a > 5")), "SqlFilter(\"a > 5\")");
}

const TOKENS: &[&str] = &[
    "a",
    "b",
    "1",
    "0",
    ".5",
    "'x'",
    "'",
    " ",
    "=",
    "<>",
    "<",
    ">=",
    "(",
    ")",
    ",",
    "-",
    "+",
    " AND ",
    " OR ",
    " NOT ",
    " IN ",
    " IS ",
    " NULL ",
    " BETWEEN ",
    " TRUE ",
    " CONTAINS ",
];

proptest! {
    #[test]
    fn no_mix_of_tokens_panics(tokens in vec(select(TOKENS), 0..30)) {
        let text = tokens.concat();
        if let Ok(filter) = SqlFilter::parse(&text) {
            let kept = filter.keep(PROPERTIES, &mut Steps::default());
            assert!(kept.is_ok());
        }
    }

    #[test]
    fn no_odd_character_panics(text in ".{0,60}") {
        if let Ok(filter) = SqlFilter::parse(&text) {
            let _ = filter.keep(text.as_bytes(), &mut Steps::default());
        }
    }
}
