use super::*;

fn refused(errno: i32) -> MachineInfo {
    MachineInfo { uring: UringProbe::Failed(errno), ..MachineInfo::sound() }
}

/// The machine, the error, and what its sentence must name as the remedy.
type Row = (MachineInfo, GateError, &'static str);

fn assert_rows(rows: Vec<Row>) {
    for (machine, error, remedy) in rows {
        assert_eq!(decide(&machine), Err(error.clone()), "{machine:?}");
        let sentence = error.to_string();
        assert!(sentence.contains(remedy), "{sentence}");
        assert!(!sentence.contains("  ") && !sentence.contains('\n'), "{sentence}");
    }
}

#[test]
fn every_limit_has_its_error_and_its_remedy() {
    assert_rows(vec![
        (
            MachineInfo { kernel: (5, 12), ..MachineInfo::sound() },
            GateError::KernelTooOld { major: 5, minor: 12 },
            "upgrade",
        ),
        (
            MachineInfo { memlock_bytes: 65_536, ..MachineInfo::sound() },
            GateError::MemlockTooLow { limit: 65_536 },
            "LimitMEMLOCK",
        ),
        (
            MachineInfo { descriptors: 256, ..MachineInfo::sound() },
            GateError::TooFewDescriptors { limit: 256 },
            "LimitNOFILE",
        ),
        (MachineInfo { shards: 0, ..MachineInfo::sound() }, GateError::NoShards, "number of CPUs"),
        (MachineInfo { cpus: vec![], ..MachineInfo::sound() }, GateError::NoCpus, "cpuset"),
    ]);
}

#[test]
fn every_way_to_lack_io_uring_has_its_error_and_its_remedy() {
    assert_rows(vec![
        (
            MachineInfo { uring_disabled: 2, ..refused(libc::EPERM) },
            GateError::DisabledBySysctl { setting: 2 },
            "sysctl -w",
        ),
        (
            MachineInfo { uring_disabled: 1, seccomp_filter: true, ..refused(libc::EPERM) },
            GateError::DisabledBySysctl { setting: 1 },
            "sysctl -w",
        ),
        (
            MachineInfo { seccomp_filter: true, ..refused(libc::EPERM) },
            GateError::BlockedBySeccomp { errno: libc::EPERM },
            "--security-opt seccomp",
        ),
        (
            MachineInfo { seccomp_filter: true, ..refused(libc::ENOSYS) },
            GateError::BlockedBySeccomp { errno: libc::ENOSYS },
            "--security-opt seccomp",
        ),
        (refused(libc::EPERM), GateError::Refused { errno: libc::EPERM }, "security module"),
        (refused(libc::ENOSYS), GateError::NotInKernel, "CONFIG_IO_URING"),
        (refused(libc::ENOMEM), GateError::NoLockableMemory { limit: 8 << 20 }, "--ulimit memlock"),
        (refused(libc::EMFILE), GateError::TooFewDescriptors { limit: 65_536 }, "--ulimit nofile"),
        (refused(libc::EINVAL), GateError::UringBroken { errno: libc::EINVAL }, "ringmq doctor"),
    ]);
}

#[test]
fn every_unfit_directory_has_its_error_and_its_remedy() {
    let path = || PathBuf::from("/store");
    let on =
        |directory| MachineInfo { directory: Some((path(), directory)), ..MachineInfo::sound() };
    assert_rows(vec![
        (
            on(DirectoryProbe::Missing(libc::ENOENT)),
            GateError::Directory {
                path: path(),
                reason: "it is not a directory",
                errno: libc::ENOENT,
            },
            "create it",
        ),
        (
            on(DirectoryProbe::NotWritable(libc::EACCES)),
            GateError::Directory {
                path: path(),
                reason: "no file can be created in it",
                errno: libc::EACCES,
            },
            "user that runs",
        ),
        (
            on(DirectoryProbe::Volatile("tmpfs")),
            GateError::VolatileFileSystem { path: path(), kind: "tmpfs" },
            "ext4 or XFS",
        ),
        (
            on(DirectoryProbe::NoDirectIo(libc::EINVAL)),
            GateError::NoDirectIo { path: path(), errno: libc::EINVAL },
            "ext4 or XFS",
        ),
    ]);
}

#[test]
fn a_good_machine_passes_and_is_described() {
    let report = decide(&MachineInfo::sound()).expect("nothing is in the way");
    assert_eq!(report.cpus, [0, 1]);
    assert!(!report.shares_cpus);
    let crowded = decide(&MachineInfo { shards: 3, ..MachineInfo::sound() })
        .expect("more shards than CPUs may run");
    assert!(crowded.shares_cpus);
    assert!(decide(&MachineInfo { directory: None, ..MachineInfo::sound() }).is_ok());
    assert!(decide(&MachineInfo { kernel: (5, 13), ..MachineInfo::sound() }).is_ok());
}

#[test]
fn versions_and_filters_are_read_as_the_kernel_writes_them() {
    assert_eq!(machine_info::parse_version("6.18.44-fc-v595"), Some((6, 18)));
    assert_eq!(machine_info::parse_version("5.8-rc1"), Some((5, 8)));
    assert_eq!(machine_info::parse_version("unknown"), None);
    assert!(machine_info::has_seccomp_filter("Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n"));
    assert!(!machine_info::has_seccomp_filter("Seccomp:\t0\nSeccomp_filters:\t0\n"));
}

#[test]
fn the_machine_that_runs_the_tests_passes_except_for_memory_file_systems() {
    // Beside the test program, for the usual place of temporary files may be in memory.
    let program = std::env::current_exe().expect("a running program has a path");
    let target = program.parent().expect("a program is in a directory");
    let directory = tempfile::tempdir_in(target).expect("the target directory is writable");
    let report = check(Some(directory.path()), 1).expect("tests need what the broker needs");
    assert!(report.memlock_bytes >= MEMLOCK_BYTES_MIN);
    assert!(directory.path().read_dir().expect("it exists").next().is_none(), "no file is left");
    let missing = directory.path().join("missing");
    assert!(matches!(
        check(Some(&missing), 1),
        Err(GateError::Directory { errno: libc::ENOENT, .. })
    ));
    if Path::new("/dev/shm").is_dir() {
        assert!(matches!(
            check(Some(Path::new("/dev/shm")), 1),
            Err(GateError::VolatileFileSystem { kind: "tmpfs", .. })
        ));
    }
}

#[test]
fn files_get_their_descriptors_before_connections() {
    // D3: with a limit of 1,100, more than a thousand connections left none for a log.
    assert_eq!(descriptors_for_connections(1100, 300, 2), 1100 - 300 - 64 - 48);
    assert_eq!(descriptors_for_connections(1_048_576, 9_000, 2), 1_048_576 - 9_000 - 112);
    assert_eq!(descriptors_for_connections(4096, 90_000, 2), 1024, "a quarter at least");
    assert!(descriptor_limit() > 0);
    assert!(disk_bytes(Path::new("/")).expect("a file system") > 1 << 20);
}

/// Lines as they are read on machines with version 1, version 2 and both, and in containers.
#[test]
fn the_least_limit_of_the_cgroup_and_those_above_it_counts() {
    use super::memory::cgroup_limit;
    const V1: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";
    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate";
    const CONTAINER: &str =
        "700 1 0:32 /docker/x /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory";
    type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)], u64);
    let rows: &[Row] = &[
        ("9:cpu,cpuacct:/\n4:memory:/a/b\n0::/", V1, &[("memory/a/b", "4096\n")], 4096),
        ("4:memory:/a/b\n0::/", V1, &[("memory/a", "8192"), ("memory/a/b", "9000")], 8192),
        ("4:memory:/a\n0::/", V1, &[("memory/a", "9223372036854771712")], 0),
        ("0::/a/b", V2, &[("a", "7000"), ("a/b", "max")], 7000),
        ("0::/", V2, &[("", "5000")], 5000),
        ("4:memory:/docker/x", CONTAINER, &[("memory", "6000"), ("memory/docker/x", "1")], 6000),
        ("4:memory:/other", CONTAINER, &[("memory", "6000")], 6000),
        ("garbage\n\n4:memory", "garbage\n- -\n1 2 - cgroup2", &[], 0),
    ];
    for (cgroup, mounts, files, expected) in rows {
        let found = cgroup_limit(cgroup, mounts, |path| {
            let directory = path.parent()?.strip_prefix("/sys/fs/cgroup").ok()?;
            let file = files.iter().find(|(name, _)| Path::new(name) == directory)?;
            Some(file.1.to_owned())
        });
        assert_eq!(found.map_or(0, |(bytes, _)| bytes), *expected, "{cgroup} {mounts}");
    }
    assert_eq!(super::memory::machine_bytes("MemFree: 1 kB\nMemTotal:   2048 kB\n"), Some(2 << 20));
    assert!(memory_limit().bytes > 1 << 20);
}
