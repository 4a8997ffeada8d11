//! What a server cannot start without, as the gate judges it at each start.

use ringmq_io::gate::{
    DESCRIPTORS_MIN, DirectoryProbe, GateError, KERNEL_MIN, MEMLOCK_BYTES_MIN, MachineInfo,
    Subject, UringProbe, judge,
};

use super::condition::{Condition, Severity};

/// A row a subject of the gate. `connections`: how many a configuration allows.
pub fn rows(machine: &MachineInfo, connections: u64) -> Vec<Condition> {
    Subject::ALL
        .into_iter()
        .filter(|subject| *subject != Subject::Shards)
        .filter_map(|subject| {
            let row = row(machine, subject, connections)?;
            Some(match judge(machine, subject) {
                Ok(()) => row,
                Err(error) => row.but(Severity::Error, remedy(&error)),
            })
        })
        .collect()
}

/// The sentence of a start; where it ends with what to do, only that.
fn remedy(error: &GateError) -> String {
    let sentence = error.to_string();
    match sentence.rsplit_once("): ") {
        Some((_, remedy)) => remedy.to_owned(),
        None => sentence,
    }
}

fn row(machine: &MachineInfo, subject: Subject, connections: u64) -> Option<Condition> {
    Some(match subject {
        Subject::Kernel => {
            let (major, minor) = machine.kernel;
            let required = format!("Linux {}.{} or newer", KERNEL_MIN.0, KERNEL_MIN.1);
            Condition::new("kernel", required, format!("{major}.{minor}"))
        }
        Subject::LockedMemory => Condition::new(
            "locked memory",
            format!("a limit of {MEMLOCK_BYTES_MIN} bytes or more"),
            limit(machine.memlock_bytes),
        ),
        Subject::OpenFiles => open_files(machine.descriptors, connections),
        Subject::Uring => Condition::new("io_uring", "allowed", uring(machine)),
        Subject::Shards => return None,
        Subject::Cpus => Condition::new("CPUs", "one or more", cpus(&machine.cpus)),
        Subject::Directory => {
            let (path, probe) = machine.directory.as_ref()?;
            let name = format!("directory {}", path.display());
            Condition::new(name, "writable, with O_DIRECT", directory(probe))
        }
    })
}

fn open_files(limit_now: u64, connections: u64) -> Condition {
    let wanted = connections + DESCRIPTORS_MIN;
    let required =
        format!("{DESCRIPTORS_MIN}, better {wanted} (connectionsMax and files of the logs)");
    Condition::new("open files", required, limit(limit_now)).but_if(
        limit_now < wanted,
        Severity::Warning,
        "fewer connections than connectionsMax are taken; raise the limit (LimitNOFILE in the \
         systemd unit, docker run --ulimit nofile=65536, ulimit -Hn) or lower connectionsMax",
    )
}

fn limit(limit: u64) -> String {
    if limit == u64::MAX { "unlimited".to_owned() } else { limit.to_string() }
}

fn uring(machine: &MachineInfo) -> String {
    let filter = if machine.seccomp_filter { ", a seccomp filter" } else { "" };
    let disabled = match machine.uring_disabled {
        0 => String::new(),
        setting => format!(", kernel.io_uring_disabled = {setting}"),
    };
    match machine.uring {
        UringProbe::Works => format!("works{disabled}{filter}"),
        UringProbe::Failed(errno) => format!("refused with error {errno}{disabled}{filter}"),
    }
}

fn cpus(cpus: &[usize]) -> String {
    let names: Vec<String> = cpus.iter().take(8).map(usize::to_string).collect();
    let more = if cpus.len() > names.len() { ", ..." } else { "" };
    format!("{} ({}{more})", cpus.len(), names.join(", "))
}

fn directory(probe: &DirectoryProbe) -> String {
    match probe {
        DirectoryProbe::Usable => "both".to_owned(),
        DirectoryProbe::Missing(errno) => format!("no directory (error {errno})"),
        DirectoryProbe::NotWritable(errno) => format!("not writable (error {errno})"),
        DirectoryProbe::Volatile(kind) => format!("in memory ({kind})"),
        DirectoryProbe::NoDirectIo(errno) => format!("no O_DIRECT (error {errno})"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn of(machine: &MachineInfo, name: &str) -> Condition {
        let rows = rows(machine, 10_000);
        rows.into_iter().find(|row| row.name.starts_with(name)).expect("a row")
    }

    #[test]
    fn a_good_machine_has_rows_that_are_all_fine() {
        let rows = rows(&MachineInfo::sound(), 10_000);
        assert_eq!(rows.len(), 6);
        assert!(rows.iter().all(|row| row.severity == Severity::Ok), "{rows:?}");
    }

    #[test]
    fn what_a_start_refuses_is_an_error_with_the_remedy_of_the_start() {
        let refused = |machine: MachineInfo, name, found: &str, remedy: &str| {
            let row = of(&machine, name);
            assert_eq!(row.severity, Severity::Error, "{row:?}");
            assert!(row.found.contains(found) && row.remedy.contains(remedy), "{row:?}");
        };
        refused(
            MachineInfo { kernel: (5, 4), ..MachineInfo::sound() },
            "kernel",
            "5.4",
            "upgrade the kernel",
        );
        refused(
            MachineInfo { memlock_bytes: 65_536, ..MachineInfo::sound() },
            "locked memory",
            "65536",
            "LimitMEMLOCK",
        );
        refused(
            MachineInfo { descriptors: 256, ..MachineInfo::sound() },
            "open files",
            "256",
            "LimitNOFILE",
        );
        let uring = UringProbe::Failed(libc_eperm());
        refused(
            MachineInfo { uring, uring_disabled: 2, ..MachineInfo::sound() },
            "io_uring",
            "kernel.io_uring_disabled = 2",
            "sysctl -w kernel.io_uring_disabled=0",
        );
        refused(
            MachineInfo { uring, seccomp_filter: true, ..MachineInfo::sound() },
            "io_uring",
            "a seccomp filter",
            "--security-opt seccomp=unconfined",
        );
        let directory = Some((PathBuf::from("/dev/shm"), DirectoryProbe::Volatile("tmpfs")));
        refused(
            MachineInfo { directory, ..MachineInfo::sound() },
            "directory /dev/shm",
            "tmpfs",
            "ext4",
        );
    }

    fn libc_eperm() -> i32 {
        nix::errno::Errno::EPERM as i32
    }

    #[test]
    fn few_descriptors_are_a_warning_as_far_as_a_broker_starts() {
        let row = of(&MachineInfo { descriptors: 4096, ..MachineInfo::sound() }, "open files");
        assert_eq!(row.severity, Severity::Warning);
        let row = of(&MachineInfo { descriptors: u64::MAX, ..MachineInfo::sound() }, "open files");
        assert_eq!((row.severity, &*row.found), (Severity::Ok, "unlimited"));
    }
}
