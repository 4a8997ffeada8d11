//! What is said of connections that fail again and again: each reason once, and each minute.

use std::{collections::VecDeque, time::Duration};

/// After that a reason that has not changed is said again.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// Reasons that are remembered.
const REASONS_MAX: usize = 16;

#[derive(Default)]
pub struct Complaints(VecDeque<(String, Duration)>);

impl Complaints {
    pub fn say(&mut self, now: Duration, what: &str, why: &str) {
        let said = format!("{what}: {why}");
        let is_recent = |at: Duration| now.saturating_sub(at) < SAY_AGAIN;
        self.0.retain(|(_, at)| is_recent(*at));
        if self.0.iter().any(|(known, _)| *known == said) {
            return;
        }
        tracing::warn!("{said}");
        self.0.push_back((said, now));
        if self.0.len() > REASONS_MAX {
            self.0.pop_front();
        }
    }

    /// What is said from now on is something new.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}
