//! What has changed between two readings of a configuration: what takes effect while the server
//! runs, and what with its next start.

use super::{Key, Loaded, Origin, Table};

/// A key that says something else now. Values that are not shown are not in it.
#[derive(Debug)]
pub struct Difference {
    pub key: &'static Key,
    pub before: String,
    pub after: String,
    /// Where the new value comes from.
    pub origin: Origin,
}

impl Difference {
    /// `listenPort = 10911 (was 9000; /etc/broker.conf, line 3)`.
    pub fn sentence(&self) -> String {
        let Difference { key, before, after, origin } = self;
        let shown =
            |text: &str| if text.is_empty() { "nothing".to_owned() } else { text.to_owned() };
        format!("{} = {} (was {}; {origin})", key.name, shown(after), shown(before))
    }
}

/// Keys with other values, in the order of the table. What was found out at both times, such as an
/// address of this machine, is nobody's change of the configuration.
pub fn differences<C: Table>(before: &Loaded<C>, after: &Loaded<C>) -> Vec<Difference> {
    let origin = |loaded: &Loaded<C>, key: &Key| {
        loaded.origins.get(key.name).cloned().unwrap_or(Origin::Default)
    };
    let differs = |key: &&'static Key| {
        let both = [origin(before, key), origin(after, key)];
        after.config.differs(&before.config, key.name)
            && !both.iter().all(|origin| *origin == Origin::Derived)
    };
    let difference = |key: &'static Key| Difference {
        key,
        before: before.config.get(key.name).unwrap_or_default(),
        after: after.config.get(key.name).unwrap_or_default(),
        origin: origin(after, key),
    };
    C::KEYS.iter().filter(differs).map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BrokerConfig;

    #[test]
    fn differences_are_of_values_and_not_of_the_places_that_they_stand_in() {
        let load = |keys: &[(&str, &str)]| {
            let set: Vec<_> = keys.iter().map(|(key, to)| ((*key).into(), (*to).into())).collect();
            BrokerConfig::load(None, &set).expect("sound keys")
        };
        let before = load(&[("fileReservedTime", "48"), ("listenPort", "1000")]);
        let mut after = load(&[("listenPort", "2000"), ("tls.server.keyPassword", "secret")]);
        after.config.broker_name = "found out anew".to_owned();
        let found = differences(&before, &after);
        let names: Vec<_> = found.iter().map(|found| (found.key.name, found.key.live)).collect();
        let expected =
            [("listenPort", false), ("tls.server.keyPassword", false), ("fileReservedTime", true)];
        for name in expected {
            assert!(names.contains(&name), "{name:?} in {names:?}");
        }
        let derived = ["haListenPort", "brokerName"];
        assert!(names.iter().all(|(name, _)| !derived.contains(name)), "{names:?}");
        let sentences: Vec<_> = found.iter().map(Difference::sentence).collect();
        assert!(sentences.contains(&"listenPort = 2000 (was 1000; command line)".to_owned()));
        assert!(sentences.contains(&"fileReservedTime = 72 (was 48; default)".to_owned()));
        assert!(sentences.iter().all(|sentence| !sentence.contains("secret")), "{sentences:?}");
        assert!(differences(&after, &after).is_empty());
    }
}
