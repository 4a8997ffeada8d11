//! Ports: free, or taken by whom.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    condition::{Condition, Severity},
    files::Files,
};

/// A port that a server will listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The key that sets it.
    pub key: &'static str,
    pub address: IpAddr,
    pub port: u16,
}

/// A row a port. `owner`: the program that has the socket with an inode.
pub fn rows(
    files: &dyn Files,
    ports: &[Port],
    owner: impl Fn(u64) -> Option<String>,
) -> Vec<Condition> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| files.text(path));
    let listeners: Vec<Listener> =
        tables.iter().flatten().flat_map(|text| listeners(text)).collect();
    let row = |port: &Port| {
        let name = format!("port {} ({})", port.port, port.key);
        let taken = listeners.iter().find(|listener| listener.is_in_the_way_of(port));
        let Some(taken) = taken else {
            return Condition::new(name, "free", "free");
        };
        let owner = owner(taken.inode);
        let by = owner.as_deref().map_or_else(String::new, |owner| format!(" by {owner}"));
        let found = format!("taken{by} on {}", taken.address);
        // A running broker is looked at as well as one that is to be started.
        let is_ringmq = owner.is_some_and(|owner| owner.starts_with("ringmq"));
        Condition::new(name, "free", found).but(
            if is_ringmq { Severity::Note } else { Severity::Warning },
            format!(
                "a start is refused while it is taken: stop what has it, or change {}",
                port.key
            ),
        )
    };
    ports.iter().filter(|port| port.port != 0).map(row).collect()
}

struct Listener {
    address: IpAddr,
    port: u16,
    inode: u64,
}

impl Listener {
    fn is_in_the_way_of(&self, port: &Port) -> bool {
        let all = self.address.is_unspecified() || port.address.is_unspecified();
        self.port == port.port && (all || self.address == port.address)
    }
}

/// Sockets that listen, of `/proc/net/tcp` or `tcp6`.
fn listeners(text: &str) -> Vec<Listener> {
    const LISTEN: &str = "0A";
    let read = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = fields.get(1)?.split_once(':')?;
        let inode = fields.get(9)?.parse().ok()?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let listener = Listener { address: address_of(address)?, port, inode };
        (*fields.get(3)? == LISTEN).then_some(listener)
    };
    text.lines().skip(1).filter_map(read).collect()
}

/// The kernel writes the words of an address as numbers of this machine.
fn address_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok();
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?.to_ne_bytes()))),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?].map(u32::to_ne_bytes);
            let mut bytes = [0; 16];
            bytes.iter_mut().zip(words.as_flattened()).for_each(|(to, from)| *to = *from);
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

/// The program with a socket, as far as this user may know: `java (process 4711)`.
pub fn owner(inode: u64) -> Option<String> {
    let link = format!("socket:[{inode}]");
    let is_its = |process: &fs::DirEntry| {
        let descriptors = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let mut links = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
        links.any(|found| found.to_str() == Some(&*link))
    };
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut numbered = processes.filter_map(|entry| {
        let id = entry.file_name().to_str()?.parse::<u32>().ok()?;
        Some((id, entry))
    });
    let (id, process) = numbered.find(|(_, process)| is_its(process))?;
    let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
    Some(format!("{} (process {id})", name.trim()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::{
        super::files::{
            Own,
            testing::{CLOUD, Other},
        },
        *,
    };

    fn port(address: &str, port: u16) -> Port {
        Port { key: "listenPort", address: address.parse().expect("an address"), port }
    }

    #[test]
    fn listeners_of_another_machine_are_in_the_way() {
        let of = |wanted: Port| {
            let owner = |inode| (inode == 20_011).then(|| "java (process 7)".to_owned());
            rows(&Other::new(CLOUD), &[wanted], owner).pop().expect("a row")
        };
        let taken = of(port("0.0.0.0", 9876));
        assert_eq!((taken.severity, &*taken.name), (Severity::Warning, "port 9876 (listenPort)"));
        assert_eq!(taken.found, "taken by java (process 7) on 127.0.0.1");
        assert_eq!(of(port("10.0.0.2", 9876)).found, "free", "it listens on loopback only");
        assert_eq!(of(port("127.0.0.1", 5557)).found, "taken on ::");
        // A connection is no listener; [::1] is one.
        assert_eq!(of(port("0.0.0.0", 10_911)).found, "taken on ::1");
        assert_eq!(of(port("10.0.0.2", 10_911)).found, "free");
        assert_eq!(of(port("0.0.0.0", 80)).found, "free");
        assert!(rows(&Other::new(CLOUD), &[port("0.0.0.0", 0)], |_| None).is_empty());
    }

    #[test]
    fn the_owner_of_a_port_of_this_machine_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let wanted = port("127.0.0.1", listener.local_addr().expect("bound").port());
        let row = rows(&Own, std::slice::from_ref(&wanted), owner).pop().expect("a row");
        let id = format!("(process {}) on 127.0.0.1", std::process::id());
        assert!(row.found.ends_with(&id), "{row:?}");
        drop(listener);
        assert_eq!(rows(&Own, &[wanted], owner)[0].found, "free");
    }
}
