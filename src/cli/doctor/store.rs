//! `ringmq doctor --store`: checks a store that no broker has open, and changes nothing.

use std::{io::Write as _, path::Path, process::ExitCode};

use anyhow::{Context as _, anyhow};
use ringmq_io::{
    gate, launch,
    lock::{DirectoryLock, LockError, lock_existing_directory},
};
use ringmq_store::{FileReport, StoreReport, verify_store};
use serde_json::{Value, json};

/// Exit codes; 0 is a sound store.
const DAMAGED: u8 = 1;
const NOT_CHECKED: u8 = 2;

pub fn run(store: &Path, json: bool) -> ExitCode {
    match check(store, json) {
        Ok(report) if report.is_sound() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(DAMAGED),
        Err(error) => {
            eprintln!("ringmq: {error}");
            ExitCode::from(NOT_CHECKED)
        }
    }
}

fn check(store: &Path, json: bool) -> anyhow::Result<StoreReport> {
    // Kept until the end: no broker starts on the store meanwhile.
    let _lock = lock(store)?;
    gate::check(None, 1)?;
    let cpu = launch::allowed_cpus()?.first().copied().unwrap_or(0);
    let root = store.to_owned();
    let thread = launch::launch(&[cpu], false, move |_, runtime| {
        let root = root.clone();
        async move {
            let mut files = Vec::new();
            let total = verify_store(&runtime, &root, |file| {
                if json {
                    files.push(file_json(&root, file));
                } else {
                    print_file(&root, file);
                }
            });
            let total = total.await?;
            if json {
                say(&format!("{:#}", store_json(&root, &total, files)));
            } else {
                print_total(&total);
            }
            Ok(total)
        }
    })?;
    let result = thread.join().pop().context("the executor ended without a result")?;
    result.map_err(|error: ringmq_store::OpenError| anyhow!("{error}"))
}

fn lock(store: &Path) -> anyhow::Result<DirectoryLock> {
    match lock_existing_directory(store) {
        Err(LockError::InUse { path }) => Err(anyhow!(
            "{} is in use by a broker, which changes it all the time; stop the broker, or check a \
             copy of the store",
            path.display()
        )),
        Err(LockError::Open { path, source }) => Err(anyhow!(
            "cannot open {}: {source}; give the directory of a store (storePathRootDir)",
            path.display()
        )),
        Ok(lock) => Ok(lock),
    }
}

/// A line of the result. Whoever reads it may stop reading; the exit code still tells.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The path below the store's directory.
fn name(root: &Path, file: &FileReport) -> String {
    file.path.strip_prefix(root).unwrap_or(&file.path).display().to_string()
}

fn print_file(root: &Path, file: &FileReport) {
    let verdict = if file.is_sound() { "ok     " } else { "DAMAGED" };
    say(&format!("{verdict} {:<44} {}", name(root, file), file.note));
    for damage in &file.damages {
        let range = if damage.to > damage.from {
            format!("bytes {}..{}: ", damage.from, damage.to)
        } else {
            String::new()
        };
        let (what, found, remedy) = (damage.what, &damage.found, damage.remedy);
        say(&format!("        {range}{what}: {found}; {remedy}"));
    }
}

fn megabytes_per_second(total: &StoreReport) -> f64 {
    total.bytes as f64 / 1e6 / total.duration.as_secs_f64().max(1e-6)
}

fn print_total(total: &StoreReport) {
    let verdict = if total.is_sound() {
        "sound".to_owned()
    } else {
        let missing = match total.missing_messages {
            0 => String::new(),
            count => format!(", at least {count} messages lost"),
        };
        format!("{} damages in {} files{missing}", total.damages, total.damaged_files)
    };
    say(&format!(
        "{verdict}: {} files, {} messages, {} bytes read in {:.1} s, {:.0} MB/s",
        total.files,
        total.messages,
        total.bytes,
        total.duration.as_secs_f64(),
        megabytes_per_second(total),
    ));
}

fn file_json(root: &Path, file: &FileReport) -> Value {
    let damages: Vec<Value> = file
        .damages
        .iter()
        .map(|damage| {
            json!({
                "what": damage.what,
                "from": damage.from,
                "to": damage.to,
                "found": damage.found,
                "remedy": damage.remedy,
            })
        })
        .collect();
    json!({
        "file": name(root, file),
        "sound": file.is_sound(),
        "note": file.note,
        "records": file.records,
        "bytes": file.bytes,
        "damages": damages,
    })
}

fn store_json(root: &Path, total: &StoreReport, files: Vec<Value>) -> Value {
    json!({
        "store": root.display().to_string(),
        "sound": total.is_sound(),
        "files": files,
        "totals": {
            "files": total.files,
            "damagedFiles": total.damaged_files,
            "damages": total.damages,
            "messages": total.messages,
            "messagesLostAtLeast": total.missing_messages,
            "bytes": total.bytes,
            "seconds": total.duration.as_secs_f64(),
            "megabytesPerSecond": megabytes_per_second(total),
        },
    })
}
