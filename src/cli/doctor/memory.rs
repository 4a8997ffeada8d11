//! Memory: what there is of it, swap and huge pages.

use ringmq_base::units::human_bytes;
use ringmq_io::gate::MemoryLimit;

use super::{
    condition::{Condition, Severity},
    files::{Files, chosen},
};

/// What one shard with one log needs, see the README.
const BYTES_MIN: u64 = 128 << 20;
/// Above it the kernel swaps although there is memory.
const SWAPPINESS_MAX: u64 = 10;

/// What this process may use.
pub fn limit(limit: &MemoryLimit) -> Condition {
    let found = format!("{} ({limit})", human_bytes(limit.bytes));
    let required = format!("{} or more", human_bytes(BYTES_MIN));
    Condition::new("memory", required, found).but_if(
        limit.bytes < BYTES_MIN,
        Severity::Warning,
        "a broker needs that for one shard with one log: raise the limit (docker run --memory, \
         MemoryMax in the systemd unit)",
    )
}

/// What this process may use, and what a broker with so many shards stays under.
pub fn planned(limit: &MemoryLimit, shards: usize, bytes: u64) -> Condition {
    let required = format!("{} for the budgets of {shards} shards", human_bytes(bytes));
    let found = format!("{} ({limit})", human_bytes(limit.bytes));
    Condition::new("memory", required, found)
}

pub fn swap(files: &dyn Files) -> Option<Condition> {
    let text = files.text("/proc/swaps")?;
    let areas: Vec<&str> = text.lines().skip(1).filter(|line| !line.trim().is_empty()).collect();
    let kib = |line: &&str| line.split_whitespace().nth(2)?.parse::<u64>().ok();
    let bytes = areas.iter().filter_map(kib).fold(0, u64::saturating_add).saturating_mul(1024);
    let swappiness = files.number("/proc/sys/vm/swappiness").unwrap_or(60);
    let found = match areas.len() {
        0 => "none".to_owned(),
        _ => format!("{}, vm.swappiness = {swappiness}", human_bytes(bytes)),
    };
    let required = format!("none, or vm.swappiness of {SWAPPINESS_MAX} at most");
    Some(Condition::new("swap", required, found).but_if(
        !areas.is_empty() && swappiness > SWAPPINESS_MAX,
        Severity::Warning,
        "a shard that waits for memory to come back holds up all its clients: `swapoff -a`, or \
         `sysctl -w vm.swappiness=1`, in /etc/sysctl.d to last",
    ))
}

pub fn huge_pages(files: &dyn Files) -> Option<Condition> {
    let text = files.text("/sys/kernel/mm/transparent_hugepage/enabled")?;
    let found = chosen(&text)?.to_owned();
    let always = found == "always";
    Some(Condition::new("transparent huge pages", "madvise or never", found).but_if(
        always,
        Severity::Warning,
        "the kernel stops a shard to make huge pages, and the process may grow beyond its \
         budgets: `echo madvise > /sys/kernel/mm/transparent_hugepage/enabled`, at each boot to \
         last",
    ))
}

#[cfg(test)]
mod tests {
    use super::{
        super::files::testing::{CLOUD, CONTAINER, DESK, Other},
        *,
    };

    #[test]
    fn swap_and_huge_pages_of_other_machines_are_judged() {
        let swap = |texts| swap(&Other::new(texts)).expect("a row");
        assert_eq!((swap(CLOUD).severity, &*swap(CLOUD).found), (Severity::Ok, "none"));
        assert_eq!(swap(CONTAINER).severity, Severity::Ok, "nobody swaps without need");
        assert_eq!(swap(DESK).severity, Severity::Warning);
        assert_eq!(swap(DESK).found, "10.0 GiB, vm.swappiness = 60");
        let pages = |texts| huge_pages(&Other::new(texts)).expect("a row");
        assert_eq!((pages(CLOUD).severity, &*pages(CLOUD).found), (Severity::Ok, "madvise"));
        assert_eq!(pages(DESK).severity, Severity::Warning);
        assert_eq!(huge_pages(&Other::new("")), None);
        assert_eq!(super::swap(&Other::new("")), None);
    }

    #[test]
    fn too_little_memory_is_told_with_where_the_limit_is() {
        let little =
            MemoryLimit { bytes: 64 << 20, file: Some("/sys/fs/cgroup/memory.max".into()) };
        let row = limit(&little);
        assert_eq!(row.severity, Severity::Warning);
        assert_eq!(row.found, "64.0 MiB (/sys/fs/cgroup/memory.max)");
        assert_eq!(limit(&MemoryLimit { bytes: 1 << 30, file: None }).severity, Severity::Ok);
    }
}
