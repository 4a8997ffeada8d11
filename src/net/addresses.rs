//! Who may have how many connections. An address has only so many, and the last places are kept:
//! half of them for this machine, which administration comes from, the other half for it and for
//! addresses that have no connection yet. Nobody can tell an administrator when he connects, but
//! whoever holds thousands of connections is none.
//!
//! Addresses without a connection are not remembered, so the table is no longer than the limit of
//! connections.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Of all places, at most this part is kept: `1 / RESERVED_SHARE`.
const RESERVED_SHARE: usize = 8;

/// Whom a connection is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    V4(Ipv4Addr),
    /// The first 64 bits: a host of IPv6 has all addresses that begin with them.
    V6(u64),
}

impl From<IpAddr> for Source {
    fn from(ip: IpAddr) -> Source {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Source::V4(ip),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Source::V6(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }
}

/// `10.0.0.1`, `2001:db8::/64`.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::V4(ip) => ip.fmt(f),
            Source::V6(prefix) => {
                write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(*prefix) << 64))
            }
        }
    }
}

/// Why a connection is closed at once. `Display` is a sentence for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(
        "connection closed: {open} are open, and connectionsMax allows {limit}; raise it if they \
         are wanted"
    )]
    All { open: usize, limit: usize },
    #[error(
        "connection closed: {open} are open of {limit} (connectionsMax), and the last {kept} are \
         kept for this machine and for addresses that have none (connectionsReserved); raise \
         connectionsMax if they are wanted"
    )]
    Kept { open: usize, limit: usize, kept: usize },
    #[error(
        "connection closed: {source_address} has {open}, and connectionsPerAddressMax allows \
         {limit}; raise it if they are wanted"
    )]
    Address { source_address: Source, open: usize, limit: usize },
}

/// Whether a peer is on this machine for certain, by IPv6 that carries IPv4, too. The addresses by
/// which others reach the machine do not count: gateways and containers may come from them.
#[inline]
pub fn is_loopback(peer: IpAddr) -> bool {
    peer.to_canonical().is_loopback()
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of all addresses.
    pub all: usize,
    /// Of one address; of IPv6, of the first 64 bits of one.
    pub per_address: usize,
    /// Kept for this machine and for addresses that have none; at most an eighth of `all`.
    pub reserved: usize,
    /// `per_address` is not for loopback.
    pub exempt_loopback: bool,
}

/// The connections that are open, by where they come from.
pub struct Addresses {
    limits: Limits,
    open: Cell<usize>,
    of_each: RefCell<HashMap<Source, usize>>,
}

impl Addresses {
    pub fn new(limits: Limits) -> Addresses {
        let reserved = limits.reserved.min(limits.all / RESERVED_SHARE);
        let limits = Limits { reserved, ..limits };
        Addresses { limits, open: Cell::new(0), of_each: RefCell::default() }
    }

    /// Counts a connection, to be undone by [`Addresses::leave`].
    ///
    /// # Errors
    /// If it is one too many: nothing is counted.
    pub fn enter(&self, ip: IpAddr) -> Result<(), Refused> {
        let source_address = Source::from(ip);
        let own = self.of_each.borrow().get(&source_address).copied().unwrap_or(0);
        let Limits { all, per_address, reserved, exempt_loopback } = self.limits;
        let (open, loopback) = (self.open.get(), is_loopback(ip));
        if open >= all {
            return Err(Refused::All { open, limit: all });
        }
        if own >= per_address && !(loopback && exempt_loopback) {
            return Err(Refused::Address { source_address, open: own, limit: per_address });
        }
        let kept = match own {
            _ if loopback => 0,
            0 => reserved / 2,
            _ => reserved,
        };
        if open + kept >= all {
            return Err(Refused::Kept { open, limit: all, kept });
        }
        self.open.set(open + 1);
        self.of_each.borrow_mut().insert(source_address, own + 1);
        Ok(())
    }

    /// A connection that was counted is no more.
    pub fn leave(&self, ip: IpAddr) {
        let source = Source::from(ip);
        let mut of_each = self.of_each.borrow_mut();
        let Some(own) = of_each.get_mut(&source) else {
            return;
        };
        *own -= 1;
        if *own == 0 {
            of_each.remove(&source);
        }
        self.open.set(self.open.get() - 1);
        // A flood of addresses is over.
        if of_each.capacity() > 1024 && of_each.len() < of_each.capacity() / 8 {
            of_each.shrink_to_fit();
        }
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.open.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn addresses(all: usize, per_address: usize, reserved: usize) -> Addresses {
        Addresses::new(Limits { all, per_address, reserved, exempt_loopback: true })
    }

    #[test]
    fn an_address_has_so_many_and_others_are_not_concerned() {
        let addresses = addresses(100, 2, 0);
        for _ in 0..2 {
            assert_eq!(addresses.enter(ip("10.0.0.1")), Ok(()));
        }
        let refused = addresses.enter(ip("::ffff:10.0.0.1")).expect_err("the same by IPv6");
        let text = refused.to_string();
        assert!(text.contains("10.0.0.1 has 2, and connectionsPerAddressMax allows 2"), "{text}");
        assert_eq!(addresses.enter(ip("10.0.0.2")), Ok(()));
        addresses.leave(ip("10.0.0.1"));
        assert_eq!(addresses.enter(ip("10.0.0.1")), Ok(()));
        assert_eq!(addresses.open(), 3);
    }

    #[test]
    fn addresses_of_ipv6_count_by_their_first_64_bits() {
        let addresses = addresses(100, 2, 0);
        assert_eq!(addresses.enter(ip("2001:db8::1")), Ok(()));
        assert_eq!(addresses.enter(ip("2001:db8::ffff:2")), Ok(()));
        let refused = addresses.enter(ip("2001:db8:0:0:1::")).expect_err("the same host");
        assert!(refused.to_string().contains("2001:db8::/64 has 2"), "{refused}");
        assert_eq!(addresses.enter(ip("2001:db8:0:1::1")), Ok(()));
    }

    #[test]
    fn loopback_is_exempt_unless_it_is_said_otherwise() {
        let exempt = addresses(10, 2, 0);
        let counted =
            Addresses::new(Limits { all: 10, per_address: 2, reserved: 0, exempt_loopback: false });
        for address in ["127.0.0.1", "::1"] {
            for number in 0..3 {
                assert_eq!(exempt.enter(ip(address)), Ok(()));
                assert_eq!(counted.enter(ip(address)).is_ok(), number < 2, "{address}");
            }
        }
    }

    #[test]
    fn the_last_places_are_for_this_machine_and_for_who_has_none() {
        let addresses = addresses(80, 1_000, 10);
        for _ in 0..70 {
            assert_eq!(addresses.enter(ip("10.0.0.1")), Ok(()));
        }
        let refused = addresses.enter(ip("10.0.0.1")).expect_err("it has enough");
        assert_eq!(refused, Refused::Kept { open: 70, limit: 80, kept: 10 });
        for last in 0..5 {
            assert_eq!(addresses.enter(ip(&format!("10.0.1.{last}"))), Ok(()));
        }
        let refused = addresses.enter(ip("10.0.2.1")).expect_err("the rest is for this machine");
        assert_eq!(refused, Refused::Kept { open: 75, limit: 80, kept: 5 });
        for _ in 0..5 {
            assert_eq!(addresses.enter(ip("127.0.0.1")), Ok(()));
        }
        let refused = addresses.enter(ip("::1")).expect_err("full");
        assert_eq!(refused, Refused::All { open: 80, limit: 80 });
    }

    #[test]
    fn a_loopback_address_is_known_in_every_form_and_no_other_is_one() {
        for own in ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(is_loopback(ip(own)), "{own}");
        }
        for other in ["10.0.0.1", "0.0.0.0", "::", "::ffff:10.0.0.1", "fe80::1"] {
            assert!(!is_loopback(ip(other)), "{other}");
        }
    }

    #[test]
    fn what_is_kept_is_a_small_part_of_few_places() {
        let addresses = addresses(4, 1_000, 64);
        for _ in 0..4 {
            assert_eq!(addresses.enter(ip("10.0.0.1")), Ok(()));
        }
        assert_eq!(addresses.enter(ip("10.0.0.1")), Err(Refused::All { open: 4, limit: 4 }));
    }

    #[test]
    fn the_table_is_no_longer_than_what_is_open() {
        let addresses = addresses(10_000, 10, 0);
        for number in 0..8_000_u32 {
            let ip = IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + number));
            assert_eq!(addresses.enter(ip), Ok(()));
            if number >= 10 {
                addresses.leave(IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + number - 10)));
            }
        }
        assert_eq!(addresses.of_each.borrow().len(), 10);
        assert!(addresses.of_each.borrow().capacity() < 1_024);
    }
}
