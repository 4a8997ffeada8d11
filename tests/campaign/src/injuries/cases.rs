//! Which injuries there are.

use std::path::PathBuf;

use ringmq_io::sim::{Random, SimDisk};

use super::{Changed, store::Specimen};
use crate::history::{Ack, start_of};

const BLOCK_BYTES: u64 = 4096;

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Every bit of so many bytes before the end of the log.
    pub tail_bytes: u64,
    /// Every bit of so many bytes at the front of each block of the other files.
    pub head_bytes: u64,
    /// Of the rest of those blocks, one bit in so many.
    pub bit_step: u64,
    /// Zeroings, cuts, blocks from elsewhere and of earlier times.
    pub random: u64,
}

#[derive(Clone, Debug)]
pub enum Injury {
    Bit {
        path: PathBuf,
        bit: u64,
    },
    Zeros {
        path: PathBuf,
        from: u64,
        bytes: u64,
    },
    Noise {
        path: PathBuf,
        from: u64,
        bytes: u64,
        seed: u64,
    },
    Cut {
        path: PathBuf,
        length: u64,
    },
    Removed {
        path: PathBuf,
    },
    /// A block of another place was written here.
    Misdirected {
        path: PathBuf,
        block: u64,
        from: PathBuf,
        from_block: u64,
    },
    /// A write of the block was lost: what stood there at an earlier time still does.
    Stale {
        path: PathBuf,
        block: u64,
        time: usize,
    },
}

/// Bits of one file to flip, one by one.
pub struct Bits {
    pub path: PathBuf,
    pub bits: Box<dyn Iterator<Item = u64>>,
}

/// The end of the log.
pub fn tail(specimen: &Specimen, sizes: Sizes) -> Vec<Bits> {
    let end = specimen.history.acks.last().map_or(0, Ack::end);
    let mut all = Vec::new();
    for path in specimen.disk.files() {
        let Some(start) = start_of(&path) else { continue };
        if (start..start + length(&specimen.disk, &path)).contains(&end) {
            let end = end - start;
            let begin = end.saturating_sub(sizes.tail_bytes).max(BLOCK_BYTES);
            all.push(Bits { path, bits: Box::new(begin * 8..end * 8) });
        }
    }
    all
}

/// Of segments the header, of every other file all that is used.
pub fn blocks(specimen: &Specimen, sizes: Sizes) -> Vec<Bits> {
    let mut all = Vec::new();
    for path in specimen.disk.files() {
        let end = match start_of(&path) {
            Some(_) => 1,
            None => used(&specimen.disk, &path),
        };
        for block in (0..end).step_by(BLOCK_BYTES as usize) {
            all.push(Bits { path: path.clone(), bits: block_bits(block, sizes) });
        }
    }
    all
}

fn block_bits(block: u64, sizes: Sizes) -> Box<dyn Iterator<Item = u64>> {
    let (begin, end) = (block * 8, (block + BLOCK_BYTES) * 8);
    let rest = begin + (sizes.head_bytes * 8).min(BLOCK_BYTES * 8);
    let step = usize::try_from(sizes.bit_step).expect("small");
    Box::new((begin..rest).chain((rest..end).step_by(step)))
}

fn length(disk: &SimDisk, path: &PathBuf) -> u64 {
    disk.read_file(path).map_or(0, |bytes| bytes.len() as u64)
}

/// Bytes up to the last one that is not zero.
fn used(disk: &SimDisk, path: &PathBuf) -> u64 {
    let bytes = disk.read_file(path).unwrap_or_default();
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

/// The n-th random injury of the specimen.
pub fn random_injury(specimen: &Specimen, seed: u64, n: u64) -> Injury {
    let mut random = Random::new(seed.rotate_left(40) ^ n);
    let files = specimen.disk.files();
    // Every directory entry is as likely as another; half of all hit the log.
    let segments: Vec<_> = files.iter().filter(|path| start_of(path).is_some()).collect();
    let path = match random.chance(1, 2) {
        true => segments[random.index(segments.len())].clone(),
        false => files[random.index(files.len())].clone(),
    };
    let length = length(&specimen.disk, &path).max(1);
    let blocks = length.div_ceil(BLOCK_BYTES);
    let from = random.below(length);
    let most = [8, 600, 9000, 40_000][random.index(4)];
    let bytes = (1 + random.below(most)).min(length - from);
    match random.below(12) {
        0..=2 => Injury::Zeros { path, from, bytes },
        3 | 4 => Injury::Noise { path, from, bytes, seed: random.word() },
        5 => Injury::Cut { path, length: from },
        6 => Injury::Removed { path },
        7 | 8 => {
            let other = files[random.index(files.len())].clone();
            let other_blocks = self::length(&specimen.disk, &other).div_ceil(BLOCK_BYTES).max(1);
            let (block, from_block) = (random.below(blocks), random.below(other_blocks));
            Injury::Misdirected { path, block, from: other, from_block }
        }
        _ => {
            let time = random.index(specimen.earlier.len());
            Injury::Stale { path, block: random.below(blocks), time }
        }
    }
}

impl Injury {
    /// Does it; `None` if it changes nothing.
    pub(super) fn inflict(&self, disk: &SimDisk, specimen: &Specimen) -> Option<Changed> {
        match self {
            Injury::Bit { path, bit } => {
                disk.flip_bit(path, *bit);
                Some(Changed { path: path.clone(), bytes: bit / 8..bit / 8 + 1 })
            }
            Injury::Zeros { path, from, bytes } => {
                replace(disk, path, *from, &vec![0; usize::try_from(*bytes).ok()?])
            }
            Injury::Noise { path, from, bytes, seed } => {
                let mut random = Random::new(*seed);
                let noise: Vec<u8> = (0..*bytes).map(|_| random.word().to_le_bytes()[0]).collect();
                replace(disk, path, *from, &noise)
            }
            Injury::Cut { path, length } => {
                let before = self::length(disk, path);
                disk.truncate(path, *length);
                Some(Changed { path: path.clone(), bytes: *length..before })
            }
            Injury::Removed { path } => {
                disk.remove_file(path);
                Some(Changed { path: path.clone(), bytes: 0..u64::MAX >> 1 })
            }
            Injury::Misdirected { path, block, from, from_block } => {
                let bytes = block_of(disk, from, *from_block)?;
                replace(disk, path, block * BLOCK_BYTES, &bytes)
            }
            Injury::Stale { path, block, time } => {
                let bytes = block_of(specimen.earlier.get(*time)?, path, *block)?;
                replace(disk, path, block * BLOCK_BYTES, &bytes)
            }
        }
    }
}

fn block_of(disk: &SimDisk, path: &PathBuf, block: u64) -> Option<Vec<u8>> {
    let bytes = disk.read_file(path)?;
    let from = usize::try_from(block * BLOCK_BYTES).ok()?;
    Some(bytes.get(from..from + BLOCK_BYTES as usize)?.to_vec())
}

/// Puts other bytes there; says which part of them is new.
fn replace(disk: &SimDisk, path: &PathBuf, from: u64, new: &[u8]) -> Option<Changed> {
    let old = disk.read_file(path)?;
    let start = usize::try_from(from).ok()?;
    let old = old.get(start..start + new.len())?;
    let differs = |(old, new): (&u8, &u8)| old != new;
    let first = old.iter().zip(new).position(differs)?;
    let last = old.iter().zip(new).rposition(differs)?;
    disk.overwrite(path, from, new);
    Some(Changed { path: path.clone(), bytes: from + first as u64..from + last as u64 + 1 })
}
