//! Keys that variables of the environment set: `RINGMQ_LISTEN_PORT` is `listenPort`, and
//! `RINGMQ_TLS_SERVER_MODE` is `tls.server.mode`. Capitals and underscores do not count.

use std::ffi::OsString;

use super::{BrokerConfig, NamesrvConfig, Table};

const PREFIX: &str = "RINGMQ_";

/// Variables of this prefix that are no keys.
const OTHERS: &[&str] = &["RINGMQ_COMMIT", "RINGMQ_LOG", "RINGMQ_LOG_FORMAT", "RINGMQ_STARTED_BY"];

/// What Kubernetes sets in each container for a service named ringmq.
const FOREIGN: &[&str] = &["SERVICE", "PORT"];

/// What the environment says about the keys of a table.
pub(super) struct Found {
    /// Variable, key and value, in the order of the variables' names.
    pub set: Vec<(String, &'static str, String)>,
    /// A warning for each variable that is no key of any server.
    pub unknown: Vec<String>,
}

pub(super) fn keys<C: Table>(variables: impl Iterator<Item = (OsString, OsString)>) -> Found {
    let text = |word: OsString| word.into_string().ok();
    let variables = variables.filter_map(|(name, value)| Some((text(name)?, text(value)?)));
    let mut own: Vec<_> = variables.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    own.sort();
    let mut found = Found { set: Vec::new(), unknown: Vec::new() };
    for (name, value) in own {
        if let Some(key) = key_of::<C>(&name) {
            found.set.push((name, key, value));
        } else if !is_known(&name) {
            let near = near(&name).map(|near| format!("; did you mean {near}?"));
            found.unknown.push(format!(
                "environment variable {name} is no key and is ignored{}",
                near.unwrap_or_default()
            ));
        }
    }
    found
}

/// The variable that sets a key.
pub(super) fn variable(key: &str) -> String {
    let mut name = PREFIX.to_owned();
    let mut before = '_';
    for letter in key.chars() {
        let begins = letter.is_ascii_uppercase() && before.is_ascii_lowercase();
        if begins {
            name.push('_');
        }
        name.push(if letter == '.' { '_' } else { letter.to_ascii_uppercase() });
        before = letter;
    }
    name
}

fn key_of<C: Table>(variable: &str) -> Option<&'static str> {
    let wanted = plain(variable.strip_prefix(PREFIX)?);
    let key = C::KEYS.iter().find(|key| plain(key.name) == wanted)?;
    Some(key.name)
}

/// A name without what does not count.
fn plain(name: &str) -> String {
    name.chars().filter(|letter| !"._".contains(*letter)).map(|c| c.to_ascii_lowercase()).collect()
}

fn is_known(name: &str) -> bool {
    let first = name.strip_prefix(PREFIX).and_then(|rest| rest.split('_').next());
    OTHERS.contains(&name)
        || first.is_some_and(|first| FOREIGN.contains(&first))
        || key_of::<BrokerConfig>(name).is_some()
        || key_of::<NamesrvConfig>(name).is_some()
}

fn near(name: &str) -> Option<String> {
    let wanted = plain(name.strip_prefix(PREFIX)?);
    let keys = BrokerConfig::KEYS.iter().chain(NamesrvConfig::KEYS);
    let distances = keys.map(|key| (strsim::levenshtein(&wanted, &plain(key.name)), key.name));
    let near = distances.filter(|(distance, _)| *distance <= 2.max(wanted.len() / 4)).min();
    near.map(|(_, key)| variable(key))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn found<C: Table>(variables: &[(&str, &str)]) -> Found {
        let own = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        keys::<C>(own)
    }

    #[test]
    fn every_key_has_a_variable_of_its_own_that_sets_it() {
        fn check<C: Table>() {
            let variables: BTreeSet<String> =
                C::KEYS.iter().map(|key| variable(key.name)).collect();
            assert_eq!(variables.len(), C::KEYS.len());
            for key in C::KEYS {
                assert_eq!(key_of::<C>(&variable(key.name)), Some(key.name));
            }
        }
        check::<BrokerConfig>();
        check::<NamesrvConfig>();
        assert_eq!(variable("listenPort"), "RINGMQ_LISTEN_PORT");
        assert_eq!(variable("brokerIP1"), "RINGMQ_BROKER_IP1");
        assert_eq!(variable("tls.server.authClient"), "RINGMQ_TLS_SERVER_AUTH_CLIENT");
    }

    #[test]
    fn variables_set_keys_and_what_is_none_is_told() {
        let all = [
            ("RINGMQ_listenPort", "1"),
            ("RINGMQ_BROKERNAME", "b"),
            ("RINGMQ_LISTEN_PROT", "2"),
            ("RINGMQ_LOG", "debug"),
            ("RINGMQ_SERVICE_HOST", "10.0.0.1"),
            ("RINGMQ_ROUTE_BYTES_MAX", "1"),
            ("listenPort", "3"),
        ];
        let broker = found::<BrokerConfig>(&all);
        let set: Vec<_> = broker.set.iter().map(|(_, key, value)| (*key, &**value)).collect();
        assert_eq!(set, [("brokerName", "b"), ("listenPort", "1")]);
        assert_eq!(broker.unknown.len(), 1, "{:?}", broker.unknown);
        assert!(broker.unknown[0].ends_with("did you mean RINGMQ_LISTEN_PORT?"));
        let namesrv = found::<NamesrvConfig>(&all);
        let set: Vec<_> = namesrv.set.iter().map(|(_, key, value)| (*key, &**value)).collect();
        assert_eq!(set, [("routeBytesMax", "1"), ("listenPort", "1")]);
    }
}
