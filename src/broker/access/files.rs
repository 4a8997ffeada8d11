//! Files with accounts on the disk: which there are, what they say, and replacing one.

use std::{
    fs, io,
    io::{Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use ringmq_rules::acl::{AccessRules, AclFile, FILES_BYTES_MAX, FILES_MAX};

/// Deepest directory below `aclDirectory` that is looked into.
const DEPTH_MAX: usize = 8;
/// The credentials of `mqadmin`, which people put beside the accounts.
const TOOLS: &str = "tools.yml";
/// Who may read a file that is new: its owner.
const MODE: u32 = 0o600;

/// Where files with accounts are looked for.
pub struct AclFiles {
    /// `aclFile`: accounts that are new go into it.
    pub file: PathBuf,
    /// `aclDirectory`.
    directory: PathBuf,
}

/// What tells whether files have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(Vec<(PathBuf, Option<State>)>);

/// When a file was changed, its length, and its number.
type State = (SystemTime, u64, u64);

/// All files, in the order in which their accounts count.
pub struct Contents(pub Vec<(PathBuf, AclFile)>);

impl AclFiles {
    pub fn new(file: &Path, directory: &Path) -> AclFiles {
        AclFiles { file: file.to_owned(), directory: directory.to_owned() }
    }

    pub fn fingerprint(&self) -> Fingerprint {
        let paths = self.paths().unwrap_or_default();
        let of = |path: &Path| -> Option<State> {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
        };
        Fingerprint(paths.into_iter().map(|path| (path.clone(), of(&path))).collect())
    }

    /// Those of the directory, by name, and then the file, as far as they are there.
    ///
    /// # Errors
    /// If the directory cannot be read or there are too many: a sentence for the operator.
    fn paths(&self) -> Result<Vec<PathBuf>, String> {
        let mut found = Vec::new();
        if self.directory.is_dir() {
            walk(&self.directory, 0, &mut found)?;
        }
        if self.file.is_file() && !found.contains(&self.file) {
            found.push(self.file.clone());
        }
        if found.len() > FILES_MAX {
            return Err(format!(
                "{} has more than {FILES_MAX} files with accounts: join some, or set aclDirectory",
                self.directory.display()
            ));
        }
        Ok(found)
    }

    /// Reads all files.
    ///
    /// # Errors
    /// If one cannot be read or is wrong, or there is none: a sentence for the operator, with file,
    /// line and remedy.
    pub fn read(&self) -> Result<Contents, String> {
        let mut contents = Vec::new();
        let mut left = FILES_BYTES_MAX;
        for path in self.paths()? {
            let text = read(&path, &mut left)?;
            let file = AclFile::parse(&text).map_err(|problem| sentence(&path, &problem))?;
            contents.push((path, file));
        }
        if contents.is_empty() {
            return Err(format!(
                "there is no file with accounts, neither {} nor a .yml in {}: write one, such as \
                 RocketMQ's conf/plain_acl.yml, or set aclFile",
                self.file.display(),
                self.directory.display()
            ));
        }
        Ok(Contents(contents))
    }
}

/// What a problem of a file is, for the operator.
fn sentence(path: &Path, problem: &dyn std::fmt::Display) -> String {
    format!("{}, {problem}", path.display())
}

impl Contents {
    /// The rules of all files; what does not count in them is warned about.
    pub fn rules(&self) -> AccessRules {
        let mut rules = AccessRules::default();
        for (path, file) in &self.0 {
            let repeated = rules.add(&path.display().to_string(), file);
            for problem in file.warnings.iter().chain(&repeated) {
                tracing::warn!("{}", sentence(path, problem));
            }
        }
        rules
    }
}

fn walk(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), String> {
    let failed = |error: io::Error| {
        format!("the directory of accounts {} cannot be read: {error}", directory.display())
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    for path in paths {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        if name.starts_with('.') || name == TOOLS {
            continue;
        }
        if path.is_dir() {
            if depth < DEPTH_MAX {
                walk(&path, depth + 1, found)?;
            }
        } else if name.ends_with(".yml") || name.ends_with(".yaml") {
            found.push(path);
        }
        if found.len() > FILES_MAX {
            break;
        }
    }
    Ok(())
}

/// `left`: bytes that may still be read, of all files.
fn read(path: &Path, left: &mut u64) -> Result<String, String> {
    let failed = |error: io::Error| format!("{} cannot be read: {error}", path.display());
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(*left + 1).read_to_end(&mut bytes).map_err(failed)?;
    *left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
        format!(
            "{} makes the files with accounts more than {FILES_BYTES_MAX} bytes: take accounts out",
            path.display()
        )
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("{} is no UTF-8 text at byte {at}: write it anew", path.display())
    })
}

/// Replaces a file, or makes it. After an error, or a power cut before this returns, the old or the
/// new content is there as a whole. A link goes on leading where it led.
///
/// # Errors
/// A sentence for the operator.
pub fn replace(path: &Path, text: &str) -> Result<(), String> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = target.clone().into_os_string();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    let written = write_and_rename(&temporary, &target, text);
    written.map_err(|error| {
        let _ = fs::remove_file(&temporary);
        format!("{} cannot be written: {error}", path.display())
    })
}

fn write_and_rename(temporary: &Path, target: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(MODE).open(temporary)?;
    if let Ok(before) = fs::metadata(target) {
        file.set_permissions(before.permissions())?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(temporary, target)?;
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    fs::File::open(directory.unwrap_or_else(|| Path::new(".")))?.sync_all()
}
