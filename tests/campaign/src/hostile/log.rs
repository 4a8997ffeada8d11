//! What a server's log must not have, whatever clients do.

use std::time::Duration;

/// Lines a second that attacks may cost; limited kinds have a line each now and then.
const LINES_A_SECOND: usize = 100;
/// Levels of the lines that RingMQ writes.
const LEVELS: [&str; 5] = [" ERROR ", " WARN ", " INFO ", " DEBUG ", " TRACE "];
const SHOWN_BYTES: usize = 300;

/// Sentences about panics, errors and text of clients that was not escaped.
pub fn problems(name: &str, log: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let shown = |line: &str| line.chars().take(SHOWN_BYTES).collect::<String>();
    let mut first = |what: &str, found: &dyn Fn(&str) -> bool| {
        let mut lines = log.lines().filter(|line| found(line));
        if let Some(line) = lines.next() {
            let more = lines.count();
            let shown = shown(line);
            problems.push(format!("the {name}'s log has {what} ({more} more): {shown:?}"));
        }
    };
    first("a panic", &|line| line.contains("panicked at"));
    first("an error", &|line| level(line) == Some(" ERROR "));
    first("text that is not escaped", &|line| line.chars().any(|one| one.is_control()));
    first("a line without a level", &|line| level(line).is_none());
    problems
}

/// A sentence if there are more lines than attacks of this length may cost.
pub fn flood(name: &str, log: &str, attacked: Duration) -> Option<String> {
    let allowed = LINES_A_SECOND * (attacked.as_secs() as usize + 10);
    let count = log.lines().count();
    (count > allowed).then(|| format!("the {name}'s log has {count} lines, allowed {allowed}"))
}

/// Of the time and the level that a line begins with.
fn level(line: &str) -> Option<&'static str> {
    let head: String = line.chars().take(50).collect();
    LEVELS.into_iter().find(|level| head.contains(level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_belong_into_a_log_is_found() {
        let good = "2026-11-29T06:00:00.000001Z  INFO shard-0 it runs\n";
        assert!(problems("broker", good).is_empty());
        let bad = [
            "2026-11-29T06:00:00.000001Z ERROR shard-0 damaged\n",
            "2026-11-29T06:00:00.000001Z  WARN shard-0 \u{1b}[31m\n",
            "forged\n",
        ];
        for line in bad {
            assert_eq!(problems("broker", &format!("{good}{line}")).len(), 1, "{line}");
        }
        let second = Duration::from_secs(1);
        assert_eq!(flood("broker", good, second), None);
        assert!(flood("broker", &good.repeat(2000), second).is_some());
    }
}
