//! The thread that keeps the files with accounts: it notices that they have changed, and changes
//! them.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ringmq_rules::acl::{AccessRules, AclFile, FILES_BYTES_MAX};

use super::files::{AclFiles, Contents, Fingerprint, replace};
use crate::messages::{AccessChange, AccessJob, Message, Returned};

/// Time between two looks at the files. A file that is new is read when it has not changed for as
/// long: whoever wrote it is done.
const LOOK: Duration = Duration::from_millis(250);

pub struct Keeper {
    files: AclFiles,
    /// Of the files that were read last, whatever came of it.
    read: Fingerprint,
    /// Of files that are new since the last look.
    seen: Fingerprint,
    /// They are read again, changed or not.
    pub again: Arc<AtomicBool>,
}

impl Keeper {
    /// # Errors
    /// A sentence for the operator.
    pub fn open(files: AclFiles) -> Result<(Keeper, AccessRules), String> {
        let read = files.fingerprint();
        let rules = files.read()?.rules();
        Ok((Keeper { files, seen: read.clone(), read, again: Arc::default() }, rules))
    }

    /// Goes on until nobody listens any more.
    pub fn run<S>(mut self, jobs: &mpsc::Receiver<AccessJob>, tell: impl Fn(Message<S>) -> bool) {
        loop {
            match jobs.recv_timeout(LOOK) {
                Ok(AccessJob { change, call }) => {
                    let changed = self.change(&change);
                    let done = changed.map(|rules| match rules {
                        Some(rules) => tell(Message::AccessRules(Arc::new(rules))),
                        None => false,
                    });
                    let value: Returned = Box::new(done);
                    if !tell(Message::Returned { id: call, value }) {
                        return;
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    if let Some(rules) = self.look()
                        && !tell(Message::AccessRules(Arc::new(rules)))
                    {
                        return;
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// The rules, if the files have changed and are sound.
    pub fn look(&mut self) -> Option<AccessRules> {
        let now = self.files.fingerprint();
        let again = self.again.swap(false, Ordering::AcqRel);
        if now == self.read && !again {
            return None;
        }
        if now != self.seen && !again {
            self.seen = now;
            return None;
        }
        self.read = now;
        match self.files.read() {
            Ok(contents) => {
                let rules = contents.rules();
                tracing::info!(
                    accounts = rules.accounts(),
                    "the files with accounts are read again"
                );
                Some(rules)
            }
            Err(why) => {
                tracing::error!(
                    "the files with accounts have changed and are not taken: {why}; the accounts \
                     of before are in force until that is mended"
                );
                None
            }
        }
    }

    /// Changes a file. The rules of all files then; `None` if there was nothing to change.
    ///
    /// # Errors
    /// Why it was not changed: a sentence for the administrator.
    pub fn change(&mut self, change: &AccessChange) -> Result<Option<AccessRules>, String> {
        let mut contents = self.files.read()?;
        let Some((path, file)) = self.changed(&contents, change)? else {
            return Ok(None);
        };
        let text = file.write_next(now_ms());
        if text.len() as u64 > FILES_BYTES_MAX {
            let most = FILES_BYTES_MAX;
            return Err(format!("{} would have more than {most} bytes", path.display()));
        }
        // What was written is what counts, now and after a restart.
        let file = AclFile::parse(&text).map_err(|problem| problem.to_string())?;
        replace(&path, &text)?;
        match contents.0.iter_mut().find(|(other, _)| *other == path) {
            Some((_, place)) => *place = file,
            None => contents.0.push((path, file)),
        }
        self.read = self.files.fingerprint();
        Ok(Some(contents.rules()))
    }

    /// The file that a change is of, with the change.
    fn changed(
        &self,
        contents: &Contents,
        change: &AccessChange,
    ) -> Result<Option<(PathBuf, AclFile)>, String> {
        let has = |file: &AclFile, key: &str| {
            file.accounts.iter().any(|(_, account)| account.access_key == key)
        };
        let of_account = |key: &str| contents.0.iter().find(|(_, file)| has(file, key));
        let at = |path: &PathBuf| contents.0.iter().find(|(other, _)| other == path);
        let text = |problem: ringmq_rules::acl::Problem| problem.text;
        Ok(match change {
            AccessChange::Account(config) => {
                let known = of_account(&config.access_key).or_else(|| at(&self.files.file));
                let empty = (self.files.file.clone(), AclFile::parse("").map_err(text)?);
                let (path, file) = known.unwrap_or(&empty);
                Some((path.clone(), file.with_account(config).map_err(text)?))
            }
            AccessChange::Removal { access_key } => match of_account(access_key) {
                Some((path, file)) => {
                    let file = file.without_account(access_key).map_err(text)?;
                    file.map(|file| (path.clone(), file))
                }
                None => None,
            },
            AccessChange::WhiteAddresses { addresses, file } => {
                let path = file.as_ref().map_or_else(|| self.files.file.clone(), PathBuf::from);
                match at(&path) {
                    Some((path, file)) => {
                        let file = file.with_global_white_addresses(addresses).map_err(text)?;
                        Some((path.clone(), file))
                    }
                    None => None,
                }
            }
        })
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
