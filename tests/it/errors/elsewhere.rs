//! Texts that tests of their subjects provoke.

use std::fs;
use std::path::Path;

/// The heading, the file of the test, and the function that has the text in it.
const ROWS: &[(&str, &str, &str)] = &[
    (
        "[TIMEOUT_CLEAN_QUEUE]... limit is ... (key waitTimeMillsInSendQueue)",
        "src/broker/shard/backpressure/tests.rs",
        "sends_that_wait_too_long_for_a_full_queue_are_refused_and_the_others_are_stored",
    ),
    (
        "connection closed: it lacks TLS, tls.server.mode = enforcing",
        "tests/it/tls.rs",
        "enforcing_refuses_clients_without_tls_and_disabled_those_with_it",
    ),
    (
        "connection closed: it wants TLS, tls.server.mode = disabled",
        "tests/it/tls.rs",
        "enforcing_refuses_clients_without_tls_and_disabled_those_with_it",
    ),
    ("... has ..., and connectionsPerAddressMax allows ...", "tests/it/connections.rs", "too_many"),
    ("damaged message", "tests/it/stores.rs", "serves_no_wrong_bytes"),
    (
        "what an administrator set is dropped",
        "tests/it/live_keys.rs",
        "a_restart_keeps_changed_keys_unless_the_file_was_changed_since",
    ),
    ("told to stop twice", "tests/it/drain.rs", "a_second_signal_ends_a_draining_broker_at_once"),
    (
        "not every name server was told within shutdownWaitTimeSeconds = ...",
        "tests/it/drain.rs",
        "a_drain_ends_when_its_time_is_over",
    ),
];

pub fn headings() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|(heading, ..)| *heading)
}

/// The function with this name, up to the brace that closes it.
fn function<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let start = text.find(&format!("fn {name}("))?;
    let rest = text.get(start..)?;
    rest.get(..rest.find("\n}\n")?)
}

// Single: no server is started.
#[test]
fn those_tests_are_there_and_have_the_texts() {
    for (heading, file, name) in ROWS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"));
        let body = function(&text, name).unwrap_or_else(|| panic!("{file}: no {name}"));
        let parts = heading.split("...").map(str::trim);
        let longest = parts.max_by_key(|part| part.len()).expect("a part");
        assert!(body.contains(longest), "{file}: {name} has no {longest:?}");
    }
}
