//! What a server says of the machine when it starts: the warnings of the doctor's table, as far as
//! they are found out by reading some files. What it cannot start without is up to the gate.

use std::path::Path;

use ringmq_io::confine;

use super::{
    cgroup, clock,
    condition::{Condition, Severity},
    device,
    files::{Files, Own},
    memory,
};

/// Says what is not as it should be for `shards` executors and, for a broker, a store in `store`,
/// which must exist: a line in the log each. From here on this process starts no programs.
pub fn say(store: Option<&Path>, shards: usize) {
    if let Err(error) = confine::deny_programs() {
        tracing::warn!(
            "this machine: the kernel does not let this process deny itself to start programs \
             ({error}); it starts none all the same"
        );
    }
    for row in warnings(&Own, store, shards) {
        tracing::warn!("{}", sentence(&row));
    }
}

fn sentence(row: &Condition) -> String {
    let Condition { name, required, found, remedy, .. } = row;
    format!("this machine: {name}: {found}, better {required}: {remedy}")
}

fn warnings(files: &dyn Files, store: Option<&Path>, shards: usize) -> Vec<Condition> {
    let mut rows = vec![cgroup::cpu(files, shards), cgroup::pids(files, shards)];
    rows.extend(memory::swap(files));
    rows.extend(memory::huge_pages(files));
    rows.extend(clock::source(files));
    let store = store.and_then(|store| store.canonicalize().ok());
    rows.extend(store.into_iter().flat_map(|store| device::rows(files, &store, "store")));
    rows.retain(|row| row.severity >= Severity::Warning);
    rows
}

#[cfg(test)]
mod tests {
    use super::{
        super::files::testing::{CLOUD, DESK, Other},
        *,
    };

    #[test]
    fn a_start_says_what_the_table_warns_of_and_nothing_else() {
        let root = Path::new("/");
        assert_eq!(warnings(&Other::new(CLOUD), Some(root), 4), []);
        let of_desk = warnings(&Other::new(DESK), Some(root), 4);
        let names: Vec<&str> = of_desk.iter().map(|row| row.name.as_str()).collect();
        let expected = [
            "swap",
            "transparent huge pages",
            "clock source",
            "file system of the store",
            "I/O scheduler of the store",
        ];
        assert_eq!(names, expected);
        let said = sentence(&of_desk[0]);
        assert!(said.starts_with("this machine: swap: ") && said.contains(", better "), "{said}");
        assert_eq!(warnings(&Other::new(DESK), None, 1).len(), 3);
    }
}
