//! Completion and man pages, from the commands as clap knows them.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;

/// `ringmq completion SHELL`.
#[derive(clap::Args, Debug)]
pub struct Completion {
    /// Whose completion is printed.
    shell: clap_complete::Shell,
}

impl Completion {
    /// Prints the script.
    ///
    /// # Errors
    /// If standard output takes nothing.
    pub fn run(&self, mut command: clap::Command) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "ringmq", &mut script);
        Ok(std::io::stdout().lock().write_all(&script)?)
    }
}

/// `ringmq man DIRECTORY`.
#[derive(clap::Args, Debug)]
pub struct Manual {
    /// Where the pages are written: a file for each command, ringmq-admin-topicList.1 and so on.
    directory: PathBuf,
}

impl Manual {
    /// Writes the pages.
    ///
    /// # Errors
    /// If the directory cannot be made or written.
    pub fn run(&self, command: clap::Command) -> anyhow::Result<()> {
        let place = || format!("{}", self.directory.display());
        std::fs::create_dir_all(&self.directory).with_context(place)?;
        clap_mangen::generate_to(command, &self.directory).with_context(place)
    }
}
