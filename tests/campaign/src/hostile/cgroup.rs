//! A memory cgroup of a server, version 1 or 2.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const ROOT: &str = "/sys/fs/cgroup";

/// A limit of memory for one process. It is removed with the value, when the process is gone.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    version: u8,
}

impl Cgroup {
    /// Makes one below the groups of this process.
    ///
    /// # Errors
    /// A sentence, if this machine does not let us: the campaign then goes without.
    pub fn create(name: &str, bytes: u64) -> Result<Cgroup, String> {
        let (parent, version) = parent()?;
        let own = format!("ringmq-{}-{}", name.replace(' ', "-"), std::process::id());
        let path = parent.join(own);
        let failed = |what: &Path, error: std::io::Error| format!("{}: {error}", what.display());
        if !path.exists() {
            fs::create_dir(&path).map_err(|error| failed(&path, error))?;
        }
        let cgroup = Cgroup { path, version };
        let limit = cgroup.path.join(cgroup.file("memory.limit_in_bytes", "memory.max"));
        fs::write(&limit, bytes.to_string()).map_err(|error| failed(&limit, error))?;
        Ok(cgroup)
    }

    /// A command that runs a program in it.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]);
        command.arg(self.path.join("cgroup.procs")).arg(program);
        command
    }

    /// The most bytes that were ever charged, those of files included; `None` if it is not told.
    pub fn peak(&self) -> Option<u64> {
        let file = self.file("memory.max_usage_in_bytes", "memory.peak");
        fs::read_to_string(self.path.join(file)).ok()?.trim().parse().ok()
    }

    fn file(&self, first: &'static str, second: &'static str) -> &'static str {
        if self.version == 1 { first } else { second }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // fails while the process is in it; an empty group costs nothing
        let _ = fs::remove_dir(&self.path);
    }
}

/// Where new groups with a memory controller go.
fn parent() -> Result<(PathBuf, u8), String> {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next(), parts.next(), parts.next().unwrap_or("/"));
        if controllers.is_some_and(|all| all.split(',').any(|one| one == "memory")) {
            let below = Path::new(ROOT).join("memory");
            let own = below.join(path.trim_start_matches('/'));
            return Ok((if own.is_dir() { own } else { below }, 1));
        }
    }
    let root = Path::new(ROOT);
    let control = fs::read_to_string(root.join("cgroup.subtree_control")).unwrap_or_default();
    if control.split_whitespace().any(|one| one == "memory") {
        return Ok((root.to_owned(), 2));
    }
    Err("no memory controller can be used here".to_owned())
}
