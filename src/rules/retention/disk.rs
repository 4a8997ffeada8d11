//! How full the disk is, and what that means.

use std::{fmt, path::PathBuf};

use crate::{Refusal, refusal::code};

/// Percentage points below its threshold at which a state is left, so that it does not come and go
/// with every segment.
const HYSTERESIS: u32 = 1;

/// The file system of the store, as this user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskUsage {
    pub path: PathBuf,
    /// Bytes in all and free; what is reserved for the administrator counts as neither.
    pub total: u64,
    pub free: u64,
}

impl DiskUsage {
    fn used(&self) -> u64 {
        self.total.saturating_sub(self.free)
    }

    fn is_above(&self, percent: u32) -> bool {
        u128::from(self.used()) * 100 > u128::from(self.total) * u128::from(percent)
    }

    /// Bytes to free until the state of this threshold is left.
    pub fn bytes_above(&self, percent: u32) -> u64 {
        let percent = u128::from(percent.saturating_sub(HYSTERESIS));
        let allowed = u128::from(self.total) * percent / 100;
        self.used().saturating_sub(u64::try_from(allowed).unwrap_or(u64::MAX))
    }

    /// 0 to 1, rounded up to a hundredth as Java does.
    pub fn ratio(&self) -> f64 {
        let (used, total) = (u128::from(self.used()), u128::from(self.total.max(1)));
        let percent = (used * 100).div_ceil(total);
        u32::try_from(percent).map_or(1.0, f64::from) / 100.0
    }

    /// In tenths of a percent, rounded up.
    pub fn used_permille(&self) -> u32 {
        let permille = (u128::from(self.used()) * 1000).div_ceil(u128::from(self.total.max(1)));
        u32::try_from(permille).unwrap_or(1000)
    }
}

/// Percentages of the disk in use above which a state begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// diskMaxUsedSpaceRatio.
    pub warn: u32,
    /// diskSpaceCleanForciblyRatio.
    pub clean: u32,
    /// diskSpaceWarningLevelRatio: RocketMQ's name for the level at which sends are refused.
    pub refuse: u32,
}

impl Thresholds {
    fn of(&self, state: DiskState) -> u32 {
        match state {
            DiskState::Normal => 0,
            DiskState::Warn => self.warn,
            DiskState::Clean => self.clean,
            DiskState::Refuse => self.refuse,
        }
    }
}

/// What the fill of the disk makes the broker do. Each state does what those before it do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskState {
    /// Expired segments go at the hours of deleteWhen.
    #[default]
    Normal,
    /// Expired segments go at any hour, no files are kept for reuse.
    Warn,
    /// The oldest segments go before their time, if cleanFileForciblyEnable.
    Clean,
    /// Sends are refused.
    Refuse,
}

impl DiskState {
    pub const fn name(self) -> &'static str {
        match self {
            DiskState::Normal => "normal",
            DiskState::Warn => "warn",
            DiskState::Clean => "clean",
            DiskState::Refuse => "refuse",
        }
    }

    /// The state that follows. Going up needs a threshold to be passed, going down the fill to be
    /// a percentage point below it.
    pub fn next(self, disk: Option<&DiskUsage>, thresholds: &Thresholds) -> DiskState {
        let Some(disk) = disk.filter(|disk| disk.total > 0) else {
            return self;
        };
        let above = |state: &DiskState| {
            let slack = if *state <= self { HYSTERESIS } else { 0 };
            disk.is_above(thresholds.of(*state).saturating_sub(slack))
        };
        let states = [DiskState::Refuse, DiskState::Clean, DiskState::Warn];
        states.into_iter().find(above).unwrap_or(DiskState::Normal)
    }
}

impl fmt::Display for DiskState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The answer to sends while the disk is too full: what was measured, the limit, and what to do.
pub fn refusal(disk: &DiskUsage, thresholds: &Thresholds) -> Refusal {
    let (ratio, permille) = (disk.ratio(), disk.used_permille());
    let (limit, again) = (thresholds.refuse, thresholds.refuse.saturating_sub(HYSTERESIS));
    Refusal::new(
        code::SERVICE_NOT_AVAILABLE,
        format!(
            "service not available now. It may be caused by one of the following reasons: the \
             broker's disk is full [CL: {ratio:.2} CQ: {ratio:.2} INDEX: {ratio:.2}]: \
             {whole}.{tenth} % of the file system of {path} is in use and sends are refused above \
             diskSpaceWarningLevelRatio = {limit} %; they are taken again from {again} % on. Free \
             space there or raise diskSpaceWarningLevelRatio",
            whole = permille / 10,
            tenth = permille % 10,
            path = disk.path.display(),
        ),
    )
}
