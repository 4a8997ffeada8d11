//! What to say about a key that the table does not have.

use super::{Origin, Table, accepted};

/// A warning for a key that is not in the table of `C`.
pub(super) fn unknown<C: Table>(name: &str, value: &str, origin: &Origin) -> String {
    if accepted::names(accepted::NOT_NEEDED, name) {
        return format!("{origin}: {name} is accepted but has no effect: RingMQ does not need it");
    }
    if accepted::names(accepted::NOT_SERVED, name) {
        let off = value.trim().eq_ignore_ascii_case("false") || value.trim().is_empty();
        let state = if off { "which is fine as it is off" } else { "so it has NO EFFECT" };
        return format!("{origin}: {name} belongs to a feature that RingMQ lacks, {state}");
    }
    match near::<C>(name) {
        Some(near) => {
            format!("{origin}: unknown key {name:?} is ignored; did you mean {near}?")
        }
        None => format!("{origin}: unknown key {name:?} is ignored"),
    }
}

/// The key of the table that is most like this word, if one is.
pub(super) fn near<C: Table>(name: &str) -> Option<&'static str> {
    let near = C::KEYS.iter().map(|key| (distance(name, key.name), key.name));
    let near = near.filter(|(distance, _)| *distance <= 2.max(name.len() / 4)).min();
    near.map(|(_, near)| near)
}

/// Edits (insert, delete, replace one letter) between two words; a change of capitals is free.
fn distance(a: &str, b: &str) -> usize {
    strsim::levenshtein(&a.to_ascii_lowercase(), &b.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BrokerConfig;

    #[test]
    fn distance_counts_edits_and_not_capitals() {
        assert_eq!(distance("listenPort", "listenport"), 0);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn unknown_keys_get_the_right_sentence() {
        let warn = |name, value| unknown::<BrokerConfig>(name, value, &Origin::CommandLine);
        assert!(warn("listenport", "1").contains("did you mean listenPort?"));
        assert!(warn("brokerIp1", "1").contains("did you mean brokerIP1?"));
        assert!(!warn("completelyDifferentThing", "1").contains("did you mean"));
        assert!(warn("serverWorkerThreads", "8").contains("no effect"));
        assert!(warn("enableDLegerCommitLog", "true").contains("NO EFFECT"));
        assert!(warn("enableDLegerCommitLog", "false").contains("fine"));
    }
}
