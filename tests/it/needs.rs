//! What a machine must have for a test. Without it the test is skipped, which is said where scripts
//! count it; under continuous integration (`CI=true`) it fails instead.

use std::io::Write;

/// What was needed, or nothing when `found` says why it is not there: then the test returns.
pub fn needs<T>(test: &str, found: Result<T, String>) -> Option<T> {
    let in_ci = std::env::var("CI").is_ok_and(|value| !["", "0", "false"].contains(&&*value));
    // past the capture of output, which hides what a test prints that does not fail
    needs_or_says(test, found, in_ci, &mut std::io::stderr())
}

fn needs_or_says<T>(
    test: &str,
    found: Result<T, String>,
    in_ci: bool,
    out: &mut impl Write,
) -> Option<T> {
    let why = match found {
        Ok(found) => return Some(found),
        Err(why) => why,
    };
    assert!(!in_ci, "{test} may not be skipped under CI: {why}");
    write!(out, "\nskipped: {test}: {why}\n").expect("the output takes it");
    None
}

// Single: no server is started.
#[test]
fn what_is_missing_skips_a_test_and_says_so() {
    let mut out = Vec::new();
    assert_eq!(needs_or_says("x", Ok(1), true, &mut out), Some(1));
    assert!(out.is_empty());
    let missing = || Err::<u32, _>("no root".to_owned());
    assert_eq!(needs_or_says("x", missing(), false, &mut out), None);
    assert_eq!(out, b"\nskipped: x: no root\n");
}

// Single: no server is started.
#[test]
#[should_panic(expected = "may not be skipped under CI: no root")]
fn what_is_missing_fails_under_continuous_integration() {
    needs_or_says("x", Err::<u32, _>("no root".to_owned()), true, &mut Vec::new());
}
