//! Quantities for people.

/// A number of bytes such as `1023 B` or `1.5 KiB`.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match UNITS.into_iter().find(|(_, bits)| bytes >> bits > 0) {
        Some((unit, bits)) => format!("{:.1} {unit}", bytes as f64 / (1u64 << bits) as f64),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_unit_that_fits_is_taken() {
        let texts = [0, 1023, 1536, 5 << 40].map(human_bytes);
        assert_eq!(texts, ["0 B", "1023 B", "1.5 KiB", "5.0 TiB"]);
    }
}
