//! Where the master of a slave is: what the configuration says, or what name servers answer to the
//! slave's registrations.

use std::{cell::RefCell, sync::Arc, time::Duration};

use ringmq_io::signal::Notify;

use crate::shard::settings::BrokerSettings;

/// How often a slave that knows of no master registers again, to hear of one: a master that starts
/// behind it is to be found soon.
pub const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Addresses as they were told, `host:port`; a name is looked up by whoever connects, each time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MasterAddress {
    /// For its slaves: haMasterAddress if that is set.
    pub ha: Option<Arc<str>>,
    /// For clients, as name servers tell it.
    pub client: Option<Arc<str>>,
}

/// What is known of the master, and who waits for it.
pub struct Master {
    is_slave: bool,
    /// Own addresses: a name server may still tell what this broker was before.
    own: [String; 2],
    is_configured: bool,
    address: RefCell<MasterAddress>,
    changed: Notify,
}

impl Master {
    pub fn new(settings: &BrokerSettings) -> Master {
        let ha = settings.replicated.master.clone();
        Master {
            is_slave: settings.role.is_slave(),
            own: [settings.advertised.clone(), settings.ha_address.clone()],
            is_configured: ha.is_some(),
            address: RefCell::new(MasterAddress { ha, client: None }),
            changed: Notify::default(),
        }
    }

    pub fn address(&self) -> MasterAddress {
        self.address.borrow().clone()
    }

    /// Resolves when the address is another than at the time of the call.
    #[allow(dead_code, reason = "whoever connects to the master waits")]
    pub fn changed(&self) -> impl Future<Output = ()> {
        self.changed.wait()
    }

    /// A slave that knows of no master.
    pub fn is_sought(&self) -> bool {
        self.is_slave && self.address.borrow().ha.is_none()
    }

    /// Notes what a name server tells; true if that is something new. One that knows of no master
    /// changes nothing: the master may have left it, and serve its slaves all the same.
    pub fn note(&self, told: &MasterAddress) -> bool {
        if !self.is_slave {
            return false;
        }
        let sound = |address: &Option<Arc<str>>| {
            let named = address.clone().filter(|address| !address.is_empty());
            named.filter(|address| !self.own.iter().any(|own| **own == **address))
        };
        let before = self.address();
        let mut after = before.clone();
        after.client = sound(&told.client).or(after.client);
        if !self.is_configured {
            after.ha = sound(&told.ha).or(after.ha);
        }
        if after == before {
            return false;
        }
        *self.address.borrow_mut() = after;
        self.changed.notify();
        true
    }
}
