//! Alone in its process, which cannot start programs afterwards.

use std::{io::ErrorKind, process::Command, sync::mpsc, thread};

use ringmq_io::confine;

#[test]
fn no_thread_starts_a_program_any_more() {
    let start = || Command::new("true").status();
    assert!(start().expect("there is such a program").success());
    // One thread is there already, another comes later.
    let (go, may_go) = mpsc::channel();
    let earlier = thread::spawn(move || {
        may_go.recv().expect("the test goes on");
        start()
    });
    confine::deny_programs().expect("this kernel has filters");
    go.send(()).expect("it waits");
    for thread in [earlier, thread::spawn(start)] {
        let error = thread.join().expect("no panic").expect_err("no program is started");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    }
    assert_eq!(start().expect_err("nor here").kind(), ErrorKind::PermissionDenied);
    // All else goes on, twice is no harm, and new threads are made.
    confine::deny_programs().expect("once more");
    assert!(std::fs::read("/proc/self/status").is_ok());
}
