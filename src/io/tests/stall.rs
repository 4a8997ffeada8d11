//! Does an executor ever sleep while there is something to do? Millions of round trips between
//! two executors, over mailboxes and over sockets, idle, loaded and mixed, at the settings of
//! production.
//!
//! `cargo test --release -p ringmq-io --test stall -- --nocapture`. `RINGMQ_STALL_ROUND_TRIPS` is
//! the number of round trips (1,000,000 in release builds), `RINGMQ_STALL_PREEMPT_MS` another
//! preempt timer, `RINGMQ_STALL_MODE` picks the modes whose name contains it. A watchdog tells
//! where the threads are when nothing moves, and ends the process after ten seconds of that.

use std::{
    cell::RefCell,
    env,
    net::SocketAddr,
    path::PathBuf,
    process,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use ringmq_io::{
    BlockBuffer, Clock, Disk, File, Listener, Net, OpenMode, Runtime, Shares, Spawn, Stream,
    launch::{Settings, allowed_cpus, launch_with},
    mailbox::{Receiver, Sender, mailbox},
    ring::{RingRuntime, RingStream},
    signal::{OneshotReceiver, oneshot},
};

const PATIENCE: Duration = Duration::from_secs(10);

struct Mode {
    name: &'static str,
    /// Share of all round trips, in a thousand.
    per_mille: u64,
    mailbox_lanes: usize,
    socket_lanes: usize,
    /// Both executors also compute, sleep and write to the disk.
    loaded: bool,
}

const MODES: [Mode; 5] = [
    Mode { name: "mailbox idle", per_mille: 150, mailbox_lanes: 1, socket_lanes: 0, loaded: false },
    Mode { name: "socket idle", per_mille: 150, mailbox_lanes: 0, socket_lanes: 1, loaded: false },
    Mode {
        name: "mailbox loaded",
        per_mille: 250,
        mailbox_lanes: 8,
        socket_lanes: 0,
        loaded: true,
    },
    Mode { name: "socket loaded", per_mille: 250, mailbox_lanes: 0, socket_lanes: 8, loaded: true },
    Mode { name: "mixed", per_mille: 200, mailbox_lanes: 4, socket_lanes: 4, loaded: true },
];

static PROGRESS: AtomicU64 = AtomicU64::new(0);

/// The longest time in microseconds by which a sleep of the current mode was late: of a plain
/// thread, which tells of a busy machine, and of the executors.
static THREAD_LATE: AtomicU64 = AtomicU64::new(0);
static EXECUTOR_LATE: AtomicU64 = AtomicU64::new(0);

/// Round trips that take longer than this, and ten times longer than the machine was late, count as
/// stuck for a while.
const ROUND_TRIP_MAX: Duration = Duration::from_millis(500);

type Times = Rc<RefCell<Histogram<u64>>>;

#[test]
fn no_round_trip_is_ever_stuck() {
    let preset = if cfg!(debug_assertions) { 10_000 } else { 1_000_000 };
    let total = number_from_environment("RINGMQ_STALL_ROUND_TRIPS", preset);
    let current = Arc::new(Mutex::new("start"));
    let done = Arc::new(AtomicBool::new(false));
    let watchdog = thread::spawn({
        let (current, done) = (current.clone(), done.clone());
        move || watch(&current, &done)
    });
    let only = env::var("RINGMQ_STALL_MODE").unwrap_or_default();
    for mode in MODES.iter().filter(|mode| mode.name.contains(&only)) {
        *current.lock().expect("nobody panics with it") = mode.name;
        let start = Instant::now();
        let times = run(mode, total * mode.per_mille / 1000);
        let thread_late = THREAD_LATE.swap(0, Ordering::Relaxed);
        let executor_late = EXECUTOR_LATE.swap(0, Ordering::Relaxed);
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        println!(
            "{:15} n {:9} in {:5.1} s; us p50 {:.1} p99 {:.1} p99.9 {:.1} max {:.1}; \
             over 15 ms: {}; late us: thread {thread_late}, executor {executor_late}",
            mode.name,
            times.len(),
            start.elapsed().as_secs_f64(),
            micros(times.value_at_quantile(0.5)),
            micros(times.value_at_quantile(0.99)),
            micros(times.value_at_quantile(0.999)),
            micros(times.max()),
            times.count_between(15_000_000, u64::MAX / 2),
        );
        let limit = ROUND_TRIP_MAX.max(Duration::from_micros(thread_late) * 10);
        assert!(Duration::from_nanos(times.max()) < limit, "a round trip was stuck for a while");
    }
    done.store(true, Ordering::Relaxed);
    watchdog.join().expect("the watchdog ends");
}

fn number_from_environment(name: &str, preset: u64) -> u64 {
    env::var(name).map_or(preset, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}"))
    })
}

const TICK: Duration = Duration::from_millis(20);

fn note_late(longest: &AtomicU64, asleep: Instant) {
    let late = asleep.elapsed().saturating_sub(TICK).as_micros();
    longest.fetch_max(u64::try_from(late).expect("no sleep takes ages"), Ordering::Relaxed);
}

/// Tells where the threads are when nothing moves for a moment; ends the process if that lasts.
fn watch(current: &Mutex<&'static str>, done: &AtomicBool) {
    let (mut last, mut since, mut told) = (u64::MAX, Instant::now(), 0);
    while !done.load(Ordering::Relaxed) {
        let asleep = Instant::now();
        thread::sleep(TICK);
        note_late(&THREAD_LATE, asleep);
        let progress = PROGRESS.load(Ordering::Relaxed);
        if progress != last {
            (last, since, told) = (progress, Instant::now(), 0);
            continue;
        }
        let standing = since.elapsed();
        if standing > Duration::from_millis(100 << told) {
            told += 1;
            let mode = *current.lock().expect("nobody panics with it");
            eprintln!("mode {mode}: no progress for {standing:?} after {progress} round trips");
            print_threads();
        }
        if standing > PATIENCE {
            process::exit(3);
        }
    }
}

/// State, place in the kernel, system call, and nanoseconds running and waiting for a CPU.
fn print_threads() {
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |name| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let state = read("stat").rsplit(") ").next().and_then(|rest| rest.chars().next());
        eprintln!(
            "  {:12} state {} wchan {} syscall {} schedstat {}",
            read("comm").trim(),
            state.unwrap_or('?'),
            read("wchan").trim(),
            read("syscall").trim(),
            read("schedstat").trim(),
        );
    }
}

/// The ends of one lane of mailboxes on each side.
type End = (Sender<u64>, Receiver<u64>);

fn run(mode: &Mode, round_trips: u64) -> Histogram<u64> {
    let lanes = mode.mailbox_lanes + mode.socket_lanes;
    let each = round_trips / lanes as u64;
    let (mut callers, mut servers): (Vec<End>, Vec<End>) = (Vec::new(), Vec::new());
    for _ in 0..mode.mailbox_lanes {
        let (to_server, server) = mailbox(1);
        let (to_caller, caller) = mailbox(1);
        callers.push((to_server, caller));
        servers.push((to_caller, server));
    }
    let (tell, told) = mailbox::<SocketAddr>(1);
    let mailboxes = Arc::new(Mutex::new((callers, servers, Some(told))));
    let allowed = allowed_cpus().expect("the CPUs are known");
    let pinned = allowed.len() > 1;
    let cpus = [allowed[0], *allowed.last().expect("there is one")];
    let (sockets, loaded) = (mode.socket_lanes, mode.loaded);
    let preempt = number_from_environment("RINGMQ_STALL_PREEMPT_MS", 100);
    let preempt_timer = Duration::from_millis(preempt);
    let settings = Settings { pinned, preempt_timer, ..Settings::default() };
    let handles = launch_with(&cpus, &settings, move |shard, runtime| {
        let (mailboxes, tell) = (mailboxes.clone(), tell.clone());
        async move {
            let ticking = runtime.clone();
            runtime.spawn(Shares::Foreground, "tick", async move {
                loop {
                    let asleep = Instant::now();
                    ticking.sleep(TICK).await;
                    note_late(&EXECUTOR_LATE, asleep);
                }
            });
            if loaded {
                load(&runtime, shard.index());
            }
            let (ends, told) = {
                let mut all = mailboxes.lock().expect("nobody panics with it");
                let ends = if shard.index() == 0 { &mut all.0 } else { &mut all.1 };
                let ends = std::mem::take(ends);
                (ends, if shard.index() == 0 { all.2.take() } else { None })
            };
            let Some(mut told) = told else {
                serve(&runtime, ends, each, sockets, &tell).await;
                return None;
            };
            let server = told.recv().await;
            Some(call(&runtime, ends, each, sockets, server).await)
        }
    });
    let results = handles.expect("executors can be made here").join();
    results.into_iter().flatten().next().expect("shard 0 measures")
}

/// Runs the lanes of shard 0: sends, waits for the answer, notes the time.
async fn call(
    runtime: &RingRuntime,
    ends: Vec<End>,
    each: u64,
    sockets: usize,
    server: SocketAddr,
) -> Histogram<u64> {
    let times: Times = Rc::new(RefCell::new(Histogram::new(3).expect("three digits are allowed")));
    let mut lanes: Vec<OneshotReceiver<()>> = Vec::new();
    for (sender, mut inbox) in ends {
        let times = times.clone();
        lanes.push(spawn(runtime, async move {
            for number in 0..each {
                let start = Instant::now();
                sender.try_send(number).expect("the lane is empty");
                assert_eq!(inbox.recv().await, number);
                note(&times, start);
            }
        }));
    }
    for _ in 0..sockets {
        let stream = runtime.net().connect(server).await.expect("connect");
        let times = times.clone();
        lanes.push(spawn(runtime, async move {
            for number in 0..each {
                let start = Instant::now();
                write_all(&stream, &number.to_be_bytes()).await;
                assert_eq!(read_number(&stream).await, Some(number));
                note(&times, start);
            }
        }));
    }
    for lane in lanes {
        lane.await;
    }
    Rc::try_unwrap(times).expect("the lanes have ended").into_inner()
}

/// Runs the lanes of shard 1: sends everything back.
async fn serve(
    runtime: &RingRuntime,
    ends: Vec<End>,
    each: u64,
    sockets: usize,
    tell: &Sender<SocketAddr>,
) {
    let listener =
        runtime.net().listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port is free");
    tell.try_send(listener.local()).expect("there is room for one");
    let mut lanes = Vec::new();
    for (sender, mut inbox) in ends {
        lanes.push(spawn(runtime, async move {
            for _ in 0..each {
                let number = inbox.recv().await;
                sender.try_send(number).expect("the lane is empty");
            }
        }));
    }
    for _ in 0..sockets {
        let accepted = listener.accept().await.expect("accept");
        let stream = runtime.net().adopt(accepted).expect("adopt");
        lanes.push(spawn(runtime, async move {
            while let Some(number) = read_number(&stream).await {
                write_all(&stream, &number.to_be_bytes()).await;
            }
        }));
    }
    for lane in lanes {
        lane.await;
    }
}

fn note(times: &Times, start: Instant) {
    let nanos = u64::try_from(start.elapsed().as_nanos()).expect("no round trip takes centuries");
    times.borrow_mut().record(nanos).expect("the histogram grows");
    PROGRESS.fetch_add(1, Ordering::Relaxed);
}

fn spawn(runtime: &RingRuntime, lane: impl Future<Output = ()> + 'static) -> OneshotReceiver<()> {
    let (sender, receiver) = oneshot();
    runtime.spawn(Shares::Foreground, "lane", async move {
        lane.await;
        sender.send(());
    });
    receiver
}

async fn write_all(stream: &RingStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let count = stream.write(bytes).await.expect("the peer reads");
        bytes = &bytes[count..];
    }
}

async fn read_number(stream: &RingStream) -> Option<u64> {
    let mut bytes = [0; 8];
    let mut filled = 0;
    while filled < bytes.len() {
        let count = stream.read(&mut bytes[filled..]).await.expect("the connection holds");
        if count == 0 {
            return None;
        }
        filled += count;
    }
    Some(u64::from_be_bytes(bytes))
}

/// Work besides: durable writes one after the other, and short computations between short sleeps.
fn load(runtime: &RingRuntime, shard: usize) {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = directory.join(format!("stall-{}-{shard}", process::id()));
    let writer = runtime.clone();
    runtime.spawn(Shares::Foreground, "writer", async move {
        let disk = writer.disk();
        let file = disk.create(&path, OpenMode::WriteDurable).await.expect("create");
        disk.remove(&path).await.expect("the open file needs no name");
        let mut buffer = disk.buffer(4096);
        for number in 0_u64.. {
            buffer.bytes_mut().fill(number as u8);
            file.write(&buffer, number % 256 * 4096).await.expect("write");
        }
    });
    let computer = runtime.clone();
    runtime.spawn(Shares::Background, "computer", async move {
        loop {
            let start = Instant::now();
            while start.elapsed() < Duration::from_micros(30) {
                std::hint::spin_loop();
            }
            computer.sleep(Duration::from_micros(200)).await;
        }
    });
}
