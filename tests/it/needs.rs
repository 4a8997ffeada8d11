//! What a machine must have for a test. Without it the test is skipped, which is said where scripts
//! count it; under continuous integration (`CI=true`) it fails instead.

use std::io::Write;

/// What was needed, or nothing when `found` says why it is not there: then the test returns.
pub fn needs<T>(test: &str, found: Result<T, String>) -> Option<T> {
    let why = match found {
        Ok(found) => return Some(found),
        Err(why) => why,
    };
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!in_ci, "{test} cannot be skipped with CI=true: {why}");
    // past the capture of output, which hides what a test prints that does not fail
    writeln!(std::io::stderr(), "skipped: {test}: {why}").expect("standard error takes it");
    None
}
