//! What `docs/OPERATIONS.md` tells operators to do when they back up, restore, recover and upgrade,
//! done as the page says it.

mod backup;
mod upgrade;

use std::fs;
use std::path::Path;

/// What is done when something went wrong: the beginning of a row of the page's table, and the test
/// that holds it.
const RECOVER: &[(&str, &str, &str)] = &[
    ("kill -9, a crash", "tests/it/kill9.rs", "nothing_acknowledged_is_lost_when_the_broker"),
    ("a start is refused", "tests/it/operations/backup.rs", "a_damaged_store_is_replaced_by_its"),
    ("sends are refused", "tests/it/disk_full.rs", "a_full_disk_refuses_with_a_reason_loses"),
    (
        "a log has failed",
        "src/broker/testing/failed_writes.rs",
        "whoever_waits_for_a_write_that_fails",
    ),
    ("a shard gives no sign", "tests/it/service.rs", "a_stuck_shard_is_no_sign_of_life"),
    ("no name server is there", "tests/it/operations/upgrade.rs", "servers_are_replaced_one_after"),
    ("`systemctl start` fails", "tests/it/doctor.rs", "what_a_start_refuses_is_found_before_it"),
];

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/OPERATIONS.md");
    fs::read_to_string(path).expect("the page is there")
}

// Single: no server is started.
#[test]
fn every_way_to_recover_has_its_test() {
    let page = page();
    let (_, recover) = page.split_once("\n## Recover\n").expect("the section");
    let rows: Vec<&str> = recover
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .filter(|row| !row.starts_with("what |"))
        .collect();
    assert_eq!(rows.len(), RECOVER.len(), "a test for each of {rows:#?}");
    for (row, (begin, file, test)) in rows.iter().zip(RECOVER) {
        assert!(row.starts_with(begin), "{row}: not {begin}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(text.contains(&format!("fn {test}")), "{file}: no {test}");
    }
}
