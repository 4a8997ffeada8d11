//! What the servers' commands have in common.

use std::path::PathBuf;

use ringmq_base::config::{Loaded, Table};

/// A configuration file and single keys.
#[derive(clap::Args, Debug, Default)]
pub struct Configuration {
    /// Configuration file in RocketMQ's format (key = value).
    #[arg(short = 'c', long = "configFile", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Sets one key, above the file; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Prints all keys with their values and ends.
    #[arg(short = 'p', long = "printConfigItem")]
    pub print: bool,
}

pub fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// Logs the warnings of a configuration; prints it if asked to, and tells whether to end then.
pub fn show<C: Table>(loaded: &Loaded<C>, print: bool) -> bool {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    if print {
        print!("{}", loaded.config.to_properties());
    }
    print
}
