//! Addresses that need no signature (`whiteRemoteAddress`), as RocketMQ writes them:
//!
//! ```text
//! *                        192.168.0.1            1050::5:600:300c:1      everybody, or one
//! 192.168.0.1,192.168.0.2  192.168.0.{1,2}        1050::5:600:300c:{1,2}  a few
//! 192.168.*.*              192.168.1-20.*         1050::5:600:300c:1-20   ranges
//!                                                 1050::5:600:1-20:*
//! ```

use std::net::{IpAddr, Ipv6Addr};

/// Which addresses a text stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressRule {
    /// The text is blank.
    Nobody,
    Everybody,
    /// Any of these.
    Some(Vec<IpAddr>),
    /// First and last of each part.
    Ipv4([(u8, u8); 4]),
    /// The same, in the parts of 16 bits.
    Ipv6([(u16, u16); 8]),
}

/// Why a text stands for no addresses: a half sentence behind it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("{0:?} is no address: write one such as 192.168.0.1 or 1050::5:600:300c:1")]
    Address(String),
    #[error("{0:?} has to have 4 parts between dots, or be an IPv6 address")]
    Parts(String),
    #[error("{0:?} is no part of an address: write a number, first-last, or *")]
    Part(String),
    #[error("{0:?} has to end with {{first,second,...}} as its last part")]
    Braces(String),
    #[error("only the last two parts of an IPv6 address may be ranges: first-last, *")]
    Ranges,
}

impl AddressRule {
    /// # Errors
    /// If the text is neither blank nor as above. Java takes some texts that are refused here, and
    /// reads them as more addresses than they say.
    pub fn parse(text: &str) -> Result<AddressRule, AddressError> {
        let text = text.trim();
        match text {
            "" => return Ok(AddressRule::Nobody),
            "*" | "*.*.*.*" | "*:*:*:*:*:*:*:*" => return Ok(AddressRule::Everybody),
            _ => {}
        }
        if let Some(rest) = text.strip_suffix('}') {
            let (start, last) =
                rest.split_once('{').ok_or_else(|| AddressError::Braces(text.to_owned()))?;
            if !start.ends_with(['.', ':']) {
                return Err(AddressError::Braces(text.to_owned()));
            }
            let all = last.split(',').map(|last| [start, last.trim()].concat());
            return Ok(AddressRule::Some(
                all.map(|text| address(&text)).collect::<Result<_, _>>()?,
            ));
        }
        if text.contains(',') {
            let all = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            return Ok(AddressRule::Some(all.map(address).collect::<Result<_, _>>()?));
        }
        match (text.contains(['*', '-']), text.contains(':')) {
            (false, _) => Ok(AddressRule::Some(vec![address(text)?])),
            (true, false) => ipv4_range(text),
            (true, true) => ipv6_range(text),
        }
    }

    /// Whether it stands for this address. IPv4 addresses that came by IPv6 are IPv4 addresses.
    pub fn matches(&self, address: IpAddr) -> bool {
        match (self, address.to_canonical()) {
            (AddressRule::Nobody, _) => false,
            (AddressRule::Everybody, _) => true,
            (AddressRule::Some(all), address) => all.contains(&address),
            (AddressRule::Ipv4(parts), IpAddr::V4(address)) => within(parts, address.octets()),
            (AddressRule::Ipv6(parts), IpAddr::V6(address)) => within(parts, address.segments()),
            (AddressRule::Ipv4(_) | AddressRule::Ipv6(_), _) => false,
        }
    }
}

fn within<T: Ord + Copy, const N: usize>(ranges: &[(T, T); N], parts: [T; N]) -> bool {
    ranges.iter().zip(parts).all(|((first, last), part)| (*first..=*last).contains(&part))
}

fn address(text: &str) -> Result<IpAddr, AddressError> {
    let wrong = || AddressError::Address(text.to_owned());
    let address: IpAddr = text.trim().parse().map_err(|_| wrong())?;
    Ok(address.to_canonical())
}

fn ipv4_range(text: &str) -> Result<AddressRule, AddressError> {
    let parts: Vec<_> = text.split('.').map(|part| range(part, 10, u8::MAX.into())).collect();
    let parts: Vec<_> = parts.into_iter().collect::<Result<_, _>>()?;
    let parts: Vec<(u8, u8)> = parts.into_iter().map(|(a, b)| (a as u8, b as u8)).collect();
    let parts = <[_; 4]>::try_from(parts).map_err(|_| AddressError::Parts(text.to_owned()))?;
    Ok(AddressRule::Ipv4(parts))
}

/// The last part may be `*`, and the one before it, or the last, a range.
fn ipv6_range(text: &str) -> Result<AddressRule, AddressError> {
    let mut start = text;
    let mut ranges = Vec::new();
    while ranges.len() < 2
        && let Some((before, last)) = start.rsplit_once(':')
        && (last.contains('-') || (last == "*" && ranges.is_empty()))
    {
        ranges.insert(0, range(last, 16, u16::MAX)?);
        start = before;
    }
    if start.contains(['*', '-']) {
        return Err(AddressError::Ranges);
    }
    // With zeros where the ranges are it is an address.
    let zeros = ":0".repeat(ranges.len());
    let whole = [start, &zeros].concat();
    let wrong = || AddressError::Address(text.to_owned());
    let zero_filled: Ipv6Addr = whole.parse().map_err(|_| wrong())?;
    let mut parts = zero_filled.segments().map(|part| (part, part));
    for (part, range) in parts.iter_mut().rev().zip(ranges.into_iter().rev()) {
        *part = range;
    }
    Ok(AddressRule::Ipv6(parts))
}

/// One part: a number, `first-last` or `*`. 0 to `most`, which fits the part.
fn range(part: &str, radix: u32, most: u16) -> Result<(u16, u16), AddressError> {
    let part = part.trim();
    let wrong = || AddressError::Part(part.to_owned());
    let number = |text: &str| {
        let number = u16::from_str_radix(text.trim(), radix).ok();
        number.filter(|number| *number <= most).ok_or_else(wrong)
    };
    if part == "*" {
        return Ok((0, most));
    }
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let (first, last) = (number(first)?, number(last)?);
    if first > last { Err(wrong()) } else { Ok((first, last)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(rule: &str, address: &str) -> bool {
        let rule = AddressRule::parse(rule).unwrap_or_else(|error| panic!("{rule}: {error}"));
        rule.matches(address.parse().expect("an address"))
    }

    #[test]
    fn addresses_match_as_in_rocketmq() {
        for (rule, inside, outside) in [
            ("*", "10.1.2.3", ""),
            ("*.*.*.*", "::1", ""),
            ("*:*:*:*:*:*:*:*", "::1", ""),
            ("", "", "127.0.0.1"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("127.0.0.1", "::ffff:127.0.0.1", "::ffff:127.0.0.2"),
            ("::1", "0:0:0:0:0:0:0:1", "::2"),
            ("127.0.0.1,127.0.0.3", "127.0.0.3", "127.0.0.2"),
            ("127.0.0.{1,3}", "127.0.0.1", "127.0.0.2"),
            ("1050::0005:0600:300c:{1,2,3}", "1050:0:0:0:5:600:300c:2", "1050::5:600:300c:4"),
            ("1050::5:600:300c:1,1050::5:600:300c:3", "1050::5:600:300C:3", "1050::5:600:300c:2"),
            ("127.0.0.1-200", "127.0.0.200", "127.0.0.201"),
            ("127.0.0.*", "127.0.0.0", "127.0.1.0"),
            ("127.0.1-20.*", "127.0.20.255", "127.0.21.0"),
            ("192.100-150.*.*", "192.130.0.2", "192.151.0.2"),
            ("127.*.*.*", "127.9.9.9", "128.0.0.1"),
            ("1050::0005:0600:300c:1-200", "1050::5:600:300c:200", "1050::5:600:300c:201"),
            ("1050::0005:0600:300c:*", "1050::5:600:300c:ffff", "1050::5:600:300d:1"),
            ("1050::5:600:1-20:*", "1050::5:600:20:9", "1050::5:600:21:9"),
            ("127.0.0.*", "127.0.0.1", "::1"),
        ] {
            assert!(inside.is_empty() || matches(rule, inside), "{rule} {inside}");
            assert!(outside.is_empty() || !matches(rule, outside), "{rule} {outside}");
        }
    }

    #[test]
    fn every_part_of_a_range_counts() {
        // Java looks at nothing behind the first range.
        assert!(!matches("192.168.1-10.5", "192.168.5.6"));
        assert!(matches("192.168.1-10.5", "192.168.5.5"));
    }

    #[test]
    fn what_stands_for_no_address_is_refused() {
        for text in [
            "256.0.0.1",
            "::1ggg",
            "localhost",
            "127.0.0.1,2,3}",
            "192.168.{1}",
            "{192.168.1}",
            "{192.168.1.1}",
            "192.168.1.{}",
            "192.168.*",
            "192.168.0.200-100",
            "192.168.0.1-256",
            "192.168.0.-5",
            "1050::*:5",
            "1050::1-2:3",
            "1050:*:*:*",
            "127.0.0.*,10.0.0.1",
            "*:1",
            "-",
        ] {
            assert!(AddressRule::parse(text).is_err(), "{text}");
        }
    }
}
