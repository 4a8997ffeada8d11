//! Keys of the configuration that administrators change while the broker runs: durable with the
//! metadata, in the view of every shard, and kept by a restart.

use std::sync::Arc;

use ringmq_base::{
    config::{BrokerConfig, ChangeError, Table},
    log_level,
};
use ringmq_io::Runtime;
use ringmq_remoting::codes::response;
use ringmq_rules::{meta::MetaChange, refusal::Refusal, stored_keys::StoredKey};

use super::{Control, Tables, metadata::Subject};
use crate::messages::{Change, LiveSettings};

impl<R: Runtime> Control<R> {
    /// Changes all keys that a text in .properties format names, or none: durable and in effect on
    /// all shards when resolved.
    ///
    /// # Errors
    /// If one of them may not be changed, or why it cannot be written.
    pub async fn change_keys(&self, text: &str) -> Result<(), Refusal> {
        let before = self.shard.live();
        // Whoever has the turn sees in the view what was changed last.
        let plan = |_: &Tables| {
            let changed = self.shard.live().config.change(text).map_err(refusal)?;
            self.check_sizes(&changed.config)?;
            log_level::check(&changed.config.log_level).map_err(Refusal::system_error)?;
            changed.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            let configured = self.configured.borrow();
            let keys = changed.keys.into_iter().map(|(key, value)| StoredKey {
                key: key.to_owned(),
                value: Some(value),
                instead_of: configured.get(key).unwrap_or_default(),
            });
            let keys: Vec<StoredKey> = keys.collect();
            Ok((!keys.is_empty()).then_some(MetaChange::Keys { keys }))
        };
        if !self.change(Subject::Keys, plan).await? {
            return Ok(());
        }
        self.took_effect(&before).await;
        Ok(())
    }

    /// Has keys count as the configuration says them now, whatever administrators have changed them
    /// to before: all of them or none; in effect on all shards when resolved.
    ///
    /// # Errors
    /// If one cannot be what it is to be, or what was stored cannot be dropped.
    pub async fn reload_keys(&self, keys: &[(String, String)]) -> Result<(), Refusal> {
        let turn = self.begin(Subject::Keys).await;
        let before = self.shard.live();
        let mut configured = self.configured.borrow().clone();
        for (key, value) in keys {
            let set = configured.set(key, value);
            set.map_err(|problem| Refusal::system_error(format!("{key}: {problem}")))?;
        }
        self.check_sizes(&configured)?;
        log_level::check(&configured.log_level).map_err(Refusal::system_error)?;
        LiveSettings::new(configured.clone()).map_err(Refusal::system_error)?;
        let named = |stored: &&StoredKey| keys.iter().any(|(key, _)| *key == stored.key);
        let dropped = |stored: &StoredKey| StoredKey { value: None, ..stored.clone() };
        let stored: Vec<_> = self.tables.borrow().keys.iter().filter(named).map(dropped).collect();
        let earlier = self.configured.replace(configured);
        if stored.is_empty() {
            self.publish(Change::Live(self.live_settings()));
        } else if let Err(not_written) =
            self.carry_out(&turn, &MetaChange::Keys { keys: stored }).await
        {
            self.configured.replace(earlier);
            return Err(not_written.refusal);
        }
        drop(turn);
        self.took_effect(&before).await;
        Ok(())
    }

    /// Live keys are others than before on all shards: what follows from that.
    async fn took_effect(&self, before: &LiveSettings) {
        let after = self.shard.live();
        self.use_live(&after);
        if before.config.log_level != after.config.log_level {
            log_level::set(&after.config.log_level);
        }
        self.storage.look();
        self.registrar.configure(&after.config);
        if before.config.broker_permission != after.config.broker_permission {
            self.registrar.all_changed();
            self.registrar.settled(&self.shard.runtime).await;
        }
    }

    /// Budgets follow from what is largest at the start.
    fn check_sizes(&self, changed: &BrokerConfig) -> Result<(), Refusal> {
        let (value, most) = (changed.max_message_size, self.shard.settings.config.max_message_size);
        if value <= most {
            return Ok(());
        }
        Err(Refusal::system_error(format!(
            "maxMessageSize = {value} is more than {most}, which the memory was planned for at the \
             start: set it in the configuration file and start the broker again"
        )))
    }

    /// What counts with the keys that are stored.
    pub fn live_settings(&self) -> Arc<LiveSettings> {
        let mut config = self.configured.borrow().clone();
        for stored in self.tables.borrow().keys.iter() {
            let Some(value) = &stored.value else { continue };
            // A value that another version took may be none here: then the configuration counts.
            if let Err(error) = config.set(&stored.key, value) {
                tracing::warn!(key = stored.key, value, %error, "a stored key has no effect");
            }
        }
        match LiveSettings::new(config) {
            Ok(live) => Arc::new(live),
            Err(error) => {
                tracing::error!(error, "stored keys have no effect");
                self.shard.settings.live.clone()
            }
        }
    }

    /// The tables follow keys of their own.
    fn use_live(&self, live: &LiveSettings) {
        let mut tables = self.tables.borrow_mut();
        tables.topics.set_auto_create(live.config.auto_create_topic_enable);
        tables.groups.set_auto_create(live.config.auto_create_subscription_group);
    }

    /// At the start: what was stored counts, unless the configuration says something new.
    pub(super) async fn take_stored_keys(&self) -> Result<(), String> {
        let config = &self.shard.settings.config;
        let stored: Vec<StoredKey> = self.tables.borrow().keys.iter().cloned().collect();
        let mut superseded = Vec::new();
        for StoredKey { key, value, instead_of } in stored {
            let configured = config.get(&key).unwrap_or_default();
            let value = value.unwrap_or_default();
            if configured == instead_of {
                tracing::info!(
                    key,
                    value,
                    configured,
                    "an administrator changed this key while the broker ran"
                );
                continue;
            }
            tracing::warn!(
                key,
                configured,
                value,
                "what an administrator set is dropped: the configuration \
                 was changed since"
            );
            superseded.push(StoredKey { key, value: None, instead_of });
        }
        if !superseded.is_empty() {
            let change = MetaChange::Keys { keys: superseded };
            self.apply(&change);
            let written = self.metadata.write(&[change]).await;
            written.map_err(|not_written| not_written.refusal.remark)?;
        }
        let live = self.live_settings();
        self.use_live(&live);
        if !live.config.log_level.is_empty() {
            log_level::check(&live.config.log_level).map_err(|why| format!("logLevel: {why}"))?;
            log_level::set(&live.config.log_level);
        }
        self.shard.apply(Change::Live(live));
        Ok(())
    }
}

fn refusal(error: ChangeError) -> Refusal {
    let code = match error {
        ChangeError::Fixed { .. } | ChangeError::OfTheFile { .. } => response::NO_PERMISSION,
        _ => response::SYSTEM_ERROR,
    };
    Refusal::new(code, error.to_string())
}
