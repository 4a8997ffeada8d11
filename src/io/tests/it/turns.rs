//! Who runs when: tasks that do not wait, wakes from other threads.

use std::{
    cell::Cell,
    panic::AssertUnwindSafe,
    path::Path,
    rc::Rc,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use futures_channel::oneshot;
use futures_util::FutureExt;
use ringmq_io::{Clock, Disk, Runtime, Shares, Spawn, Stream, allowed_cpus, launch};

use crate::{net::pair, support::on_executor};

/// Ends only if timers and sockets are looked at between the turns of a task that always has more
/// to do, whatever its shares.
#[test]
fn a_task_that_never_waits_leaves_others_their_turn() {
    for busy in [Shares::Foreground, Shares::Background] {
        on_executor(move |runtime| async move {
            let over = Rc::new(Cell::new(false));
            let (seen, computing) = (over.clone(), runtime.clone());
            runtime.spawn(busy, "computing", async move {
                while !seen.get() {
                    computing.yield_if_needed().await;
                }
            });
            let (ours, theirs) = pair(&runtime).await;
            let mut byte = [0];
            for round in 0..5 {
                runtime.sleep(Duration::from_millis(1)).await;
                ours.write(&[round]).await.expect("there is room");
                assert_eq!(theirs.read(&mut byte).await.expect("it was sent"), 1);
                assert_eq!(byte, [round]);
            }
            over.set(true);
        });
    }
}

/// Tasks that take their time at every poll and do not ask whose turn it is: timers and sockets are
/// looked at after a few of them, not after a round of 61.
#[test]
fn a_timer_is_seen_after_a_few_tasks_that_take_long() {
    const BUSY: usize = 100;
    on_executor(|runtime| async move {
        let (over, polls) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
        for _ in 0..BUSY {
            let (over, polls) = (over.clone(), polls.clone());
            runtime.spawn(Shares::Foreground, "computing", async move {
                while !over.get() {
                    let began = Instant::now();
                    while began.elapsed() < Duration::from_micros(1100) {
                        std::hint::spin_loop();
                    }
                    polls.set(polls.get() + 1);
                    futures_lite::future::yield_now().await;
                }
            });
        }
        let mut most = 0;
        for _ in 0..5 {
            let before = polls.get();
            runtime.sleep(Duration::from_millis(1)).await;
            most = most.max(polls.get() - before);
        }
        over.set(true);
        assert!(most <= BUSY + 20, "{most} polls of {BUSY} tasks before a timer was seen");
    });
}

/// Any waker may be used, and dropped, on any thread. Would take a pulse of 20 ms each if the
/// executor did not hear of it.
#[test]
fn plain_threads_wake_tasks_that_wait_for_them() {
    const ROUNDS: u32 = 2000;
    let (ask, asked) = mpsc::channel::<oneshot::Sender<u32>>();
    let answering = thread::spawn(move || {
        for (number, sender) in (0..).zip(asked) {
            if number % 3 == 0 {
                thread::yield_now();
            }
            let _ = sender.send(number);
        }
    });
    let taken = on_executor(move |_| {
        let ask = ask.clone();
        async move {
            let start = Instant::now();
            for number in 0..ROUNDS {
                let (sender, receiver) = oneshot::channel();
                ask.send(sender).expect("the thread answers");
                assert_eq!(receiver.await, Ok(number));
            }
            start.elapsed()
        }
    });
    answering.join().expect("no panic");
    assert!(taken < Duration::from_millis(20) * ROUNDS / 4, "{ROUNDS} rounds: {taken:?}");
}

/// What may wait in the kernel does not take the CPU of the executor that asked for it.
#[test]
fn the_blocking_thread_of_a_pinned_executor_may_run_anywhere() {
    let allowed = allowed_cpus().expect("the CPUs are known");
    let cpu = *allowed.last().expect("there is one");
    let ended = launch(&[cpu], true, |_, runtime| async move {
        // The thread has begun, and has its name, when it has done something.
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
        runtime.disk().list(directory).await.expect("it is there");
        let tasks = std::fs::read_dir("/proc/self/task").expect("it exists");
        let read = |task: std::io::Result<std::fs::DirEntry>, name: &str| {
            // Threads of other tests end meanwhile.
            std::fs::read_to_string(task.ok()?.path().join(name)).ok()
        };
        let statuses = tasks.filter_map(|task| read(task, "status"));
        let blocking: Vec<_> =
            statuses.filter(|status| status.starts_with("Name:\tblocking\n")).collect();
        assert!(!blocking.is_empty());
        for status in blocking {
            let count = |line: &str| line.split(',').map(range_length).sum::<usize>();
            let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t"));
            let all = allowed_cpus_of_process();
            assert_eq!(line.map(count), Some(all), "{status}");
        }
    });
    ended.expect("an executor can be made").join();
}

/// Of `3` or `0-7`.
fn range_length(range: &str) -> usize {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse::<usize>().expect("a number");
    number(last) - number(first) + 1
}

/// As the main thread, which is never pinned, has them.
fn allowed_cpus_of_process() -> usize {
    let own = nix::unistd::getpid();
    let set = nix::sched::sched_getaffinity(own).expect("it exists");
    (0..nix::sched::CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).count()
}

#[test]
fn tasks_go_on_while_work_is_done_aside_and_its_panic_is_that_of_whoever_waits() {
    on_executor(|runtime| async move {
        let (tell, told) = mpsc::channel();
        runtime.spawn(Shares::Background, "beside", async move {
            tell.send(()).expect("somebody waits");
        });
        let here = thread::current().id();
        let work = move || {
            let heard = told.recv_timeout(Duration::from_secs(20)).is_ok();
            (heard, thread::current().id())
        };
        let (heard, there) = runtime.aside(work).await;
        assert!(heard && there != here);
        let panicked = AssertUnwindSafe(runtime.aside(|| panic!("on purpose"))).catch_unwind();
        assert!(panicked.await.is_err());
        assert_eq!(runtime.aside(|| 7).await, 7, "the thread goes on");
    });
}
