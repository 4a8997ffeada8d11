//! A master whose disk does not do any more says so itself: nobody else sees it.

use std::time::Duration;

/// A write that takes longer: somebody else leads.
pub const OWN_WRITE_MAX: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A log takes no appends any more.
    Fenced,
    /// A write is under way for so long.
    SlowWrite(Duration),
}

/// `writing_since`: the oldest write that is under way.
pub fn why(is_fenced: bool, writing_since: Option<Duration>, now: Duration) -> Option<Why> {
    if is_fenced {
        return Some(Why::Fenced);
    }
    let takes = now.saturating_sub(writing_since?);
    (takes > OWN_WRITE_MAX).then_some(Why::SlowWrite(takes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fenced_log_and_a_write_of_two_seconds_end_a_leadership() {
        let second = Duration::from_secs;
        assert_eq!(why(false, None, second(9)), None);
        assert_eq!(why(true, None, second(9)), Some(Why::Fenced));
        assert_eq!(why(false, Some(second(7)), second(9)), None);
        let slow = Some(Why::SlowWrite(second(3)));
        assert_eq!(why(false, Some(second(6)), second(9)), slow);
    }
}
