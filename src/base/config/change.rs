//! Changes of live keys while a server runs, as administrators send them (UPDATE_BROKER_CONFIG,
//! 25): an allow list, made of the rows of the table that are marked as live.

use super::{
    BrokerConfig, Loaded, Origin, Table, accepted, broker, finish, properties, suggest,
    table::ValueError,
};

/// Keys that Java's broker keeps from being changed, too. Source: `configBlackList`.
const FORBIDDEN: &[&str] = &["brokerConfigPath", "configBlackList", "rocketmqHome"];

/// A configuration with some keys changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed<C> {
    pub config: C,
    /// The keys that were named, with their values as they are taken.
    pub keys: Vec<(&'static str, String)>,
    /// Sentences to log.
    pub warnings: Vec<String>,
}

/// Why nothing is changed.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ChangeError {
    #[error(
        "{key} cannot be changed while the server runs: set it in the configuration file and start \
         the server again"
    )]
    Fixed { key: String },
    #[error(
        "{key} cannot be changed by a request: set it in the configuration file and send the \
         server SIGHUP"
    )]
    OfTheFile { key: String },
    #[error("there is no key {key:?}{hint}")]
    Unknown { key: String, hint: String },
    #[error("{key} = {value:?}: the value {problem}")]
    Value { key: String, value: String, problem: Box<ValueError> },
    #[error("the request names no key")]
    Nothing,
}

impl BrokerConfig {
    /// The configuration after a change of all keys that `text`, in Java's .properties format,
    /// names. Keys that RingMQ knows and does not need are passed over with a warning.
    ///
    /// # Errors
    /// If one of them may not be changed, or not to that value: then none is.
    pub fn change(&self, text: &str) -> Result<Changed<Self>, ChangeError> {
        let mut changed = change(self, text, broker::ALIASES)?;
        let origins = changed.keys.iter().map(|(key, _)| (*key, Origin::Request)).collect();
        let mut loaded = Loaded { config: changed.config, warnings: changed.warnings, origins };
        finish::take_as_java(&mut loaded);
        finish::warn_without_effect(&mut loaded);
        for (key, value) in &mut changed.keys {
            *value = loaded.config.get(key).unwrap_or_default();
        }
        Ok(Changed { config: loaded.config, warnings: loaded.warnings, keys: changed.keys })
    }
}

fn change<C: Table>(
    config: &C,
    text: &str,
    aliases: &[(&str, &'static str)],
) -> Result<Changed<C>, ChangeError> {
    let mut changed = Changed { config: config.clone(), keys: Vec::new(), warnings: Vec::new() };
    let mut passed_over = false;
    for properties::Entry { key: name, value, .. } in properties::parse(text) {
        let alias = aliases.iter().find(|(from, _)| *from == name);
        let Some(key) = C::key(alias.map_or(&name, |(_, to)| *to)) else {
            let forbidden = FORBIDDEN.contains(&&*name);
            let asks = accepted::asks_for_protection(&name, &value)
                || accepted::asks_for_replication(&name, &value);
            if forbidden || asks {
                return Err(ChangeError::Fixed { key: name });
            }
            if accepted::known(&name).is_none() {
                let near = suggest::near::<C>(&name);
                let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
                return Err(ChangeError::Unknown { key: name, hint });
            }
            changed.warnings.push(suggest::unknown::<C>(&name, &value, &Origin::Request));
            passed_over = true;
            continue;
        };
        if !key.live {
            return Err(if key.reloads {
                ChangeError::OfTheFile { key: name }
            } else {
                ChangeError::Fixed { key: name }
            });
        }
        match changed.config.set(key.name, &value) {
            Ok(note) => {
                let note =
                    note.map(|note| format!("{}: {name} = {value:?} {note}", Origin::Request));
                changed.warnings.extend(note);
                changed.keys.retain(|(earlier, _)| *earlier != key.name);
                changed.keys.push((key.name, value));
            }
            Err(problem) => {
                return Err(ChangeError::Value { key: name, value, problem: Box::new(problem) });
            }
        }
    }
    if changed.keys.is_empty() && !passed_over {
        return Err(ChangeError::Nothing);
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        BrokerConfig::default().change(text).expect_err("may not be").to_string()
    }

    #[test]
    fn live_keys_change_all_or_none() {
        let before = BrokerConfig::default();
        let after =
            before.change("autoCreateTopicEnable=false\nfileReservedTime: 24\n").expect("live");
        assert!(!after.config.auto_create_topic_enable);
        assert_eq!(after.config.file_reserved_time_hours, 24);
        let keys = [("autoCreateTopicEnable", "false"), ("fileReservedTime", "24")];
        assert_eq!(after.keys, keys.map(|(key, value)| (key, value.to_owned())));
        assert!(after.warnings.is_empty(), "{:?}", after.warnings);
        assert!(refused("fileReservedTime=24\nbrokerName=b").contains("brokerName cannot be"));
    }

    #[test]
    fn what_is_not_live_or_not_known_or_no_value_is_refused() {
        let of_the_file = refused("namesrvAddr=1.2.3.4:9876");
        assert!(of_the_file.starts_with("namesrvAddr cannot be changed by a request"));
        assert!(of_the_file.ends_with("SIGHUP"));
        assert!(
            refused("rocketmqHome=/tmp/;touch x").starts_with("rocketmqHome cannot be changed")
        );
        assert!(refused("authenticationEnabled=true").contains("cannot be changed"));
        assert!(
            refused("autoCreateTopicEnabled=false")
                .ends_with("did you mean autoCreateTopicEnable?")
        );
        assert!(refused("fileReservedTime=soon").contains("soon"));
        assert_eq!(refused("# nothing"), "the request names no key");
        assert_eq!(refused(""), "the request names no key");
    }

    #[test]
    fn values_are_taken_as_from_a_file() {
        let before = BrokerConfig::default();
        let after = before
            .change("brokerPermission=14\nfileReservedTime=1\nfileReservedTime=0")
            .expect("taken");
        assert_eq!(after.config.broker_permission, 6);
        assert_eq!(after.config.file_reserved_time_hours, 1);
        let values: Vec<&str> = after.keys.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["6", "1"]);
        assert_eq!(after.warnings.len(), 2, "{:?}", after.warnings);
        let ignored = before.change("sendMessageThreadPoolNums=4").expect("known, and not needed");
        assert!(ignored.keys.is_empty() && ignored.warnings.len() == 1);
    }
}
