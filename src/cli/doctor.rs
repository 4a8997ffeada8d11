//! `ringmq doctor`: whether this machine is fit for a server, or a store is sound. Nothing is
//! changed.

mod at_start;
mod cgroup;
mod clock;
mod condition;
mod device;
mod files;
mod gate_rows;
mod interrupts;
mod kernel_tls;
mod machine;
mod memory;
mod ports;
mod probe;
mod space;
mod store;

use std::{io::Write as _, path::PathBuf, process::ExitCode};

pub use at_start::say as say_at_start;

use anyhow::anyhow;

use self::{condition::Condition, machine::Examined};
use super::{config, options};

/// The machine, or the store, could not be looked at.
const NOT_CHECKED: u8 = 3;

#[derive(clap::Args, Debug)]
#[command(after_help = "Ends with 0 if nothing is wrong, 1 if there are warnings, 2 if a server \
                        would not start, 3 if the machine could not be looked at. With --store: 0 \
                        if the store is sound, 1 if it is damaged, 2 if it could not be checked.")]
pub struct Options {
    /// Checks this store (storePathRootDir of its broker, which must be stopped) instead of the
    /// machine: every header, checksum and index.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["file", "server", "set"])]
    store: Option<PathBuf>,
    /// Looks at the machine for the server with this configuration; without it for one with the
    /// defaults.
    #[arg(short = 'c', long = "configFile", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Whose configuration it is; by its keys and its name if not given.
    #[arg(long = "for", value_enum, value_name = "SERVER")]
    server: Option<config::Server>,
    /// Sets one key, above the file; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = options::pair)]
    set: Vec<(String, String)>,
    /// Measures what SYNC_FLUSH costs here: writes for 4 s and 528 MiB at most to a file of 16 MiB
    /// beside the logs, which is removed.
    #[arg(long, conflicts_with = "store")]
    probe: bool,
    /// Prints one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

pub fn run(options: &Options) -> ExitCode {
    if let Some(store) = &options.store {
        return store::run(store, options.json);
    }
    match look(options) {
        Ok(conditions) => condition::exit_code(&conditions),
        Err(error) => {
            eprintln!("ringmq: {error:#}");
            ExitCode::from(NOT_CHECKED)
        }
    }
}

/// Looks at the machine, says what was found and gives it back.
fn look(options: &Options) -> anyhow::Result<Vec<Condition>> {
    let Examined { mut conditions, logs } =
        machine::examine(options.file.as_deref(), options.server, &options.set)?;
    let measured = match (options.probe, logs) {
        (false, _) => Vec::new(),
        (true, Some(logs)) => probe::measure(&logs)?,
        (true, None) => return Err(anyhow!("no probe: a name server has no logs")),
    };
    conditions.extend(probe::rows(&measured));
    if options.json {
        let mut report = condition::json(&conditions);
        if options.probe {
            report["probe"] = probe::json(&measured);
        }
        say(&format!("{report:#}\n"));
    } else {
        say(&condition::table(&conditions));
        say(&probe::histograms(&measured));
    }
    Ok(conditions)
}

/// Whoever reads it may stop reading; the exit code still tells.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
