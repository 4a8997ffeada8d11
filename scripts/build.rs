//! Tells the program which commit it is made of: `RINGMQ_COMMIT` if that is set, else what git
//! says.

use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn main() {
    println!("cargo:rerun-if-changed=scripts/build.rs");
    println!("cargo:rerun-if-env-changed=RINGMQ_COMMIT");
    if std::env::var("RINGMQ_COMMIT").is_ok() {
        return;
    }
    // It grows with every commit and every change of the branch.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={log}");
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    println!("cargo:rustc-env=RINGMQ_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
}
