//! What a log is opened with.

use std::path::Path;

use ringmq_base::LogId;
use ringmq_io::Runtime;
use ringmq_store::{FlushMode, LogOptions, Opening, log_directory};

use super::{Shard, role::Role, settings::BrokerSettings};
use crate::messages::StoreFacts;

impl<R: Runtime> Shard<R> {
    /// What a log of this shard is opened with.
    pub fn log_options(&self, id: LogId, store: StoreFacts) -> LogOptions {
        let settings = &self.settings;
        let ids = (0..store.logs).filter_map(LogId::new);
        let own = ids.filter(|id| self.queues.log_owner(*id) == self.id).count();
        let opening = match settings.role {
            Role::Alone | Role::AsyncMaster => Opening::Alone,
            Role::SyncMaster => Opening::Leads { epoch: store.epoch },
            Role::Slave => Opening::Follows,
        };
        LogOptions {
            opening,
            // The budget is a shard's.
            block_cache_bytes: settings.block_cache_bytes / own.max(1),
            // All logs together.
            scrub_bytes_per_second: settings.scrub_bytes_per_second.div_ceil(store.logs.into()),
            scrub_interval: settings.scrub_interval,
            ..log_options(settings, id, store.store_id)
        }
    }
}

/// The same as far as the configuration alone says it.
pub fn log_options(settings: &BrokerSettings, id: LogId, store_id: u128) -> LogOptions {
    let root: &Path = &settings.store_path;
    let flush = if settings.flush_sync { FlushMode::Sync } else { FlushMode::Async };
    LogOptions {
        flush,
        segment_bytes: settings.segment_bytes,
        zero_ahead_bytes: settings.zero_ahead_bytes,
        directory: log_directory(root, id),
        log: id,
        store_id,
        spare_segments_max: settings.config.spare_segments_max as usize,
        hot_tail_bytes: settings.hot_tail_bytes,
        backlog_bytes_max: settings.backlog_bytes_max,
        message_index: settings.config.message_index_enable,
        ..settings.sizes.log.clone()
    }
}
