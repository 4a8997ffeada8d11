//! Space and inodes.

use std::path::Path;

use nix::sys::statvfs::statvfs;
use ringmq_base::{config::BrokerConfig, units::human_bytes};

use super::condition::{Condition, Severity};

/// A store makes few files; below this something else takes them all.
const INODES_MIN: u64 = 10_000;

/// What a file system has, for this user: bytes and inodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub bytes: u64,
    pub bytes_free: u64,
    /// 0 where there is no such number.
    pub inodes: u64,
    pub inodes_free: u64,
}

impl Space {
    pub fn of(path: &Path) -> Option<Space> {
        let found = statvfs(path).ok()?;
        Some(Space {
            // Without what is kept for root, as retention reckons.
            bytes: (found.blocks() - found.blocks_free() + found.blocks_available())
                .saturating_mul(found.fragment_size()),
            bytes_free: found.blocks_available().saturating_mul(found.fragment_size()),
            inodes: found.files(),
            inodes_free: found.files_available(),
        })
    }
}

/// Rows of the file system of the directory that is called `role`.
pub fn rows(space: Space, config: &BrokerConfig, role: &str) -> Vec<Condition> {
    let used = 100 - space.bytes_free.saturating_mul(100) / space.bytes.max(1);
    let (warn, refuse) = (config.disk_max_used_space_ratio, config.disk_space_warning_level_ratio);
    let found = format!("{used} % used, {} free", human_bytes(space.bytes_free));
    let required = format!("less than {warn} % used");
    let free = Condition::new(format!("space of the {role}"), required, found);
    let free = free.but_if(
        used >= u64::from(warn),
        Severity::Warning,
        "expired messages are deleted at any hour (diskMaxUsedSpaceRatio): make room, or keep \
         messages for less long (fileReservedTime, retentionBytes)",
    );
    let free = free.but_if(
        used >= u64::from(refuse),
        Severity::Warning,
        "sends are refused (diskSpaceWarningLevelRatio): make room",
    );
    let mut rows = vec![free];
    if space.inodes > 0 {
        let found = format!("{} of {} free", space.inodes_free, space.inodes);
        let required = format!("{INODES_MIN} free");
        let row = Condition::new(format!("inodes of the {role}"), required, found);
        rows.push(row.but_if(
            space.inodes_free < INODES_MIN,
            Severity::Warning,
            "no file can be made when there are none left, however much space there is: remove \
             small files, or make the file system anew with more inodes",
        ));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_the_configuration() {
        let config = BrokerConfig::default();
        let rows_at = |free: u64, inodes_free| {
            let space =
                Space { bytes: 1000 << 20, bytes_free: free << 20, inodes: 1 << 20, inodes_free };
            rows(space, &config, "store")
        };
        let fine = rows_at(300, 1 << 19);
        assert!(fine.iter().all(|row| row.severity == Severity::Ok), "{fine:?}");
        assert_eq!(fine[0].found, "70 % used, 300.0 MiB free");
        assert!(rows_at(240, 5)[0].remedy.contains("diskMaxUsedSpaceRatio"));
        assert!(rows_at(90, 5)[0].remedy.contains("sends are refused"));
        assert_eq!(rows_at(90, 5)[1].severity, Severity::Warning);
        let none = Space { bytes: 0, bytes_free: 0, inodes: 0, inodes_free: 0 };
        assert_eq!(rows(none, &config, "store").len(), 1);
        assert!(Space::of(Path::new("/")).is_some_and(|space| space.bytes > 0));
    }
}
