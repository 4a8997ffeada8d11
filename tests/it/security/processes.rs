//! S1: no server starts a process, runs a shell or loads code.

use crate::tidy::files;

/// What starts a program, or brings code in, as sources would write it.
const WORDS: &[&str] = &[
    "process::Command",
    "CommandExt",
    "Command::new(",
    "libc::system",
    "libc::fork",
    "unistd::fork",
    "posix_spawn",
    "execve",
    "execvp",
    "unistd::exec",
    "dlopen",
    "libloading",
];
/// Denied to the process itself, by number.
const CONFINES: &str = "src/io/confine.rs";
/// Crates that would do it for their user.
const CRATES: &[&str] =
    &["libloading", "wasmtime", "rhai", "mlua", "duct", "subprocess", "xshell", "dlopen2"];

/// Each use, as `line: word`.
fn uses(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let code = line.split("//").next().unwrap_or_default();
        // That of the command line.
        let code = code.replace("clap::Command", "");
        let named = WORDS.iter().filter(|word| code.contains(**word));
        found.extend(named.map(|word| format!("{number}: {word}")));
    }
    // `use std::process::{Command, ExitCode}`, over several lines, too.
    for group in text.split("process::{").skip(1) {
        let names = group.split('}').next().unwrap_or_default();
        if names.split(',').any(|name| name.trim().starts_with("Command")) {
            found.push("process::{Command}".to_owned());
        }
    }
    found
}

// Single: no server is started.
#[test]
fn no_source_of_a_server_starts_a_process() {
    let mut problems = Vec::new();
    for (path, text) in files(&["rs"]) {
        let is_test = path.contains("/tests/") || path.ends_with("/tests.rs");
        if path.starts_with("src/") && !is_test && path != CONFINES {
            problems.extend(uses(&text).into_iter().map(|found| format!("{path}:{found}")));
        }
    }
    for (path, text) in files(&["toml"]) {
        let names = text.lines().filter_map(|line| line.split(['=', '.', ' ']).next());
        let bad = names.filter(|name| CRATES.contains(name));
        problems.extend(bad.map(|name| format!("{path}: {name}")));
    }
    assert!(problems.is_empty(), "servers start no processes:\n{}", problems.join("\n"));
}

// Single: no server is started.
#[test]
fn every_way_to_start_one_is_found() {
    for text in [
        "std::process::Command::new(\"sh\")",
        "use std::process::{\n    Child,\n    Command,\n};",
        "use std::os::unix::process::CommandExt;",
        "libc::system(text)",
        "nix::unistd::execve(path, args, env)",
        "libloading::Library",
    ] {
        assert!(!uses(text).is_empty(), "{text}");
    }
    let harmless = "// execve is denied\nuse std::process::{ExitCode, id};\nCommand::Broker(a)";
    assert_eq!(uses(harmless), Vec::<String>::new());
}
