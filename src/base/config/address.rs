//! What a machine calls itself: defaults of `brokerIP1` and `brokerName`.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags, unistd::gethostname};

/// The first IPv4 address of an interface that is up and no loopback; 127.0.0.1 if there is none.
/// Link-local addresses (169.254) count only if there is nothing else.
pub fn local_address() -> IpAddr {
    let interfaces = getifaddrs().into_iter().flatten();
    let candidates: Vec<Ipv4Addr> = interfaces
        .filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP))
        .filter(|interface| !interface.flags.contains(InterfaceFlags::IFF_LOOPBACK))
        .filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip()))
        .collect();
    IpAddr::V4(choose(&candidates))
}

/// Addresses of all interfaces that are up, loopback and IPv6 included, with the names of these.
pub fn own_addresses() -> BTreeSet<(IpAddr, String)> {
    let interfaces = getifaddrs().into_iter().flatten();
    let up = interfaces.filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP));
    let addresses = up.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let v6 = address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()));
        Some((v4.or(v6)?, interface.interface_name))
    });
    addresses.collect()
}

fn choose(candidates: &[Ipv4Addr]) -> Ipv4Addr {
    let usable = |address: &&Ipv4Addr| !address.is_loopback() && !address.is_unspecified();
    let mut good = candidates.iter().filter(usable);
    let first = good.clone().find(|address| !address.is_link_local()).or_else(|| good.next());
    first.copied().unwrap_or(Ipv4Addr::LOCALHOST)
}

/// The host's name, as Java's default for `brokerName`; `DEFAULT_BROKER` if it has none.
pub fn host_name() -> String {
    let name = gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    if name.is_empty() { "DEFAULT_BROKER".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_routable_address_wins_and_loopback_is_the_last_resort() {
        let (loopback, link) = (Ipv4Addr::LOCALHOST, Ipv4Addr::new(169, 254, 1, 1));
        let (first, second) = (Ipv4Addr::new(192, 168, 0, 2), Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(choose(&[loopback, link, first, second]), first);
        assert_eq!(choose(&[loopback, link]), link);
        assert_eq!(choose(&[loopback]), loopback);
        assert_eq!(choose(&[]), loopback);
    }

    #[test]
    fn this_machine_has_an_address_and_a_name() {
        assert!(!local_address().is_unspecified());
        assert!(!host_name().is_empty());
        assert!(own_addresses().iter().any(|(address, _)| address.is_loopback()));
    }
}
