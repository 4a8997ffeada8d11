//! Checks a store that no broker has open, and changes nothing: every header, every checksum, the
//! succession of the queues, and where each log ends, by the table of recovery. Damage does not end
//! the check: it goes on with the next intact record, so that all of it comes to light.
//!
//! Not checked: whether the payload of a metadata record means something to the broker, and whether
//! an intact page of the index says the same as the log.

mod files;
mod index;
mod keys;
mod report;
pub(crate) mod source;
mod walk;

use std::{io::ErrorKind, path::Path};

use ringmq_base::{LogId, limits::BLOCK_BYTES};
use ringmq_io::{Disk as _, DiskError, File as _, OpenMode, Runtime};

pub use report::{Damage, FileReport, StoreReport};

use crate::{
    api::{cases::Case, errors::OpenError},
    files::{
        completeness::is_complete,
        directory::{META_DIRECTORY, log_directory},
        manifest::{self, Manifest},
    },
};
use files::{Checked, check_log, check_meta};

/// What the manifest says, as far as it can be read.
pub(crate) struct StoreIdentity {
    pub store_id: Option<u128>,
}

/// Checks the store at `root`, which must not be open anywhere; `watch` hears of each file when it
/// has been checked. Fails if the directory is no store, or cannot be read at all; what is damaged
/// is in the report. Takes as long as it takes to read everything once.
pub async fn verify_store<R: Runtime>(
    runtime: &R,
    root: &Path,
    mut watch: impl FnMut(&FileReport),
) -> Result<StoreReport, OpenError> {
    let began = runtime.monotonic();
    let mut total = StoreReport::default();
    let mut take = |checked: Checked, total: &mut StoreReport| {
        for file in &checked.files {
            total.add(file);
            watch(file);
        }
        (checked.records, checked.missing)
    };
    let (report, manifest) = check_manifest(runtime, root).await?;
    take(Checked { files: vec![report], records: 0, missing: 0 }, &mut total);
    let identity = StoreIdentity { store_id: manifest.as_ref().map(|manifest| manifest.store_id) };
    let complete = is_complete(runtime.disk(), root).await?;
    // Without a manifest the directories tell how many logs there are.
    let logs = manifest.as_ref().map_or(LogId::MAX.get(), |manifest| manifest.logs);
    for log in (0..logs).filter_map(LogId::new) {
        let checked = check_log(runtime, root, log, &identity).await?;
        if checked.is_none() && manifest.is_none() {
            break;
        }
        let checked = checked.unwrap_or_else(|| {
            let path = log_directory(root, log);
            let note = "no such directory: nothing was ever written to this log";
            let report = FileReport::new(path, note);
            let lost = "no such directory, in a store that was complete";
            let report =
                if complete { report.damaged(Case::MissingMark, (0, 0), lost) } else { report };
            Checked { files: vec![report], records: 0, missing: 0 }
        });
        let (messages, missing) = take(checked, &mut total);
        total.messages += messages;
        total.missing_messages += missing;
    }
    if let Some(checked) = check_meta(runtime, &root.join(META_DIRECTORY)).await? {
        take(checked, &mut total);
    }
    total.duration = runtime.monotonic().saturating_sub(began);
    Ok(total)
}

async fn check_manifest<R: Runtime>(
    runtime: &R,
    root: &Path,
) -> Result<(FileReport, Option<Manifest>), OpenError> {
    let path = root.join(manifest::FILE_NAME);
    let report = FileReport::new(path.clone(), "manifest");
    let file = match runtime.disk().open(&path, OpenMode::Read).await {
        Ok(file) => file,
        Err(error) if error.source.kind() == ErrorKind::NotFound => {
            let first = log_directory(root, LogId::new(0).expect("in range"));
            if runtime.disk().list(&first).await.is_err() {
                let found = "no MANIFEST and no log-000".to_owned();
                return Err(OpenError::Foreign { path: root.to_path_buf(), found });
            }
            return Ok((report.damaged(Case::DamagedHeader, (0, 0), "no such file"), None));
        }
        Err(error) => return Err(error.into()),
    };
    let read = file.read(0, BLOCK_BYTES).await;
    close(file.close().await)?;
    let range = (0, BLOCK_BYTES as u64);
    let block = match read {
        Ok(block) => block,
        Err(error) => {
            return Ok((report.damaged(Case::DamagedHeader, range, error.to_string()), None));
        }
    };
    let report = FileReport { bytes: block.bytes().len() as u64, ..report };
    Ok(match Manifest::read(&path, block.bytes()) {
        Ok(manifest) => {
            let note = format!("store {:032x}, {} logs", manifest.store_id, manifest.logs);
            (FileReport { note, ..report }, Some(manifest))
        }
        Err(OpenError::Manifest { found, .. }) => {
            (report.damaged(Case::DamagedHeader, range, found), None)
        }
        Err(error) => (report.damaged(Case::NewerFormat, range, error.to_string()), None),
    })
}

fn close(result: Result<(), DiskError>) -> Result<(), OpenError> {
    result.map_err(Into::into)
}
