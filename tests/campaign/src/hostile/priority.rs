//! Who goes first on processors that honest clients, servers and attackers share: on a network
//! each would have its own, and what is measured is what the server makes honest clients wait for.

use std::{
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use nix::unistd::gettid;

/// Nice value of attackers.
const ATTACKERS: &str = "19";

/// Lets the session of an attacker, which [`attacker`] made, come after all others: where the
/// kernel shares processors out by sessions, nice values only count within one. Servers have the
/// usual value, as the threads of the kernel have that complete their writes: with a better one,
/// sends were seen to wait for tens of milliseconds, and in one session with attackers for seconds.
pub fn lower_session() {
    let _ = std::fs::write("/proc/self/autogroup", ATTACKERS);
}

/// A command that runs a program with the priority of attackers, in a session of its own.
pub fn attacker(program: &Path) -> Command {
    let mut command = Command::new("setsid");
    command.args(["nice", "-n", ATTACKERS]).arg(program);
    command
}

/// Lets the thread that calls go before all others; false if the machine does not allow it.
pub fn go_first() -> bool {
    let thread = gettid().to_string();
    let mut command = Command::new("chrt");
    command.args(["--rr", "--pid", "1", &thread]).stdin(Stdio::null());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
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
