//! What clients are told of a broker, and whether they can do anything with it.

use std::{
    fmt,
    net::{IpAddr, TcpStream, ToSocketAddrs as _},
    path::Path,
    time::Duration,
};

use ringmq_base::config::{BrokerConfig, Loaded, Origin, address::own_addresses};

const KEY: &str = "brokerIP1";
/// How long this machine may take to connect to itself by what clients are told.
const PROBE_MAX: Duration = Duration::from_secs(3);
/// Files that are there in containers only.
const CONTAINER_MARKS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// A remark about the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Something is most likely wrong.
    pub is_warning: bool,
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_warning { "warning: " } else { "note: " })?;
        f.write_str(&self.text)
    }
}

/// What there is to say before anything listens.
pub fn notes(loaded: &Loaded<BrokerConfig>) -> Vec<Note> {
    let config = &loaded.config;
    let own: Vec<(IpAddr, String)> = own_addresses().into_iter().collect();
    // bindAddress may have said it.
    let derived =
        loaded.origins.get(KEY) == Some(&Origin::Derived) && config.bind_address.is_unspecified();
    let in_container = CONTAINER_MARKS.iter().any(|mark| Path::new(mark).exists())
        || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let mut notes = judge(&config.broker_ip1, derived, in_container, &own);
    let vip = config.listen_port.checked_sub(2).filter(|_| config.vip_port_enable);
    let vip = vip.filter(|port| *port > 0).map(|port| format!(" (old ones also use port {port})"));
    let origin = loaded.origins.get(KEY).unwrap_or(&Origin::Default);
    notes.insert(
        0,
        Note {
            is_warning: false,
            text: format!(
                "clients will be told to connect to {}, port {}{}; {KEY} is from: {origin}",
                config.broker_ip1,
                config.listen_port,
                vip.unwrap_or_default(),
            ),
        },
    );
    notes
}

fn judge(told: &str, derived: bool, in_container: bool, own: &[(IpAddr, String)]) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut note = |is_warning, text: String| notes.push(Note { is_warning, text });
    let bare = told.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(told);
    let Ok(address) = bare.parse::<IpAddr>() else { return notes };
    let usable = |address: &IpAddr| match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(_) => false,
    };
    if address.is_unspecified() {
        note(true, format!("nobody can connect to {told}: set {KEY} to what clients reach"));
    } else if address.is_loopback() {
        let text = format!("only clients on this machine reach {told}");
        let remedy = format!("{text}, which has no other address: set {KEY} for others");
        note(derived, if derived { remedy } else { text });
    } else if derived {
        let others = own.iter().filter(|(other, _)| *other != address && usable(other));
        let others: Vec<String> =
            others.map(|(other, interface)| format!("{other} ({interface})")).collect();
        if in_container {
            note(
                true,
                format!(
                    "this is a container, and {told} is its address: clients elsewhere may not \
                     reach it; set {KEY} (RINGMQ_BROKER_IP1) to an address or name that clients \
                     inside and outside reach, and publish the port under the same number"
                ),
            );
        } else if !others.is_empty() {
            note(
                true,
                format!(
                    "{KEY} is not set and this machine has several addresses: clients are told \
                     {told}, and not {}; set {KEY} to the one that they reach",
                    others.join(", ")
                ),
            );
        }
    } else if !own.iter().any(|(other, _)| *other == address) {
        note(
            false,
            format!("{told} is no address of this machine: something has to lead from it to here"),
        );
    }
    notes
}

/// Says what there is to say, as log lines.
pub fn say(notes: &[Note]) {
    for Note { is_warning, text } in notes {
        match is_warning {
            true => tracing::warn!("{text}"),
            false => tracing::info!("{text}"),
        }
    }
}

/// Tries what clients will do, on a thread of its own, now that the broker listens; `told` is
/// host:port.
pub fn probe(told: String) {
    std::thread::spawn(move || {
        if let Err(error) = connect(&told) {
            tracing::warn!(
                "clients are told {told}, to which this machine itself cannot connect: {error}; \
                 unless it leads here from outside only, set {KEY} to what clients reach"
            );
        }
    });
}

fn connect(told: &str) -> std::io::Result<()> {
    let mut failed = std::io::ErrorKind::NotFound.into();
    for address in told.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PROBE_MAX) {
            Ok(_) => return Ok(()),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(told: &str, derived: bool, in_container: bool) -> Option<Note> {
        let own = [("127.0.0.1", "lo"), ("10.0.0.1", "eth0"), ("192.168.0.1", "eth1")];
        let own = own.map(|(address, name)| (address.parse().expect("one"), name.to_owned()));
        judge(told, derived, in_container, &own).pop()
    }

    #[test]
    fn what_clients_cannot_reach_is_told() {
        let warned = |told, derived, container, part: &str| {
            let note = judged(told, derived, container).expect("a note");
            assert!(note.is_warning && note.text.contains(part), "{note}");
        };
        warned("0.0.0.0", false, false, "nobody can connect to 0.0.0.0");
        warned("127.0.0.1", true, false, "no other address");
        warned("10.0.0.1", true, false, "and not 192.168.0.1 (eth1)");
        warned("10.0.0.1", true, true, "this is a container");
        assert_eq!(judged("10.0.0.1", false, true), None, "somebody has said so");
        assert_eq!(judged("broker.example", false, true), None);
        for told in ["127.0.0.1", "[::1]", "203.0.113.7"] {
            assert!(!judged(told, false, false).expect("a note").is_warning, "{told}");
        }
    }

    #[test]
    fn an_address_that_nobody_listens_on_is_noticed() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let told = listener.local_addr().expect("bound").to_string();
        connect(&told).expect("it listens");
        drop(listener);
        connect(&told).expect_err("nobody listens");
    }
}
