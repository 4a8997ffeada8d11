//! What the control shard and the thread that keeps the files with accounts say to each other.

use std::sync::{Arc, atomic::AtomicBool, mpsc};

use ringmq_rules::acl::{AccessRules, accounts::PlainAccessConfig};

/// A change of the files. It cannot be printed: it may have a secret key.
pub enum AccessChange {
    /// Makes the account, or changes it as far as something is said.
    Account(Box<PlainAccessConfig>),
    Removal {
        access_key: String,
    },
    /// Of this file, or of `aclFile`.
    WhiteAddresses {
        addresses: Vec<String>,
        file: Option<String>,
    },
}

/// A change and the number of the call that returns what came of it: whether there was something
/// to change, or why not.
pub struct AccessJob {
    pub change: AccessChange,
    pub call: u64,
}

/// The rules of the start, and the way to the thread that keeps the files.
#[derive(Clone, Debug)]
pub struct AccessControl {
    pub rules: Arc<AccessRules>,
    pub jobs: mpsc::SyncSender<AccessJob>,
    /// Set: the thread reads the files again, changed or not.
    pub again: Arc<AtomicBool>,
}
