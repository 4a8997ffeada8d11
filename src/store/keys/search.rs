//! Candidates of a search, newest first: from memory, then from one run after the other.

use std::{collections::VecDeque, rc::Rc};

use ringmq_io::Runtime;

use super::{
    buffer::{KeyBuffer, Wanted},
    run::{Budget, Run},
};
use crate::api::errors::ReadError;

/// What a search has still to look at. Holds the runs that were there when it began.
pub struct Search<R: Runtime> {
    wanted: Wanted,
    in_memory: VecDeque<u64>,
    /// Newest last.
    runs: Vec<Rc<Run<R>>>,
    budget: Budget,
    /// A run that is damaged: results may be missing.
    pub damage: Option<ReadError>,
}

impl<R: Runtime> Search<R> {
    /// `runs` in the order of the log, looked up together with the buffer: nothing was awaited in
    /// between. Reads `pages_max` pages at most, and takes so many candidates from memory.
    pub fn new(
        wanted: Wanted,
        buffer: &KeyBuffer,
        runs: Vec<Rc<Run<R>>>,
        in_memory_max: usize,
        pages_max: u32,
    ) -> Self {
        let mut found = Vec::new();
        buffer.search(&wanted, in_memory_max, &mut found);
        // More in memory than a search may bring: it ends there.
        let runs = if found.len() < in_memory_max { runs } else { Vec::new() };
        Search {
            wanted,
            in_memory: found.into(),
            runs,
            budget: Budget::new(pages_max),
            damage: None,
        }
    }

    /// Up to `limit` further positions, the newest first; none at the end. A message may be
    /// another one with the same hash, or up to a few seconds outside the times.
    pub async fn next(&mut self, limit: usize) -> Result<Vec<u64>, ReadError> {
        let count = limit.min(self.in_memory.len());
        let mut found: Vec<u64> = self.in_memory.drain(..count).collect();
        while found.is_empty() && !self.budget.is_spent() {
            let Some(run) = self.runs.last().cloned() else {
                break;
            };
            if run.overlaps(&self.wanted) {
                match run.search(&self.wanted, limit, &self.budget, &mut found).await {
                    Ok(()) => {}
                    Err(damage @ ReadError::DamagedKeys { .. }) => {
                        self.damage = Some(damage);
                        found.clear();
                    }
                    Err(error) => return Err(error),
                }
            }
            if found.len() < limit {
                self.runs.pop();
            }
        }
        if let Some(last) = found.last() {
            self.wanted.before = *last;
        }
        Ok(found)
    }

    /// The search gave up before the end: it has read as much as a search may.
    pub fn is_cut(&self) -> bool {
        self.budget.is_spent() && !self.runs.is_empty()
    }
}
