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
    (
        "... are open, and connectionsMax allows ...",
        "tests/it/limits.rs",
        "connections_are_spread_over_the_shards_up_to_the_limit_of_each",
    ),
    (
        "for longer than outputStallTimeMs",
        "tests/it/slow_readers.rs",
        "a_client_that_takes_nothing_is_closed_with_the_reason",
    ),
    (
        "need the room of outputBytesMax, and its answer has been on its way",
        "tests/it/name_server_bounds.rs",
        "clients_that_do_not_take_their_answers_share_a_budget_and_the_slowest_is_closed",
    ),
    (
        "take all of inputBytesMax, and its request has been on its way",
        "tests/it/name_server_bounds.rs",
        "half_read_registrations_share_a_budget_and_the_slowest_is_closed",
    ),
    (
        "metrics of some topics or groups are left out",
        "tests/it/metrics.rs",
        "too_many_series_are_left_out_and_it_is_said_once",
    ),
    (
        "... were left out, at most ...",
        "tests/it/log_lines.rs",
        "a_client_that_sends_garbage_does_not_fill_the_log",
    ),
    (
        "connection closed: TLS: invalid peer certificate",
        "tests/it/tls.rs",
        "clients_show_a_certificate_that_is_trusted_where_it_is_required",
    ),
    (
        "... is dropped: its connection has ended",
        "tests/it/order.rs",
        "a_topic_is_ordered_when_the_name_server_says_so",
    ),
    (
        "... was removed or moved away while the broker ran",
        "tests/it/stores.rs",
        "a_store_that_is_removed_or_moved_stops_its_broker_at_once",
    ),
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
