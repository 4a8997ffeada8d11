use std::{env, process::Command};

use ringmq_io::{Clock, Shares, Spawn, ring::PANIC_EXIT_CODE};

use crate::support::on_executor;

const ROLE: &str = "RINGMQ_TEST_PANICS_IN";

/// Does nothing unless started by the tests below, in a process of its own.
#[test]
fn the_process_that_panics() {
    let Ok(place) = env::var(ROLE) else { return };
    on_executor(move |runtime| {
        let place = place.clone();
        async move {
            if place == "body" {
                panic!("the body is broken");
            }
            runtime.spawn(Shares::Background, "clean-up", async { panic!("the task is broken") });
            loop {
                runtime.sleep(std::time::Duration::from_secs(1)).await;
            }
        }
    });
}

fn run_panicking(place: &str) -> (Option<i32>, String) {
    let output = Command::new(env::current_exe().expect("a running program has a path"))
        .args(["panic::the_process_that_panics", "--exact", "--nocapture"])
        .env(ROLE, place)
        .output()
        .expect("the test program starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_panic_in_a_task_ends_the_process_and_names_the_task() {
    let (code, text) = run_panicking("task");
    assert_eq!(code, Some(PANIC_EXIT_CODE), "{text}");
    assert!(text.contains("task clean-up panicked"), "{text}");
    assert!(text.contains("the task is broken"), "{text}");
}

#[test]
fn a_panic_in_the_body_ends_the_process() {
    let (code, text) = run_panicking("body");
    assert_eq!(code, Some(PANIC_EXIT_CODE), "{text}");
    assert!(text.contains("the body is broken"), "{text}");
}
