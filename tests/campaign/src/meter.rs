//! Counts what a campaign has done, says so every few seconds, and knows when it is over.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

const LINE_EVERY: Duration = Duration::from_secs(5);
/// A campaign ends early with so many violations, unless told otherwise.
const VIOLATIONS_MAX: usize = 10;

/// What a campaign has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Totals {
    pub campaign: String,
    pub first_seed: u64,
    /// Seeds of workloads that were finished.
    pub seeds: u64,
    /// Disks as a crash or an injury left them, opened and checked.
    pub images: u64,
    /// Processes, those that opened an image included.
    pub runs: u64,
    /// Operations of the simulated disk.
    pub operations: u64,
    pub violations: u64,
    pub seconds: u64,
}

pub struct Meter {
    name: &'static str,
    first_seed: u64,
    began: Instant,
    /// When to stop whatever is left.
    deadline: Option<Instant>,
    seeds: AtomicU64,
    images: AtomicU64,
    runs: AtomicU64,
    operations: AtomicU64,
    violations: Mutex<Vec<String>>,
    line_due: Mutex<Instant>,
    quiet: bool,
    /// Further arguments that repeating a case needs.
    flags: String,
    violations_max: usize,
}

impl Meter {
    pub fn new(name: &'static str, first_seed: u64, time: Option<Duration>) -> Meter {
        let began = Instant::now();
        Meter {
            name,
            first_seed,
            began,
            deadline: time.map(|time| began + time),
            seeds: AtomicU64::new(0),
            images: AtomicU64::new(0),
            runs: AtomicU64::new(0),
            operations: AtomicU64::new(0),
            violations: Mutex::default(),
            line_due: Mutex::new(began + LINE_EVERY),
            quiet: false,
            flags: String::new(),
            violations_max: VIOLATIONS_MAX,
        }
    }

    /// Prints nothing, not even violations.
    pub fn quiet(name: &'static str, first_seed: u64, time: Option<Duration>) -> Meter {
        Meter { quiet: true, ..Meter::new(name, first_seed, time) }
    }

    pub fn with_flags(self, flags: &str) -> Meter {
        Meter { flags: flags.to_owned(), ..self }
    }

    /// Ends early with so many violations.
    pub fn with_violations_max(self, violations_max: usize) -> Meter {
        Meter { violations_max, ..self }
    }

    pub fn seed_done(&self) {
        self.seeds.fetch_add(1, Ordering::Relaxed);
    }

    /// An image was opened and checked.
    pub fn image(&self) {
        self.images.fetch_add(1, Ordering::Relaxed);
    }

    /// A process has ended that did so many operations.
    pub fn run(&self, operations: u64) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.operations.fetch_add(operations, Ordering::Relaxed);
        let mut due = self.line_due.lock().expect("no panic while locked");
        if Instant::now() >= *due && !self.quiet {
            *due = Instant::now() + LINE_EVERY;
            println!("{}", self.line());
        }
    }

    /// A promise was broken in the case `number` of the seed.
    pub fn violation(&self, seed: u64, number: u64, what: &str) {
        let (name, flags) = (self.name, &self.flags);
        let text = format!(
            "violation: {what}\n\
             repeat with: scripts/campaign {name} --seed {seed} --only {number}{flags}"
        );
        if !self.quiet {
            println!("{text}");
        }
        self.violations.lock().expect("no panic while locked").push(text);
    }

    pub fn first_violation(&self) -> Option<String> {
        self.violations.lock().expect("no panic while locked").first().cloned()
    }

    /// Time is out, or there are violations enough.
    pub fn is_over(&self) -> bool {
        let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let many = if self.quiet { 1 } else { self.violations_max };
        late || self.violations.lock().expect("no panic while locked").len() >= many
    }

    pub fn images(&self) -> u64 {
        self.images.load(Ordering::Relaxed)
    }

    pub fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    pub fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    pub fn totals(&self) -> Totals {
        let violations = self.violations.lock().expect("no panic while locked").len();
        Totals {
            campaign: self.name.to_owned(),
            first_seed: self.first_seed,
            seeds: self.seeds.load(Ordering::Relaxed),
            images: self.images(),
            runs: self.runs(),
            operations: self.operations.load(Ordering::Relaxed),
            violations: violations as u64,
            seconds: self.began.elapsed().as_secs(),
        }
    }

    pub fn line(&self) -> String {
        let Totals { campaign, first_seed, seeds, images, runs, operations, violations, .. } =
            self.totals();
        let seconds = self.seconds();
        format!(
            "{campaign}: {seeds} seeds from {first_seed}, {images} images ({:.0} a second), \
             {runs} runs, {operations} operations, {violations} violations, {seconds:.0} s",
            images as f64 / seconds.max(0.001),
        )
    }
}
