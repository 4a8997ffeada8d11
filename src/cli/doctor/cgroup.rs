//! Limits of the cgroup: processors and threads. Memory is the gate's.

use std::path::{Path, PathBuf};

use ringmq_io::gate::mounts;

use super::{
    condition::{Condition, Severity},
    files::Files,
};

/// Threads of a shard: executor, blocking, aside. Those of the process: main, log, pulse, store
/// watch, accounts, certificates, name server, resolvers.
const THREADS_OF_SHARD: u64 = 3;
const THREADS_OF_PROCESS: u64 = 16;

/// Whether `shards` executors get the processor time that they need.
pub fn cpu(files: &dyn Files, shards: usize) -> Condition {
    let required = format!("{shards} CPUs for {shards} shards");
    let least = of(files, "cpu", ("cpu.cfs_quota_us", "cpu.max"))
        .into_iter()
        .filter_map(|(path, text)| Some((quota(files, &path, &text)?, path)))
        .min_by(|(one, _), (other, _)| one.total_cmp(other));
    let Some((cpus, path)) = least else {
        return Condition::new("cgroup: CPU", required, "no limit");
    };
    let found = format!("{cpus:.2} CPUs ({})", path.display());
    let whole = (cpus.floor() as usize).max(1);
    Condition::new("cgroup: CPU", required, found).but_if(
        cpus < shards as f64,
        Severity::Warning,
        format!(
            "when its time is used up a shard stands still for up to 100 ms: raise the limit \
             (docker run --cpus, CPUQuota), or run {whole} (key shards)"
        ),
    )
}

/// CPUs of a limit; `None` if there is none.
fn quota(files: &dyn Files, path: &Path, text: &str) -> Option<f64> {
    let mut words = text.split_whitespace();
    let quota = words.next()?.parse::<f64>().ok()?;
    let period = match words.next() {
        Some(period) => period.parse().ok()?,
        None => files.number(path.with_file_name("cpu.cfs_period_us").to_str()?)? as f64,
    };
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

/// Whether `shards` executors can have the threads that they need.
pub fn pids(files: &dyn Files, shards: usize) -> Condition {
    let needed = THREADS_OF_SHARD * shards as u64 + THREADS_OF_PROCESS;
    let required = format!("{needed} threads for {shards} shards");
    let least = of(files, "pids", ("pids.max", "pids.max"))
        .into_iter()
        .filter_map(|(path, text)| {
            let most = text.trim().parse::<u64>().ok()?;
            let now = files.number(path.with_file_name("pids.current").to_str()?).unwrap_or(0);
            Some((most.saturating_sub(now), most, path))
        })
        .min_by_key(|(left, ..)| *left);
    let Some((left, most, path)) = least else {
        return Condition::new("cgroup: threads", required, "no limit");
    };
    let found = format!("{left} left of {most} ({})", path.display());
    Condition::new("cgroup: threads", required, found).but_if(
        left < needed,
        Severity::Warning,
        "a start may fail, and later a look-up of a name: raise the limit (docker run \
         --pids-limit, TasksMax in the systemd unit), or run fewer shards (key shards)",
    )
}

/// The files of the limit that can be read, from the process's own cgroup up.
fn of(files: &dyn Files, controller: &str, names: (&str, &str)) -> Vec<(PathBuf, String)> {
    let text = |path| files.text(path).unwrap_or_default();
    let (cgroup, mountinfo) = (text("/proc/self/cgroup"), text("/proc/self/mountinfo"));
    let paths = mounts::cgroup_files(&cgroup, &mountinfo, controller, names);
    let read = |path: PathBuf| Some((path.clone(), files.text(path.to_str()?)?));
    paths.into_iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::files::testing::{CLOUD, CONTAINER, DESK, Other},
        *,
    };

    #[test]
    fn limits_of_both_versions_are_judged() {
        for texts in [CLOUD, DESK, ""] {
            let row = cpu(&Other::new(texts), 64);
            assert_eq!((row.severity, &*row.found), (Severity::Ok, "no limit"));
        }
        let row = cpu(&Other::new(CONTAINER), 2);
        assert_eq!(row.severity, Severity::Warning);
        assert_eq!(row.found, "1.50 CPUs (/sys/fs/cgroup/cpu.max)");
        assert!(row.remedy.contains("run 1 (key shards)"), "{row:?}");
        assert_eq!(cpu(&Other::new(CONTAINER), 1).severity, Severity::Ok);
        let v1 = "== /sys/fs/cgroup/cpu/user/cpu.cfs_quota_us\n250000\n";
        assert_eq!(
            cpu(&Other::new(DESK).with(v1), 4).found,
            "2.50 CPUs (/sys/fs/cgroup/cpu/user/cpu.cfs_quota_us)"
        );
    }

    #[test]
    fn threads_that_are_left_are_counted() {
        assert_eq!(pids(&Other::new(CLOUD), 64).found, "no limit");
        let desk = pids(&Other::new(DESK), 4);
        assert_eq!(desk.found, "4505 left of 4915 (/sys/fs/cgroup/pids/user/pids.max)");
        assert_eq!(desk.severity, Severity::Ok);
        let few = pids(&Other::new(CONTAINER), 1);
        assert_eq!(few.found, "13 left of 16 (/sys/fs/cgroup/pids.max)");
        assert_eq!(few.severity, Severity::Warning);
    }
}
