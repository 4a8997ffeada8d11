//! Where the master of a slave is: what the configuration says, or what name servers answer to the
//! slave's registrations.

use std::{cell::RefCell, net::SocketAddr, sync::Arc, time::Duration};

use ringmq_io::{Net, Runtime, signal::Notify};
use ringmq_remoting::{
    body::{DataVersion, register::RegisterBodyWriter},
    codes::request,
};

use super::{
    identity,
    name_servers::names_now,
    parts::{BODY_BYTES_MAX, Part, form},
    registration_fields,
    server::Server,
    session::{RegisterError, Session},
};
use crate::shard::{Shard, settings::BrokerSettings};

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

/// Asks name servers where the master listens for its slaves, for a slave that has no store and so
/// is not registered: each by a registration without topics, and with its end. `None`: none of them
/// knows.
pub async fn ask<R: Runtime>(shard: &Shard<R>) -> Option<Arc<str>> {
    let runtime = &shard.runtime;
    for name in names_now(runtime, &shard.settings.config).await {
        let found = match name.parse::<SocketAddr>() {
            Ok(address) => vec![address],
            Err(_) => runtime.net().look_up(&name).await.unwrap_or_default(),
        };
        for address in found {
            match ask_one(shard, &Server::new(&name, address)).await {
                Ok(Some(master)) => return Some(master),
                Ok(None) => {}
                Err(error) => tracing::debug!(namesrv = name, %error, "does not tell the master"),
            }
        }
    }
    None
}

async fn ask_one<R: Runtime>(
    shard: &Shard<R>,
    server: &Server,
) -> Result<Option<Arc<str>>, RegisterError> {
    let settings = &shard.settings;
    let timeout = Duration::from_millis(settings.config.register_broker_timeout_ms);
    let tls = settings.tls_client.as_ref();
    let mut session = Session::connect(&shard.runtime, server, tls, timeout).await?;
    let version = DataVersion { timestamp: shard.runtime.now_ms(), ..DataVersion::default() };
    let form = form(settings, BODY_BYTES_MAX);
    let mut finishing = RegisterBodyWriter::new(form).finish(&version);
    let body = loop {
        if let Some(body) = finishing.step() {
            break body;
        }
    };
    let part = Part { body, version, last: true, ..Part::default() };
    let fields = registration_fields(settings, &part, form.compressed, false);
    let answered = session.call(request::REGISTER_BROKER, &fields, &part.body).await?;
    session.call(request::UNREGISTER_BROKER, &identity(settings), &[]).await?;
    let told = answered.master.ha.filter(|address| !address.is_empty());
    Ok(told.filter(|address| **address != *settings.ha_address))
}
