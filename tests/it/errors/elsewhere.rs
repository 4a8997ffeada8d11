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
        "cannot grow by ... bytes, ... are free; free some space",
        "src/broker/testing/failed_writes.rs",
        "sends_that_meet_a_log_without_room_are_told_why",
    ),
    (
        "no room is left in the log since ...; it is tried again every moment",
        "src/broker/testing/failed_writes.rs",
        "sends_that_meet_a_log_without_room_are_told_why",
    ),
    (
        "the log accepts no more writes since an operation of its device failed (...); ...",
        "src/broker/testing/failed_writes.rs",
        "whoever_waits_for_a_write_that_fails_is_refused",
    ),
    (
        "the metadata log cannot be written: ...; try again later",
        "src/broker/testing/metadata.rs",
        "refused_and_taken_again",
    ),
    (
        "the consumer offset is not stored: for ... ms ...",
        "src/broker/testing/offsets.rs",
        "a_failure_that_lasts_is_refused_to_clients_and_shown_until_it_is_over",
    ),
    (
        "memory, the limit is ... (key timerMemoryBytesMax, shared by the logs); ...",
        "src/broker/engines/timer/tests.rs",
        "what_cannot_be_kept_back_is_refused",
    ),
    (
        "takes more than ... steps",
        "tests/it/filters.rs",
        "an_expression_that_takes_too_long_is_refused_and_is_no_fault_of_the_broker",
    ),
    (
        "the broker[...] for lite pull consumer is forbidden",
        "tests/it/limits.rs",
        "lite_pulls_can_be_switched_off",
    ),
    (
        "Group ... does not exist",
        "tests/it/resets.rs",
        "one_queue_is_reset_to_an_offset_whether_its_group_is_online_or_not",
    ),
    (
        "The producer group wrong",
        "src/broker/testing/transactions.rs",
        "an_end_that_does_not_fit_its_half_changes_nothing",
    ),
    (
        "Offset has been previously reset",
        "tests/it/resets.rs",
        "a_reset_is_told_to_all_members_and_holds_against_their_old_commits",
    ),
    (
        "The accesskey[...] corresponding to accessConfig has been deleted failed.",
        "tests/it/access/changes.rs",
        "administrators_change_accounts_for_good",
    ),
    (
        "... has no certificates",
        "tests/it/tls/reload.rs",
        "files_that_are_no_certificates_stop_the_start",
    ),
    (
        "... has no private key",
        "tests/it/tls/reload.rs",
        "files_that_are_no_certificates_stop_the_start",
    ),
    (
        "certificates have changed and are not taken",
        "tests/it/tls/reload.rs",
        "new_certificates_are_taken_without_a_restart_and_bad_ones_are_not",
    ),
    (
        "the files with accounts have changed and are not taken",
        "tests/it/access/changes.rs",
        "files_that_change_count_within_a_second",
    ),
    (
        "connection closed: TLS: its TLS handshake takes longer than ...",
        "tests/it/tls/bounds.rs",
        "a_handshake_that_is_not_finished_is_closed_and_holds_nobody_up",
    ),
    (
        "its peer changes keys (KeyUpdate), and the kernel takes no others ...",
        "src/tls/kernel/tests.rs",
        "a_kernel_that_takes_keys_once_costs_the_connection_when_its_peer_changes_them",
    ),
    (
        "SIGHUP: ... the configuration of before stays in force",
        "tests/it/reload.rs",
        "a_file_that_is_wrong_changes_nothing",
    ),
    (
        "SIGHUP: takes effect with the next start: ...",
        "tests/it/reload.rs",
        "live_keys_of_the_file_count_on_every_shard_and_others_are_named",
    ),
    (
        "disk too full: sends are refused",
        "tests/it/errors/service.rs",
        "a_broker_without_space_says_so",
    ),
    ("no sign of life for ...", "tests/it/service.rs", "a_stuck_shard_is_no_sign_of_life"),
    ("no broker knows the group ...", "tests/it/commands/describe.rs", "a_group_is_diagnosed"),
    (
        "query message by key finished, but no message: ...",
        "tests/it/commands/accounts.rs",
        "traces_are_shown",
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
    (
        "topic[...] is not created: the broker has ... topics, the most it may have",
        "src/broker/testing/full_tables.rs",
        "no_more_topics_are_made_than_there_may_be",
    ),
    (
        "group[...] is not created: the broker has ... subscription groups, the most it may have",
        "src/broker/testing/full_tables.rs",
        "no_more_groups_are_made_than_there_may_be",
    ),
    (
        "topic[...] is not deleted: what the broker remembers of ... deleted topics takes ...",
        "src/broker/testing/full_tables.rs",
        "no_more_deleted_topics_are_remembered_than_fit",
    ),
    (
        "the offset of group[...] in topic[...] is not stored: the consumer offsets of ...",
        "src/broker/testing/full_tables.rs",
        "no_more_consumer_offsets_are_kept_than_fit",
    ),
    (
        "client ... cannot join group ..., or subscribe to more there: its groups take ...",
        "src/broker/testing/full_tables.rs",
        "a_connection_is_in_no_more_groups_than_fit",
    ),
    (
        "the attributes of ... are not stored: those of all of its kind take ...",
        "src/broker/testing/full_tables.rs",
        "no_more_attributes_are_kept_than_fit",
    ),
    (
        "whether topic[...] is deleted is decided by the next start: the metadata log failed ...",
        "src/broker/testing/deletions.rs",
        "delete_in_doubt",
    ),
    (
        "damaged key index in ...; the run is not used any more, ...",
        "src/broker/testing/damaged_keys.rs",
        "damage_in_the_key_index_is_told_to_who_looks_for_a_key_and_in_the_log",
    ),
    (
        "damaged run of the key index: these messages are not found by key any more",
        "src/broker/testing/damaged_keys.rs",
        "damage_in_the_key_index_is_told_to_who_looks_for_a_key_and_in_the_log",
    ),
    (
        "damaged key index",
        "src/store/testing/verify.rs",
        "damage_in_the_key_index_is_found_and_is_no_damage_of_the_log",
    ),
    (
        "this machine: ..., better ...",
        "src/cli/doctor/at_start.rs",
        "a_start_says_what_the_table_warns_of_and_nothing_else",
    ),
    (
        "not stopped within ...: the process ends now",
        "tests/it/service.rs",
        "a_shard_that_is_stuck_does_not_keep_the_process_from_ending",
    ),
    (
        "... log lines were left out: standard error was not read",
        "src/cli/logging/lines.rs",
        "how_many_lines_found_no_room_is_told_when_there_is_some",
    ),
    (
        "topic ... has no such queue that can be ...: see topicRoute",
        "tests/it/commands/pipes.rs",
        "what_is_wrong_is_said_once",
    ),
    ("... messages were stored: ...", "tests/it/commands/pipes.rs", "what_is_wrong_is_said_once"),
    (
        "line ...: it has no key: -K is not in it",
        "tests/it/commands/pipes.rs",
        "what_is_wrong_is_said_once",
    ),
    (
        "line ...: its body is empty, which brokers do not take",
        "tests/it/commands/pipes.rs",
        "what_is_wrong_is_said_once",
    ),
    ("line ...: it is no JSON", "tests/it/commands/pipes.rs", "what_is_wrong_is_said_once"),
    (
        "line ...: it has neither a text body nor bodyHex",
        "tests/it/commands/pipes.rs",
        "what_is_wrong_is_said_once",
    ),
    (
        "group ... has no dead letters",
        "tests/it/commands/dead_letters.rs",
        "dead_letters_are_shown_and_sent_again",
    ),
    (
        "queues are not locked, so nobody consumes them in order: all locks take ...",
        "src/broker/testing/full_tables.rs",
        "queues_that_are_not_locked_for_want_of_room_are_said",
    ),
    (
        "... messages do not say what topic they come from: -t names one",
        "tests/it/commands/dead_letters.rs",
        "dead_letters_are_shown_and_sent_again",
    ),
    (
        "log fenced",
        "src/broker/testing/failed_writes.rs",
        "whoever_waits_for_a_write_that_fails_is_refused",
    ),
    ("metadata log fenced", "src/broker/testing/deletions.rs", "delete_in_doubt"),
    (
        "the log cannot grow; appends are refused when its space is used up",
        "src/broker/testing/failed_writes.rs",
        "sends_that_meet_a_log_without_room_are_told_why",
    ),
    (
        "consumer offsets are not durable: ...",
        "src/broker/testing/offsets.rs",
        "a_failure_that_lasts_is_refused_to_clients_and_shown_until_it_is_over",
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
