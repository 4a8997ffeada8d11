//! The files with accounts (`aclEnable`): read at the start, looked at by a thread of their own
//! while the broker runs, and written when administrators change accounts. No shard ever waits for
//! them; rules that are new reach the control shard, which tells all shards.

mod files;
mod keeper;

use std::{
    sync::{Arc, mpsc},
    thread,
};

use ringmq_base::config::BrokerConfig;
use ringmq_io::Runtime;

use self::{files::AclFiles, keeper::Keeper};
use crate::{
    messages::{AccessControl, AccessJob},
    shard::{Shard, router::Lanes},
};

/// Changes by administrators that may wait for the files.
const JOBS_MAX: usize = 64;

/// Files that were read and are not kept yet.
pub struct Access {
    keeper: Keeper,
    jobs: mpsc::Receiver<AccessJob>,
}

/// Reads the files, if accounts are checked at all.
///
/// # Errors
/// If they cannot be read, or do not say what is allowed: a sentence for the operator.
pub fn open(config: &BrokerConfig) -> Result<Option<(AccessControl, Access)>, String> {
    if !config.acl_enable {
        return Ok(None);
    }
    let files = AclFiles::new(&config.acl_file, &config.acl_directory);
    let (keeper, rules) = Keeper::open(files)?;
    if rules.are_empty() {
        tracing::warn!(
            "aclEnable = true and there is no account: every request is refused until {} has one",
            config.acl_file.display()
        );
    }
    let (sender, jobs) = mpsc::sync_channel(JOBS_MAX);
    let again = keeper.again.clone();
    let control = AccessControl { rules: Arc::new(rules), jobs: sender, again };
    Ok(Some((control, Access { keeper, jobs })))
}

impl Access {
    /// Starts the thread that keeps the files. It ends with the broker. `control`: the lanes of the
    /// control shard.
    ///
    /// # Errors
    /// If there can be no thread: a sentence for the operator.
    pub fn start<R: Runtime>(self, control: Lanes<Shard<R>>) -> Result<(), String> {
        let Access { keeper, jobs } = self;
        let tell = move |message| control.replies.send_blocking(message).is_ok();
        let thread = thread::Builder::new().name("accounts".into());
        let started = thread.spawn(move || keeper.run(&jobs, tell));
        let failed = |error| format!("the files with accounts cannot be watched: {error}");
        started.map(|_| ()).map_err(failed)
    }
}
