//! A child process: output in a file, signals, what it costs, and whether it warned unexpectedly.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use ringmq_test_client::forget_environment;

use crate::output::Expected;

const LINE_TIMEOUT: Duration = Duration::from_secs(5);

/// When it is dropped, its warnings and errors must be those that were expected.
pub struct Process {
    child: Child,
    pub log: PathBuf,
    expected: Expected,
}

/// The binary under test.
pub fn binary() -> PathBuf {
    match std::env::var_os("RINGMQ_IT_BINARY") {
        Some(path) => path.into(),
        None => env!("CARGO_BIN_EXE_ringmq").into(),
    }
}

/// A directory of its own on the file system of the target directory.
pub fn directory(name: &str) -> tempfile::TempDir {
    let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(base).expect("the target directory can be written");
    let prefix = format!("{name}-");
    tempfile::Builder::new().prefix(&prefix).tempdir_in(base).expect("a new directory")
}

impl Process {
    pub fn start(arguments: &[&str], log: PathBuf) -> Process {
        let mut command = Command::new(binary());
        command.args(arguments);
        Process::spawn(command, log)
    }

    /// As [`Process::start`], with a limit of open files.
    pub fn start_with_open_files(arguments: &[&str], log: PathBuf, limit: u32) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &limit.to_string()]);
        command.arg(binary()).args(arguments);
        Process::spawn(command, log)
    }

    /// As [`Process::start`], in a cgroup from its first page of memory on.
    pub fn start_in_cgroup(arguments: &[&str], log: PathBuf, group: &Path) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]).arg(group.join("cgroup.procs"));
        command.arg(binary()).args(arguments);
        Process::spawn(command, log)
    }

    /// As [`Process::start`], with standard error to another place than standard output.
    pub fn start_with_errors_to(arguments: &[&str], log: PathBuf, errors: &Path) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 2>\"$0\""]).arg(errors);
        command.arg(binary()).args(arguments);
        Process::spawn(command, log)
    }

    /// Starts another command than the binary, which may become it.
    pub fn spawn(mut command: Command, log: PathBuf) -> Process {
        let output = File::create(&log).expect("the log can be created");
        forget_environment(&mut command);
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second descriptor"))
            .stderr(output)
            .spawn()
            .expect("the binary can be started");
        Process { child, log, expected: Expected::default() }
    }

    /// A warning or error with this part will come, and must.
    pub fn expects(&self, part: &str) {
        self.expected.expects(part);
    }

    /// Warnings and errors with this part may come.
    pub fn allows(&self, part: &str) {
        self.expected.allows(part);
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("pids are positive");
        kill(Pid::from_raw(pid), signal).expect("the process is ours");
    }

    /// Halts all its threads, until SIGCONT; when this returns, none of them runs any more.
    pub fn halt(&self) {
        self.signal(Signal::SIGSTOP);
        let pid = i32::try_from(self.child.id()).expect("pids are positive");
        let status = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WUNTRACED));
        assert!(matches!(status, Ok(WaitStatus::Stopped(..))), "{status:?}");
    }

    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// Ends it without warning and waits until it is gone.
    pub fn kill9(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Waits until it ends by itself; panics with its output if it does not.
    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "still runs after {timeout:?}; output:\n{}",
                self.output()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until it has said this.
    pub fn await_line(&mut self, part: &str) {
        let deadline = Instant::now() + 12 * LINE_TIMEOUT;
        while !self.output().contains(part) {
            let waits = self.ended().is_none() && Instant::now() < deadline;
            assert!(waits, "{part:?} is not said:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Resident bytes.
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(path).expect("the process runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        let number = line.split_whitespace().nth(1).expect("a number");
        number.parse::<u64>().expect("kilobytes") * 1024
    }

    /// User and system time in clock ticks of 10 ms.
    pub fn cpu_ticks(&self) -> u64 {
        let path = format!("/proc/{}/stat", self.pid());
        let stat = fs::read_to_string(path).expect("the process runs");
        let (_, behind_name) = stat.rsplit_once(')').expect("the name in parentheses");
        let fields: Vec<&str> = behind_name.split_whitespace().collect();
        let number = |index: usize| fields[index].parse::<u64>().expect("ticks");
        number(11) + number(12)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // a client may hear of something before the line that tells of it is written
        let deadline = Instant::now() + LINE_TIMEOUT;
        while !std::thread::panicking()
            && self.expected.is_missing(&self.output())
            && self.ended().is_none()
            && Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(2));
        }
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        // a test that fails already says why
        if std::thread::panicking() {
            return;
        }
        let output = fs::read_to_string(&self.log).expect("the log stays until the test ends");
        let problems = self.expected.problems(&output);
        assert!(
            problems.is_empty(),
            "announce what must come by `process.expects(PART)`:\n{}",
            problems.join("\n"),
        );
    }
}
