//! The name server's own configuration, as far as it may change at run time: switches and times of
//! the table's allow list. Nothing is written to a file, no path or address can be named.

use ringmq_base::config::{NamesrvConfig, Table, properties};
use ringmq_io::Disk;
use ringmq_remoting::codes::response;

use super::{NameServer, rules};
use crate::answer::{Answer, Request};

/// Longest text of a change.
const TEXT_BYTES_MAX: usize = 64 * 1024;

impl<D: Disk> NameServer<D> {
    /// All changes of the text or none.
    pub(super) fn update_config(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let bytes = request.body.len();
        if bytes > TEXT_BYTES_MAX {
            let remark = format!("the text has {bytes} bytes; at most {TEXT_BYTES_MAX} are taken");
            return Err(Answer::refuse(response::SYSTEM_ERROR, remark));
        }
        let mut changed = self.config().clone();
        let entries = properties::parse(&String::from_utf8_lossy(request.body));
        for entry in &entries {
            if !NamesrvConfig::key(&entry.key).is_some_and(|key| key.live) {
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
        for entry in &entries {
            tracing::info!(
                "{} = {:?} set by {}, until the next start",
                entry.key,
                entry.value,
                request.peer.address
            );
        }
        self.table().borrow_mut().rules = rules(&changed);
        self.config.replace(changed);
        Ok(Answer::success())
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
