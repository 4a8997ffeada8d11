//! The attacks by name. Each is a function that does a round of it and is called again and again;
//! an error is a connection that was closed on it.

mod admin;
mod filters;
mod frames;
mod heartbeats;
mod lists;
mod names;
mod pulls;
mod readers;
mod routes;
mod sends;
pub mod signatures;
mod transactions;

use std::io;

use super::attacker::Target;

/// One way to harm a broker or a name server.
pub struct Attack {
    pub name: &'static str,
    pub run: fn(&Target) -> io::Result<()>,
}

macro_rules! attacks {
    ($($name:literal => $run:path;)*) => {
        pub const ATTACKS: &[Attack] = &[$(Attack { name: $name, run: $run },)*];
    };
}

attacks! {
    "half-frames" => frames::half_frames;
    "bad-frames" => frames::bad_frames;
    "resets" => frames::resets;
    "deaf-readers" => readers::deaf_readers;
    "long-offsets" => names::long_offsets;
    "long-locks" => names::long_locks;
    "long-subscriptions" => names::long_subscriptions;
    "many-groups" => names::many_groups;
    "heartbeats" => heartbeats::large;
    "empty-objects" => heartbeats::empty_objects;
    "sql-doubling" => filters::doubling;
    "sql-terms" => filters::many_terms;
    "expiring-pulls" => pulls::expire_together;
    "unmatched-pulls" => pulls::never_match;
    "dead-pulls" => pulls::dead;
    "false-brokers" => routes::false_brokers;
    "empty-batches" => sends::empty_batches;
    "half-floods" => transactions::half_floods;
    "false-ends" => transactions::false_ends;
    "false-signatures" => signatures::false_signatures;
    "many-offsets" => admin::many_offsets;
    "long-lists" => lists::long_lists;
    "escapes" => admin::escapes;
}

/// The attack of a name.
pub fn named(name: &str) -> Option<&'static Attack> {
    ATTACKS.iter().find(|attack| attack.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_there_once() {
        for attack in ATTACKS {
            assert_eq!(named(attack.name).map(|found| found.name), Some(attack.name));
            assert_eq!(ATTACKS.iter().filter(|other| other.name == attack.name).count(), 1);
        }
        assert!(named("nothing").is_none());
    }
}
