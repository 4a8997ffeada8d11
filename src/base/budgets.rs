//! The memory of a server: a row for each budget, with what sets it and what it comes to. What
//! clients can take has a row; the sum is what the process stays under. Budgets that the operator
//! did not set follow from the memory that there is.
//!
//! Pure: no file is read here.

use std::collections::BTreeMap;

use crate::{config::Origin, units::human_bytes};

/// Of the memory that there is, the part that the kernel has for sockets, rings and page tables,
/// and that is not counted as the process's own.
pub const KERNEL_SHARE: u64 = 8;
/// Of all budgets, what the allocator may hold besides: it gives memory back late, in large pieces.
const ALLOCATOR_SHARE: u64 = 8;
/// Budgets are cut to parts of so many of their defaults.
const STEPS: u64 = 4096;

/// How a budget came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Nothing sets it.
    Fixed,
    Default,
    /// The operator has set its key.
    Set,
    /// Less than the default, for want of memory.
    Memory,
}

/// One budget of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Its key, or what it is for if there is none.
    pub name: &'static str,
    /// The value of the key: bytes, or a number of what is counted.
    pub value: u64,
    /// All of it in bytes.
    pub bytes: u64,
    pub basis: Basis,
}

/// All budgets, in the order of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budgets(pub Vec<Budget>);

impl Budgets {
    /// What the process stays under, in bytes.
    pub fn sum(&self) -> u64 {
        self.0.iter().map(|budget| budget.bytes).sum()
    }
}

/// `appendQueueBytesMax 16.0 MiB, ...`: a budget each, all of it.
impl std::fmt::Display for Budgets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, budget) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{} {}", budget.name, human_bytes(budget.bytes))?;
            match budget.basis {
                Basis::Set => f.write_str(" (set)")?,
                Basis::Memory => write!(f, " (cut to {})", budget.value)?,
                Basis::Fixed | Basis::Default => {}
            }
        }
        Ok(())
    }
}

/// A row of a table of budgets: where a value is among those of type `V`, and what it comes to,
/// with counts of type `C`.
pub struct Row<V, C> {
    /// The key, or a few words.
    pub name: &'static str,
    pub get: fn(&V) -> u64,
    pub set: fn(&mut V, u64),
    /// Bytes of memory for a value.
    pub bytes: fn(&V, C, u64) -> u64,
    /// What it is never cut below.
    pub least: fn(&V, C) -> u64,
    /// Values are multiples of it.
    pub unit: u64,
}

/// All that is known of a server's budgets before they are fitted.
pub struct Table<'a, V, C> {
    /// What it is: `broker`.
    pub server: &'static str,
    pub rows: &'a [Row<V, C>],
    pub counts: C,
    pub defaults: V,
    /// Which keys were set.
    pub origins: &'a BTreeMap<&'static str, Origin>,
    /// What nothing sets, in bytes.
    pub fixed: Vec<(&'static str, u64)>,
    /// What to do if it does not fit and nothing was set.
    pub remedy: &'static str,
}

impl<V: Clone, C: Copy> Table<'_, V, C> {
    /// Cuts what the operator did not set until all fits into `memory` bytes, and lists what came
    /// of it. `whence`: what says that there is no more.
    ///
    /// # Errors
    /// If it cannot: a sentence for the operator.
    pub fn fit(&self, values: &mut V, (memory, whence): (u64, &str)) -> Result<Budgets, String> {
        let room = memory - memory / KERNEL_SHARE;
        let wanted = values.clone();
        let mut low = 0;
        let mut high = STEPS;
        // The largest part of the defaults that fits: budgets grow with it.
        while low < high {
            let middle = (low + high).div_ceil(2);
            if self.list(&self.cut(&wanted, middle)).sum() <= room {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        *values = self.cut(&wanted, low);
        let budgets = self.list(values);
        match budgets.sum() <= room {
            true => Ok(budgets),
            false => Err(self.refusal(&budgets, memory, whence)),
        }
    }

    fn is_set(&self, name: &str) -> bool {
        matches!(
            self.origins.get(name),
            Some(Origin::File { .. } | Origin::CommandLine | Origin::Environment(_))
        )
    }

    /// The values with `part` of [`STEPS`] of what nobody has set.
    fn cut(&self, wanted: &V, part: u64) -> V {
        let mut values = wanted.clone();
        for row in self.rows.iter().filter(|row| part < STEPS && !self.is_set(row.name)) {
            let default = (row.get)(wanted);
            let less = u128::from(default) * u128::from(part) / u128::from(STEPS);
            let less = u64::try_from(less).unwrap_or(default) / row.unit * row.unit;
            (row.set)(&mut values, less.max((row.least)(wanted, self.counts)).min(default));
        }
        values
    }

    fn list(&self, values: &V) -> Budgets {
        let fixed = |name, bytes| Budget { name, value: bytes, bytes, basis: Basis::Fixed };
        let mut budgets: Vec<Budget> =
            self.fixed.iter().map(|(name, bytes)| fixed(*name, *bytes)).collect();
        budgets.extend(self.rows.iter().map(|row| {
            let value = (row.get)(values);
            let basis = match self.is_set(row.name) {
                true => Basis::Set,
                false if value < (row.get)(&self.defaults) => Basis::Memory,
                false => Basis::Default,
            };
            let bytes = (row.bytes)(values, self.counts, value);
            Budget { name: row.name, value, bytes, basis }
        }));
        let all: u64 = budgets.iter().map(|budget| budget.bytes).sum();
        budgets.push(fixed("allocator", all / ALLOCATOR_SHARE));
        Budgets(budgets)
    }

    #[cold]
    fn refusal(&self, budgets: &Budgets, memory: u64, whence: &str) -> String {
        let need = budgets.sum() + budgets.sum() / (KERNEL_SHARE - 1);
        let set = budgets.0.iter().filter(|budget| budget.basis == Basis::Set);
        let remedy = match set.max_by_key(|budget| budget.bytes) {
            Some(most) => format!("lower {} = {}", most.name, most.value),
            None => self.remedy.to_owned(),
        };
        format!(
            "the budgets of this {} need {need} bytes of memory and {whence} gives it {memory}: \
             {remedy}, or raise the limit (budgets: {budgets})",
            self.server
        )
    }
}
