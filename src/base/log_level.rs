//! Which log lines are written. Whoever writes them says how that is changed; without somebody, as
//! in tests, any level is taken and nothing happens.

use std::sync::OnceLock;

/// Whether a text is a level, else why not; and makes it the one that counts.
type Writer = (fn(&str) -> Result<(), String>, fn(&str));

static WRITER: OnceLock<Writer> = OnceLock::new();

/// Says how a level is checked and set. Only the first one counts.
pub fn set_by(check: fn(&str) -> Result<(), String>, set: fn(&str)) {
    let _ = WRITER.set((check, set));
}

/// # Errors
/// If the text is no level: a sentence.
pub fn check(level: &str) -> Result<(), String> {
    WRITER.get().map_or(Ok(()), |(check, _)| check(level))
}

/// Makes a level that was checked the one that counts.
pub fn set(level: &str) {
    if let Some((_, set)) = WRITER.get() {
        set(level);
    }
}
