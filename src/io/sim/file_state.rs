//! The bytes of one simulated file: what readers see, what would survive a power cut, and what is
//! between the two.

use std::{collections::BTreeMap, rc::Rc};

use ringmq_base::limits::BLOCK_BYTES;

use super::{images::PowerCut, random::Random};

/// What a device writes at once or not at all, in bytes.
pub(super) const SECTOR_BYTES: usize = 512;

type Block = [u8; BLOCK_BYTES];

/// Sparse content: blocks that are missing are zeros. Copies share blocks.
#[derive(Clone, Default, Debug)]
pub(super) struct Content {
    blocks: BTreeMap<u64, Rc<Block>>,
    length: u64,
}

impl Content {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Cuts (what was cut reads as zeros if the file grows again) or extends.
    pub(super) fn set_length(&mut self, length: u64) {
        if length < self.length {
            let (block, offset) = split(length);
            let kept = if offset == 0 { block } else { block + 1 };
            self.blocks.split_off(&kept);
            if let Some(bytes) = self.blocks.get_mut(&block)
                && offset > 0
            {
                Rc::make_mut(bytes)[offset..].fill(0);
            }
        }
        self.length = length;
    }

    /// Writes without a change of length; what lies beyond it is not kept.
    pub(super) fn write(&mut self, position: u64, bytes: &[u8]) {
        let room = usize::try_from(self.length.saturating_sub(position)).unwrap_or(usize::MAX);
        let mut rest = &bytes[..bytes.len().min(room)];
        let mut position = position;
        while !rest.is_empty() {
            let (block, offset) = split(position);
            let count = rest.len().min(BLOCK_BYTES - offset);
            let (now, later) = rest.split_at(count);
            if self.blocks.contains_key(&block) || now.iter().any(|byte| *byte != 0) {
                let target = self.blocks.entry(block).or_insert_with(|| Rc::new([0; BLOCK_BYTES]));
                Rc::make_mut(target)[offset..offset + count].copy_from_slice(now);
            }
            rest = later;
            position += count as u64;
        }
    }

    /// Fills `target` from `position`; returns how many bytes the file had there.
    pub(super) fn read(&self, position: u64, target: &mut [u8]) -> usize {
        let left = usize::try_from(self.length.saturating_sub(position)).unwrap_or(usize::MAX);
        let wanted = target.len().min(left);
        let mut done = 0;
        while done < wanted {
            let (block, offset) = split(position + done as u64);
            let count = (wanted - done).min(BLOCK_BYTES - offset);
            let part = &mut target[done..done + count];
            match self.blocks.get(&block) {
                Some(bytes) => part.copy_from_slice(&bytes[offset..offset + count]),
                None => part.fill(0),
            }
            done += count;
        }
        wanted
    }
}

fn split(position: u64) -> (u64, usize) {
    let block = BLOCK_BYTES as u64;
    (position / block, usize::try_from(position % block).expect("below the block size"))
}

/// One unstable content of a sector.
#[derive(Clone, Debug)]
struct Version {
    sequence: u64,
    /// A sync that covered it failed: no later sync makes it stable.
    lost: bool,
    /// The process that was told of the failure is gone.
    forgotten: bool,
    write: Rc<[u8]>,
    offset: usize,
}

impl Version {
    fn bytes(&self) -> &[u8] {
        &self.write[self.offset..self.offset + SECTOR_BYTES]
    }
}

#[derive(Clone, Copy, Debug)]
struct LengthChange {
    sequence: u64,
    /// A sync that covered it failed: no later sync of this process makes it stable.
    lost: bool,
    length: u64,
}

/// A file without its names.
#[derive(Clone, Default, Debug)]
pub(super) struct FileState {
    /// What reads return.
    pub(super) current: Content,
    stable: Content,
    /// By sector number, oldest first.
    unstable: BTreeMap<u64, Vec<Version>>,
    /// Oldest first.
    lengths: Vec<LengthChange>,
    /// End of the room that the file takes on the device.
    pub(super) allocated_end: u64,
    pub(super) handles: usize,
}

impl FileState {
    /// A file all of which is stable.
    pub(super) fn stable_with(bytes: &[u8]) -> Self {
        let mut state = FileState::default();
        state.replace(bytes);
        state
    }

    /// Puts these bytes in the place of the whole content, stable.
    pub(super) fn replace(&mut self, bytes: &[u8]) {
        let mut content = Content::default();
        content.set_length(bytes.len() as u64);
        content.write(0, bytes);
        self.current = content.clone();
        self.stable = content;
        self.unstable.clear();
        self.lengths.clear();
        self.allocated_end = (bytes.len() as u64).next_multiple_of(BLOCK_BYTES as u64);
    }

    /// Changes bytes in place, as decay of the medium would. Makes all of the file stable.
    pub(super) fn injure(&mut self, position: u64, bytes: &[u8]) {
        self.current.write(position, bytes);
        self.stable = self.current.clone();
        self.unstable.clear();
        self.lengths.clear();
    }

    /// The bytes of whole sectors arrive. Extends the length where needed.
    pub(super) fn write(&mut self, sequence: u64, position: u64, bytes: &Rc<[u8]>, durable: bool) {
        let end = position + bytes.len() as u64;
        if end > self.current.length() {
            self.change_length(sequence, end);
        }
        if durable && end > self.stable.length() {
            // O_DSYNC carries the metadata without which the bytes cannot be read.
            self.promote_lengths(sequence);
            if end > self.stable.length() {
                self.stable.set_length(end);
            }
        }
        self.allocated_end = self.allocated_end.max(end.next_multiple_of(BLOCK_BYTES as u64));
        self.current.write(position, bytes);
        self.add_versions(sequence, position, bytes, 0..bytes.len() / SECTOR_BYTES);
        if durable {
            let first = position / SECTOR_BYTES as u64;
            let count = (bytes.len() / SECTOR_BYTES) as u64;
            for sector in first..first + count {
                self.promote_sector(sector, sequence);
            }
        }
    }

    /// Only some sectors of a write arrive: it was under way at a crash, or failed.
    pub(super) fn write_some(
        &mut self,
        sequence: u64,
        position: u64,
        bytes: &Rc<[u8]>,
        mut keep: impl FnMut(usize) -> bool,
    ) {
        for sector in 0..bytes.len() / SECTOR_BYTES {
            if !keep(sector) {
                continue;
            }
            let offset = sector * SECTOR_BYTES;
            let end = position + (offset + SECTOR_BYTES) as u64;
            if end > self.current.length() {
                self.change_length(sequence, end);
            }
            self.allocated_end = self.allocated_end.max(end.next_multiple_of(BLOCK_BYTES as u64));
            let part = &bytes[offset..offset + SECTOR_BYTES];
            self.current.write(position + offset as u64, part);
            self.add_versions(sequence, position, bytes, sector..sector + 1);
        }
    }

    fn add_versions(
        &mut self,
        sequence: u64,
        position: u64,
        write: &Rc<[u8]>,
        sectors: std::ops::Range<usize>,
    ) {
        let first = position / SECTOR_BYTES as u64;
        for sector in sectors {
            let offset = sector * SECTOR_BYTES;
            let write = write.clone();
            let version = Version { sequence, lost: false, forgotten: false, write, offset };
            self.unstable.entry(first + sector as u64).or_default().push(version);
        }
    }

    pub(super) fn set_length(&mut self, sequence: u64, length: u64) {
        if length < self.current.length() {
            self.allocated_end =
                self.allocated_end.min(length.next_multiple_of(BLOCK_BYTES as u64));
        }
        self.change_length(sequence, length);
    }

    pub(super) fn allocate(&mut self, sequence: u64, end: u64) {
        self.allocated_end = self.allocated_end.max(end.next_multiple_of(BLOCK_BYTES as u64));
        if end > self.current.length() {
            self.change_length(sequence, end);
        }
    }

    fn change_length(&mut self, sequence: u64, length: u64) {
        let cut_inside_sector =
            length < self.current.length() && !length.is_multiple_of(SECTOR_BYTES as u64);
        self.current.set_length(length);
        self.lengths.push(LengthChange { sequence, lost: false, length });
        if cut_inside_sector {
            // The zeros behind the cut are a write of the file system's.
            let position = length / SECTOR_BYTES as u64 * SECTOR_BYTES as u64;
            let mut sector = vec![0; SECTOR_BYTES];
            self.current.read(position, &mut sector);
            self.add_versions(sequence, position, &Rc::from(sector), 0..1);
        }
    }

    /// A sync that began after `mark` ended well.
    pub(super) fn promote(&mut self, mark: u64) {
        self.promote_lengths(mark);
        let sectors: Vec<u64> = self.unstable.keys().copied().collect();
        for sector in sectors {
            self.promote_sector(sector, mark);
        }
    }

    /// A sync that began after `mark` failed.
    pub(super) fn lose(&mut self, mark: u64) {
        for version in self.unstable.values_mut().flatten() {
            version.lost |= version.sequence <= mark;
        }
        for change in &mut self.lengths {
            change.lost |= change.sequence <= mark;
        }
    }

    /// A durable write failed: what arrived of it has not been synced, and is not by a later sync.
    pub(super) fn lose_write(&mut self, sequence: u64) {
        for version in self.unstable.values_mut().flatten() {
            version.lost |= version.sequence == sequence;
        }
    }

    /// A new process: it cannot know which syncs failed before it, and the device does not say so
    /// again. Bytes stay lost until they are written anew. Lengths are the journal's: a file system
    /// whose journal has failed takes no more writes, so one that does still has to commit them.
    pub(super) fn forget_failures(&mut self) {
        for version in self.unstable.values_mut().flatten() {
            version.forgotten = version.lost;
        }
        for change in &mut self.lengths {
            change.lost = false;
        }
    }

    /// Whether a power cut would change nothing, as far as this process can know.
    pub(super) fn is_synced(&self) -> bool {
        self.unstable.values().flatten().all(|version| version.forgotten) && self.lengths.is_empty()
    }

    fn promote_lengths(&mut self, mark: u64) {
        let mut kept = Vec::new();
        for change in std::mem::take(&mut self.lengths) {
            if change.lost || change.sequence > mark {
                kept.push(change);
            } else {
                self.make_length_stable(change);
            }
        }
        self.lengths = kept;
    }

    fn make_length_stable(&mut self, change: LengthChange) {
        let LengthChange { sequence, length, lost: _ } = change;
        if length < self.stable.length() {
            // Versions of before the cut must not come back behind it.
            self.unstable.retain(|sector, versions| {
                if sector * SECTOR_BYTES as u64 >= length {
                    versions.retain(|version| version.sequence > sequence);
                }
                !versions.is_empty()
            });
        }
        self.stable.set_length(length);
    }

    fn promote_sector(&mut self, sector: u64, mark: u64) {
        let Some(versions) = self.unstable.get_mut(&sector) else {
            return;
        };
        let newest = versions.iter().rposition(|version| version.sequence <= mark && !version.lost);
        if let Some(newest) = newest {
            let position = sector * SECTOR_BYTES as u64;
            self.stable.write(position, versions[newest].bytes());
            // Older ones are overwritten on the device, those of a failed sync too.
            versions.drain(..=newest);
        }
        if versions.is_empty() {
            self.unstable.remove(&sector);
        }
    }

    /// What the file may be after the power came back.
    pub(super) fn after_power_cut(&self, random: &mut Random, cut: &PowerCut) -> FileState {
        let mut after = self.clone();
        let keep_lengths = random.index(self.lengths.len() + 1);
        // The journal commits in order, and writes of before a cut end with it.
        for change in self.lengths.iter().take(keep_lengths) {
            after.make_length_stable(*change);
        }
        // One image in a few keeps all or nothing, the others anything in between.
        let eighths = match random.below(4) {
            0 => 0,
            1 => 8,
            _ => random.below(9),
        };
        for (sector, versions) in std::mem::take(&mut after.unstable) {
            if !random.chance(eighths, 8) {
                continue;
            }
            let position = sector * SECTOR_BYTES as u64;
            let version = &versions[random.index(versions.len())];
            let mut bytes = version.bytes();
            if cut.torn_sectors && random.chance(1, 4) {
                bytes = &bytes[..random.index(SECTOR_BYTES)];
            }
            after.stable.write(position, bytes);
        }
        after.lengths.clear();
        after.current = after.stable.clone();
        after.handles = 0;
        after.allocated_end =
            after.stable.length().next_multiple_of(BLOCK_BYTES as u64).max(after.allocated_end);
        after
    }
}
