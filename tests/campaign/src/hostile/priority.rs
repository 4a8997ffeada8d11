//! Who goes first on processors that honest clients, servers and attackers share: on a network
//! each would have its own, and what is measured is what the server makes honest clients wait for.

use std::{
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use nix::unistd::gettid;

/// Nice value of attackers.
pub const ATTACKERS: &str = "19";
/// Nice value of servers, which go before whatever else the machine does.
pub const SERVERS: &str = "-10";

/// Of the session that this program is in, with all that it starts, against other sessions: where
/// the kernel shares processors out by sessions, nice values only count within one.
const SESSION: &str = "-10";

/// Lets the session of this program go before others. Where that is not allowed, or processors are
/// not shared out by sessions, nothing changes.
pub fn raise_session() {
    let _ = std::fs::write("/proc/self/autogroup", SESSION);
}

/// Lets the thread that calls go before all others; false if the machine does not allow it.
pub fn go_first() -> bool {
    let thread = gettid().to_string();
    let mut command = Command::new("chrt");
    command.args(["--rr", "--pid", "1", &thread]).stdin(Stdio::null());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A command that runs a program with the priority of servers, or with the usual one if that is all
/// that the machine allows.
pub fn server(program: &str) -> Command {
    if !may_raise() {
        return Command::new(program);
    }
    let mut command = Command::new("nice");
    command.args(["-n", SERVERS, program]);
    command
}

/// Whether `nice` may raise a priority: where it may not, it complains and goes on.
fn may_raise() -> bool {
    let shown = |arguments: &[&str]| {
        let output = Command::new("nice").args(arguments).stderr(Stdio::null()).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse::<i32>().ok()
    };
    shown(&["-n", SERVERS, "nice"]).zip(shown(&[])).is_some_and(|(raised, usual)| raised < usual)
}

/// What the threads of a process had of the processors until now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Processors {
    /// Time that they ran, of all threads.
    pub ran: Duration,
    /// The longest time that one of them was ready and waited for its turn.
    pub waited: Duration,
}

impl Processors {
    /// Of a running process; zeros if the kernel does not tell.
    pub fn of(process: u32) -> Processors {
        let mut all = Processors::default();
        let tasks = std::fs::read_dir(format!("/proc/{process}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let mut times = text.split_whitespace().map_while(|word| word.parse().ok());
            let mut next = || Duration::from_nanos(times.next().unwrap_or(0));
            let (ran, waited) = (next(), next());
            all.ran += ran;
            all.waited = all.waited.max(waited);
        }
        all
    }

    /// What was added since.
    pub fn since(&self, before: &Processors) -> Processors {
        Processors {
            ran: self.ran.saturating_sub(before.ran),
            waited: self.waited.saturating_sub(before.waited),
        }
    }
}

/// Takes all that it gets of one processor, for ever.
pub fn spin() -> ! {
    loop {
        for _ in 0..1_000_000 {
            std::hint::spin_loop();
        }
        thread::yield_now();
    }
}
