//! The name server's own configuration, as far as it may change at run time: switches and times of
//! the table's allow list. No path or address can be named.

use ringmq_base::config::{NamesrvConfig, Table, properties};
use ringmq_io::Disk;
use ringmq_remoting::codes::response;

use super::{NameServer, kv::refuse, rules};
use crate::{
    answer::{Answer, Request},
    live_keys,
    work::Work,
};

/// Longest text of a change.
const TEXT_BYTES_MAX: usize = 64 * 1024;

impl<D: Disk> NameServer<D> {
    /// All changes of the text or none; they are on stable storage when this resolves.
    pub(super) async fn update_config(
        &self,
        request: &Request<'_>,
        work: &impl Work,
    ) -> Result<Answer, Answer> {
        let _turn = self.live.turn().await;
        let (changed, entries) = self.changed(request)?;
        self.live.keep(&changed, work).await.map_err(refuse)?;
        for entry in &entries {
            let (key, value) = (&entry.key, &entry.value);
            tracing::info!("{key} = {value:?} set by {}", request.peer.address);
        }
        self.table().borrow_mut().rules = rules(&changed);
        self.config.replace(changed);
        Ok(Answer::success())
    }

    /// Has live keys count as the configuration says them now, whatever administrators have changed
    /// them to before; that is kept when this resolves.
    ///
    /// # Errors
    /// If a key cannot have its value: then none is changed.
    pub async fn reload(&self, keys: &[(String, String)]) -> Result<(), String> {
        let _turn = self.live.turn().await;
        self.live.configure(keys)?;
        let mut changed = self.config().clone();
        for (key, value) in keys {
            // It was just found to be one.
            let _ = changed.set(key, value);
        }
        if let Err(error) = self.live.keep(&changed, &live_keys::Alone).await {
            tracing::warn!("what administrators have set may come back at the next start: {error}");
        }
        self.table().borrow_mut().rules = rules(&changed);
        self.config.replace(changed);
        Ok(())
    }

    /// The configuration as a request wants it, and what it names.
    fn changed(
        &self,
        request: &Request<'_>,
    ) -> Result<(NamesrvConfig, Vec<properties::Entry>), Answer> {
        let bytes = request.body.len();
        if bytes > TEXT_BYTES_MAX {
            let remark = format!("the text has {bytes} bytes; at most {TEXT_BYTES_MAX} are taken");
            return Err(Answer::refuse(response::SYSTEM_ERROR, remark));
        }
        let mut changed = self.config().clone();
        let entries = properties::parse(&String::from_utf8_lossy(request.body));
        for entry in &entries {
            if !live_keys::is_live(&entry.key) {
                return Err(not_allowed(&entry.key));
            }
            let taken = changed.set(&entry.key, &entry.value).map_err(|problem| {
                let remark = format!("{} = {:?}: the value {problem}", entry.key, entry.value);
                Answer::refuse(response::SYSTEM_ERROR, remark)
            })?;
            if let Some(note) = taken {
                tracing::warn!("{} = {:?} {note}", entry.key, entry.value);
            }
        }
        Ok((changed, entries))
    }

    pub(super) fn get_config(&self) -> Answer {
        Answer::body(self.config().to_properties())
    }
}

fn not_allowed(key: &str) -> Answer {
    let live = NamesrvConfig::KEYS.iter().filter(|key| key.live).map(|key| key.name);
    let remark = format!(
        "Can not update config in black list: {key:?} cannot be changed while the name server \
         runs; change its file and restart. These can: {}",
        live.collect::<Vec<_>>().join(", ")
    );
    Answer::refuse(response::NO_PERMISSION, remark)
}
