//! Totals of campaigns in files, and the table of them.

use std::{collections::BTreeMap, fs, path::Path};

use crate::meter::Totals;

/// Writes `<directory>/<campaign>-<seed>-<time>.json`.
pub fn write(directory: &Path, totals: &Totals, stamp: u64) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    let name = format!("{}-{}-{stamp}.json", totals.campaign, totals.first_seed);
    let text = serde_json::to_string_pretty(totals).expect("plain fields");
    fs::write(directory.join(name), text + "\n")
}

/// The sums of all files in the directory as a table in Markdown, a row a campaign.
pub fn table(directory: &Path) -> std::io::Result<String> {
    let mut sums: BTreeMap<String, Totals> = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_none_or(|end| end != "json") {
            continue;
        }
        let one: Totals = serde_json::from_slice(&fs::read(&path)?)?;
        let empty =
            || Totals { campaign: one.campaign.clone(), first_seed: u64::MAX, ..Totals::default() };
        let sum = sums.entry(one.campaign.clone()).or_insert_with(empty);
        sum.first_seed = sum.first_seed.min(one.first_seed);
        sum.seeds += one.seeds;
        sum.images += one.images;
        sum.runs += one.runs;
        sum.operations += one.operations;
        sum.violations += one.violations;
        sum.seconds += one.seconds;
    }
    let mut text = String::from(
        "| campaign | seeds | images | runs | operations | violations | seconds |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for sum in sums.values() {
        let Totals { campaign, seeds, images, runs, operations, violations, seconds, .. } = sum;
        let row = [seeds, images, runs, operations, violations, seconds].map(|n| grouped(*n));
        text.push_str(&format!("| {campaign} | {} |\n", row.join(" | ")));
    }
    Ok(text)
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([grouped(7), grouped(1000), grouped(1_234_567)], ["7", "1,000", "1,234,567"]);
    }
}
