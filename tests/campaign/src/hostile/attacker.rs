//! An attack as a process of its own: it goes on until it is killed, which closes all it has open.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use super::{
    attacks::{ATTACKS, Attack},
    priority,
};

/// What takes processors as attackers do, and nothing else.
const SPINNER: Attack = Attack { name: "spinner", run: |_| priority::spin() };
const LINE_EVERY: Duration = Duration::from_millis(500);
/// Pause of an attacker whose connection was closed.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// What an attack is led against.
#[derive(Debug)]
pub struct Target {
    pub broker: SocketAddr,
    pub names: SocketAddr,
    /// Attacks that go on at the same time: they share what one of them does alone, or the machine
    /// would be busy with the attackers.
    pub together: u32,
    tally: Mutex<BTreeMap<String, u64>>,
}

impl Target {
    pub fn new(broker: SocketAddr, names: SocketAddr, together: u32) -> Target {
        Target { broker, names, together: together.max(1), tally: Mutex::default() }
    }

    fn tally(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.tally.lock().expect("no panic while locked")
    }

    /// Counts something that was done or answered.
    pub fn count(&self, what: impl Into<String>) {
        *self.tally().entry(what.into()).or_default() += 1;
    }

    /// Counts an answer by its code.
    pub fn answered(&self, answer: &io::Result<ringmq_test_client::Answer>) {
        match answer {
            Ok(answer) => self.count(format!("answer {}", answer.code)),
            Err(error) => self.count(format!("{:?}", error.kind())),
        }
    }

    /// A pace of so many turns a second when the attack is alone.
    pub fn pace(&self, a_second: f64) -> Pace {
        // four at the same time still do as much as each alone
        let share = f64::from(self.together.div_ceil(4));
        Pace { every: Duration::from_secs_f64(share / a_second), due: Instant::now() }
    }
}

/// Keeps a loop to its pace.
pub struct Pace {
    every: Duration,
    due: Instant,
}

impl Pace {
    /// Sleeps until the next turn; turns that were missed are not made up for.
    pub fn wait(&mut self) {
        self.due = (self.due + self.every).max(Instant::now());
        thread::sleep(self.due.saturating_duration_since(Instant::now()));
    }
}

/// Runs the attack of this name until the process is killed.
pub fn attack(name: &str, target: &Target) {
    priority::lower_session();
    let found = ATTACKS.iter().chain([&SPINNER]).find(|attack| attack.name == name);
    let Attack { run, .. } = found.unwrap_or_else(|| panic!("no attack is called {name}"));
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                thread::sleep(LINE_EVERY);
                let all: Vec<String> = target
                    .tally()
                    .iter()
                    .map(|(what, count)| format!("{count} x {what}"))
                    .collect();
                println!("{}", all.join(", "));
            }
        });
        loop {
            if let Err(error) = run(target) {
                target.count(format!("{:?}", error.kind()));
            }
            thread::sleep(AGAIN_AFTER);
        }
    });
}

/// A process for every processor that takes all it gets of it, with the priority of attackers.
pub fn spinners(directory: &Path) -> Vec<Attacker> {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
    let target = Target::new(nobody, nobody, 1);
    let processors = thread::available_parallelism().map_or(1, usize::from);
    (0..processors).map(|_| Attacker::start(&SPINNER, &target, directory)).collect()
}

/// A running attack; dropping it kills it.
pub struct Attacker {
    child: Child,
    output: PathBuf,
}

impl Attacker {
    pub fn start(attack: &Attack, target: &Target, directory: &Path) -> Attacker {
        let output = directory.join(format!("attack-{}.log", attack.name));
        let file = File::create(&output).expect("the directory can be written");
        let program = std::env::current_exe().expect("a program has a path");
        let child = priority::attacker(&program)
            .args(["attacker", "--only", attack.name])
            .args(["--broker", &target.broker.to_string()])
            .args(["--namesrv", &target.names.to_string()])
            .args(["--together", &target.together.to_string()])
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second descriptor"))
            .stderr(file)
            .spawn()
            .expect("setsid and nice can be started");
        Attacker { child, output }
    }

    /// Ends it; returns what it counted.
    pub fn end(mut self) -> String {
        let died = self.child.try_wait().ok().flatten();
        self.kill();
        let output = std::fs::read_to_string(&self.output).unwrap_or_default();
        match died {
            Some(status) => format!("THE ATTACKER ENDED, {status}: {output}"),
            None => output.lines().last().unwrap_or_default().to_owned(),
        }
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        self.kill();
    }
}
