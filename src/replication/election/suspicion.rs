//! A follower's patience with its master.
//!
//! A process that has died is noticed at once: its streams are reset, and the next dial is refused.
//! A machine that has vanished is noticed by its silence, which has to be longer than what this
//! master has been silent for lately. Whoever has not run itself for a while knows nothing about
//! others: its patience begins anew.

use std::{collections::VecDeque, time::Duration};

use crate::ids::Epoch;

/// Silence that is suspicious, at least and at most.
pub const PATIENCE_MIN: Duration = Duration::from_millis(500);
pub const PATIENCE_MAX: Duration = Duration::from_secs(2);

/// The longest gap of the last minute counts as often.
const GAPS: u32 = 4;

/// Gaps are remembered for as long, by second.
const REMEMBERED: Duration = Duration::from_secs(60);

/// A timer that is later than that: this process stood still.
pub const OWN_STALL: Duration = Duration::from_millis(100);

/// How often [`Event::Timer`] is due: often enough to see an own stall before the master's silence.
pub const TIMER: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Something has come from the master.
    Heard,
    /// A stream of the master was reset, or ended.
    Reset,
    /// A dial to the master was refused: nobody listens there.
    Refused,
    /// A timer that was due then.
    Timer { due: Duration },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Dial now, to see whether anybody is there.
    Dial,
    /// Tell the control quorum, at once.
    Report(View),
}

/// What a follower knows of the master of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    pub epoch: Epoch,
    /// For how long it has heard nothing.
    pub silent_for: Duration,
    /// The stream was reset, the next dial refused, and nothing was heard since.
    pub is_refused: bool,
}

/// Silence with which a follower agrees that its master is gone, when it is asked.
pub const AGREES_AFTER: Duration = Duration::from_millis(400);

impl View {
    pub fn agrees(&self) -> bool {
        self.is_refused || self.silent_for > AGREES_AFTER
    }
}

/// Of one follower, about the master of one epoch.
#[derive(Clone, Debug)]
pub struct Suspicion {
    epoch: Epoch,
    /// Heard, or began to wait.
    heard: Duration,
    /// By second: the longest gap between two things that were heard.
    gaps: VecDeque<(Duration, Duration)>,
    /// The next gap is in part this process's own.
    stood_still: bool,
    is_reset: bool,
    is_refused: bool,
    is_reported: bool,
}

impl Suspicion {
    /// A master of whom nothing was heard yet has the same time to be heard.
    pub fn new(epoch: Epoch, now: Duration) -> Suspicion {
        Suspicion {
            epoch,
            heard: now,
            gaps: VecDeque::new(),
            stood_still: true,
            is_reset: false,
            is_refused: false,
            is_reported: false,
        }
    }

    pub fn step(&mut self, event: Event, now: Duration) -> Option<Action> {
        match event {
            Event::Heard => {
                self.hear(now);
                None
            }
            Event::Reset => {
                self.is_reset = true;
                Some(Action::Dial)
            }
            Event::Refused => {
                // Refused before anything was reset: its port is not open yet, or was never known.
                self.is_refused = self.is_reset;
                self.report(now)
            }
            Event::Timer { due } => {
                if now.saturating_sub(due) > OWN_STALL {
                    (self.heard, self.stood_still) = (now, true);
                    return None;
                }
                self.report(now)
            }
        }
    }

    /// What this follower answers when it is asked.
    pub fn view(&self, now: Duration) -> View {
        let silent_for = now.saturating_sub(self.heard);
        View { epoch: self.epoch, silent_for, is_refused: self.is_refused }
    }

    /// How much silence it takes now.
    pub fn patience(&self) -> Duration {
        let worst = self.gaps.iter().map(|(_, gap)| *gap).max().unwrap_or_default();
        (worst * GAPS).clamp(PATIENCE_MIN, PATIENCE_MAX)
    }

    fn hear(&mut self, now: Duration) {
        let gap = now.saturating_sub(self.heard);
        if !self.stood_still {
            let second = Duration::from_secs(now.as_secs());
            match self.gaps.back_mut() {
                Some((when, worst)) if *when == second => *worst = gap.max(*worst),
                _ => self.gaps.push_back((second, gap)),
            }
        }
        while self.gaps.front().is_some_and(|(when, _)| now.saturating_sub(*when) > REMEMBERED) {
            self.gaps.pop_front();
        }
        self.heard = now;
        self.stood_still = false;
        (self.is_reset, self.is_refused, self.is_reported) = (false, false, false);
    }

    /// Once for each silence; the control quorum asks again by itself.
    fn report(&mut self, now: Duration) -> Option<Action> {
        let view = self.view(now);
        let is_suspicious = view.is_refused || view.silent_for > self.patience();
        if !is_suspicious || self.is_reported {
            return None;
        }
        self.is_reported = true;
        Some(Action::Report(view))
    }
}

#[cfg(test)]
mod tests;
