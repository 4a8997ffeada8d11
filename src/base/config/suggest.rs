//! What to say about a key that the table does not have.

use super::{
    BrokerConfig, NamesrvConfig, Origin, Table,
    accepted::{self, Known},
};

/// A warning for a key that is not in the table of `C`.
pub(super) fn unknown<C: Table>(name: &str, value: &str, origin: &Origin) -> String {
    format!("{origin}: {}", meaning::<C>(name, value))
}

/// The same without the place.
pub(super) fn meaning<C: Table>(name: &str, value: &str) -> String {
    match accepted::known(name) {
        Some(Known::NotNeeded(why)) => format!("{name} has no effect and needs none: {why}"),
        Some(Known::NotServed(feature)) => {
            let off = value.trim().eq_ignore_ascii_case("false") || value.trim().is_empty();
            let state = if off { "which is fine as it is off" } else { "so it has NO EFFECT" };
            format!("{name} belongs to what RingMQ does not have ({feature}), {state}")
        }
        None if is_of_other_server(name) => {
            format!("{name} is a key of another server and has no effect here")
        }
        None => match near::<C>(name) {
            Some(near) => format!("unknown key {name:?} is ignored; did you mean {near}?"),
            None => format!("unknown key {name:?} is ignored"),
        },
    }
}

/// Whether brokers or name servers have a key; for keys that this server does not have.
pub(super) fn is_of_other_server(name: &str) -> bool {
    BrokerConfig::key(name).is_some() || NamesrvConfig::key(name).is_some()
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

    #[test]
    fn distance_counts_edits_and_not_capitals() {
        assert_eq!(distance("listenPort", "listenport"), 0);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn unknown_keys_get_the_right_sentence() {
        let warn = |name, value| unknown::<BrokerConfig>(name, value, &Origin::CommandLine);
        assert!(warn("rocksdbCompressionType", "lz4").contains("RocksDB"));
        assert!(warn("listenport", "1").contains("did you mean listenPort?"));
        assert!(warn("brokerIp1", "1").contains("did you mean brokerIP1?"));
        assert!(!warn("completelyDifferentThing", "1").contains("did you mean"));
        assert!(warn("kvConfigPath", "/a").contains("another server"));
        assert!(warn("serverWorkerThreads", "8").contains("no effect"));
        assert!(warn("enableLmq", "true").contains("(light message queues), so it has NO EFFECT"));
        assert!(warn("enableDLegerCommitLog", "false").contains("fine"));
    }
}
