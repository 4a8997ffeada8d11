//! What a broker knows of a name server that it registers with.

use std::{cell::Cell, net::SocketAddr};

use ringmq_io::signal::Event;
use ringmq_remoting::body::DataVersion;

use super::parts::BODY_BYTES_MAX;

pub struct Server {
    pub address: SocketAddr,
    /// The host that stands for the address, as it is written; certificates have to name it.
    pub host: String,
    /// For the log: `host:port`, with the address if that is another.
    pub name: String,
    /// Something to register, or the end.
    pub wanted: Event,
    /// It is unregistered from: nothing names it any more.
    pub leaving: Cell<bool>,
    /// The change counter that this name server knows.
    pub known: Cell<u64>,
    /// It has answered on the connection that stands.
    pub connected: Cell<bool>,
    /// The version that came with what it took last.
    pub told: Cell<Option<DataVersion>>,
    /// Requests that the last registration of all topics took.
    pub requests: Cell<usize>,
    /// Some of them were refused.
    pub refused: Cell<bool>,
    /// Largest body that it is sent: less than others if it ended the connection over one.
    pub body_bytes_max: Cell<usize>,
    /// The first attempt has come to an end, whatever that was.
    pub tried: Cell<bool>,
}

impl Server {
    /// `name`: `host:port`, which stands for the address.
    pub fn new(name: &str, address: SocketAddr) -> Server {
        let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
        let is_name = name.parse() != Ok(address);
        Server {
            address,
            host: host.to_owned(),
            name: if is_name { format!("{name} ({})", address.ip()) } else { name.to_owned() },
            wanted: Event::default(),
            leaving: Cell::new(false),
            known: Cell::new(0),
            connected: Cell::new(false),
            told: Cell::new(None),
            requests: Cell::new(0),
            refused: Cell::new(false),
            body_bytes_max: Cell::new(BODY_BYTES_MAX),
            tried: Cell::new(false),
        }
    }

    /// No connection to it came about, or it was lost.
    pub fn is_silent(&self) -> bool {
        self.tried.get() && !self.connected.get()
    }

    pub fn leave(&self) {
        if !self.leaving.replace(true) {
            self.wanted.set();
        }
    }
}
