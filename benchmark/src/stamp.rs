//! Times and unique keys of messages as text, refreshed once a millisecond.

/// Digits of a UNIQ_KEY that one thread never changes: address, process, class loader.
pub const UNIQUE_PREFIX_DIGITS: usize = 20;
/// Digits of a UNIQ_KEY that differ by message: milliseconds since the month began, counter.
pub const UNIQUE_TAIL_DIGITS: usize = 12;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// The varying text of messages of one thread.
#[derive(Debug)]
pub struct Stamp {
    born_ms: u64,
    month_began_ms: u64,
    born: [u8; 13],
    in_month: [u8; 8],
    counter: u16,
}

impl Stamp {
    /// A stamp at the wall clock's `now_ms`.
    pub fn new(now_ms: u64) -> Stamp {
        let mut stamp = Stamp {
            born_ms: 0,
            month_began_ms: month_began_ms(now_ms),
            born: [b'0'; 13],
            in_month: [b'0'; 8],
            counter: 0,
        };
        stamp.refresh(now_ms);
        stamp
    }

    /// Takes the wall clock's time, in milliseconds since 1970.
    pub fn refresh(&mut self, now_ms: u64) {
        if now_ms == self.born_ms {
            return;
        }
        self.born_ms = now_ms;
        let mut rest = now_ms;
        for digit in self.born.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        // The Java client wraps the same way when a run crosses the month's end unnoticed.
        let in_month = (now_ms.saturating_sub(self.month_began_ms) & 0xFFFF_FFFF) as u32;
        for (place, digit) in self.in_month.iter_mut().enumerate() {
            *digit = hex_digit(in_month >> (28 - 4 * place));
        }
    }

    /// `bornTimestamp` as 13 digits.
    pub fn born(&self) -> &[u8; 13] {
        &self.born
    }

    /// Counter of the message whose tail was taken last.
    pub fn counter(&self) -> u16 {
        self.counter
    }

    /// The last digits of the UNIQ_KEY that was taken last.
    pub fn unique_tail(&self) -> [u8; UNIQUE_TAIL_DIGITS] {
        let mut tail = [0; UNIQUE_TAIL_DIGITS];
        tail[..8].copy_from_slice(&self.in_month);
        let counter = u32::from(self.counter);
        for (place, digit) in tail[8..].iter_mut().enumerate() {
            *digit = hex_digit(counter >> (12 - 4 * place));
        }
        tail
    }

    /// The last digits of the next message's UNIQ_KEY. They repeat after 65,536 messages within one
    /// millisecond, as the Java client's do.
    pub fn next_unique_tail(&mut self) -> [u8; UNIQUE_TAIL_DIGITS] {
        self.counter = self.counter.wrapping_add(1);
        self.unique_tail()
    }
}

/// First digits of every UNIQ_KEY of one thread.
pub fn unique_prefix(process: u32, thread: u32, now_ms: u64) -> [u8; UNIQUE_PREFIX_DIGITS] {
    let process = (process & 0xFFFF) as u16;
    // Stands for the hash of the class loader: differs by thread and by run.
    let seed = (now_ms as u32).wrapping_mul(0x9E37_79B1).wrapping_add(thread);
    let mut bytes = [127, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes[4..6].copy_from_slice(&process.to_be_bytes());
    bytes[6..].copy_from_slice(&seed.to_be_bytes());
    let mut digits = [0; UNIQUE_PREFIX_DIGITS];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = hex_digit(u32::from(byte) >> 4);
        pair[1] = hex_digit(u32::from(byte));
    }
    digits
}

/// A date of the proleptic Gregorian calendar in UTC: year, month 1-12, day 1-31.
pub fn civil_date(days_since_1970: u64) -> (u64, u64, u64) {
    // Counts from 1 March of year 0, so that the leap day ends the year.
    let days = days_since_1970 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

fn month_began_ms(now_ms: u64) -> u64 {
    let days = now_ms / 86_400_000;
    let (_, _, day) = civil_date(days);
    (days + 1 - day) * 86_400_000
}

fn hex_digit(bits: u32) -> u8 {
    HEX[(bits & 0xF) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(civil_date(0), (1970, 1, 1));
        assert_eq!(civil_date(19_782), (2024, 2, 29));
        assert_eq!(civil_date(20_778), (2026, 11, 21));
    }

    #[test]
    fn a_stamp_shows_the_time_and_counts() {
        // 2026-11-21 00:00:00.123 UTC, twenty days into the month.
        let now_ms = 20_778 * 86_400_000 + 123;
        let mut stamp = Stamp::new(now_ms);
        assert_eq!(stamp.born(), now_ms.to_string().as_bytes());
        let expected = format!("{:08X}{:04X}", 20 * 86_400_000 + 123, 1);
        assert_eq!(stamp.next_unique_tail(), expected.as_bytes());
        assert_ne!(stamp.next_unique_tail(), expected.as_bytes());
    }

    #[test]
    fn threads_have_different_prefixes() {
        let first = unique_prefix(0x1234, 0, 1);
        assert!(first.starts_with(b"7F0000011234"));
        assert_ne!(first, unique_prefix(0x1234, 1, 1));
    }
}
