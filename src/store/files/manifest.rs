//! The facts of a store directory that never change: file `MANIFEST`, one block.

use std::{io::ErrorKind, path::Path};

use ringmq_base::{LogId, limits::BLOCK_BYTES};
use ringmq_io::{Disk, File as _, OpenMode, Runtime};

use crate::{
    api::errors::OpenError,
    files::{
        block::{BlockError, BlockReader, BlockWriter},
        completeness::refuse_missing,
        directory::{create_durably, log_directory},
        segment,
    },
};

const MAGIC: &[u8; 8] = b"RINGMQ\0\0";
const FORMAT: u32 = 1;
pub const FILE_NAME: &str = "MANIFEST";
const NEW_NAME: &str = "MANIFEST.new";

/// Fixed facts of a store, written once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub format: u32,
    /// Number of logs, for ever.
    pub logs: u16,
    /// Drawn at random when the store was created.
    pub store_id: u128,
    /// Milliseconds since 1970.
    pub created_ms: i64,
}

/// Opens the store at `root`, or creates it with `logs_if_new` logs if the directory is missing or
/// empty but for a file called `lock`. Takes no lock. When it resolves, the manifest is on stable
/// storage. Never changes a directory that it cannot read. A store of which a whole log is missing
/// is refused, unless it was never complete.
pub async fn open_manifest<R: Runtime>(
    runtime: &R,
    root: &Path,
    logs_if_new: u16,
) -> Result<Manifest, OpenError> {
    let disk = runtime.disk();
    disk.create_directory(root).await?;
    let path = root.join(FILE_NAME);
    match disk.open(&path, OpenMode::Read).await {
        Ok(file) => {
            let bytes = file.read(0, BLOCK_BYTES).await?;
            let manifest = Manifest::read(&path, bytes.bytes());
            file.close().await?;
            let manifest = manifest?;
            refuse_missing(disk, root, manifest.logs).await?;
            Ok(manifest)
        }
        Err(error) if error.source.kind() == ErrorKind::NotFound => {
            refuse_foreign(disk, root).await?;
            if logs_if_new == 0 || logs_if_new > LogId::MAX.get() {
                let value = u64::from(logs_if_new);
                return Err(OpenError::Option { option: "logs", value, must: "1 to 32,767" });
            }
            create(runtime, root, logs_if_new).await
        }
        Err(error) => Err(error.into()),
    }
}

impl Manifest {
    pub(crate) fn read(path: &Path, block: &[u8]) -> Result<Manifest, OpenError> {
        let path = path.to_path_buf();
        let mut fields = match BlockReader::new(block, MAGIC, FORMAT) {
            Ok(fields) => fields,
            Err(BlockError::Newer(found)) => {
                return Err(OpenError::NewerFormat { path, found, supported: FORMAT });
            }
            Err(error) => {
                return Err(OpenError::Manifest { path, found: error.to_string() });
            }
        };
        let logs = fields.u32();
        let manifest = Manifest {
            format: fields.version,
            logs: u16::try_from(logs).unwrap_or(0),
            store_id: fields.u128(),
            created_ms: fields.u64().cast_signed(),
        };
        if manifest.logs == 0 || manifest.logs > LogId::MAX.get() {
            return Err(OpenError::Manifest { path, found: format!("{logs} logs") });
        }
        Ok(manifest)
    }
}

async fn refuse_foreign<D: Disk>(disk: &D, root: &Path) -> Result<(), OpenError> {
    let foreign = |path: &Path, found: String| OpenError::Foreign { path: path.into(), found };
    for (name, _) in disk.list(root).await? {
        if name != "lock" && name != NEW_NAME {
            return Err(foreign(root, format!("the file {name}")));
        }
    }
    let log = LogId::new(0).expect("0 is in range");
    let files = match disk.list(&log_directory(root, log)).await {
        Err(error) if error.source.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    match files.into_iter().find(|(name, _)| segment::parse_name(name).is_some()) {
        Some((name, _)) => Err(foreign(root, format!("no MANIFEST, but the segment {name}"))),
        None => Ok(()),
    }
}

async fn create<R: Runtime>(runtime: &R, root: &Path, logs: u16) -> Result<Manifest, OpenError> {
    let disk = runtime.disk();
    let created_ms = runtime.now_ms();
    let draw = || ahash::RandomState::new().hash_one(created_ms);
    let store_id = u128::from(draw()) << 64 | u128::from(draw());
    let manifest = Manifest { format: FORMAT, logs, store_id, created_ms };
    let mut block = vec![0; BLOCK_BYTES];
    BlockWriter::new(&mut block, MAGIC, FORMAT)
        .u32(u32::from(logs))
        .u128(store_id)
        .u64(created_ms.cast_unsigned())
        .seal();
    let (new, path) = (root.join(NEW_NAME), root.join(FILE_NAME));
    create_durably(disk, &new, &path, &block, BLOCK_BYTES as u64).await?;
    Ok(manifest)
}
