//! When a half message is checked, and what its producer is asked with.

use ringmq_base::limits::PROPERTIES_BYTES_MAX;
use ringmq_remoting::codes::property::TRANSACTION_CHECK_TIMES;

use super::{Sweeps, TransactionRules};
use crate::message_properties::{Properties, PropertiesWriter, Property};

/// A half message that has no decision, as a sweep finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    pub offset: i64,
    /// See [`TransactionRules::check_from`].
    pub check_from: i64,
    /// Milliseconds since 1970; `None` if nobody has read it.
    pub stored_at: Option<i64>,
}

/// What a sweep does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckStep {
    NotYet,
    /// Ask its producer, and say that it is for the n-th time.
    Check {
        times: u32,
    },
    GiveUp,
}

/// Decides about an undecided half in a sweep that began at `now`.
pub fn step(rules: &TransactionRules, half: &Checked, sweeps: &Sweeps, now: i64) -> CheckStep {
    if now < half.check_from {
        return CheckStep::NotYet;
    }
    let checks = sweeps.checks(half.offset, half.check_from);
    let is_old = half.stored_at.is_some_and(|at| now.saturating_sub(at) > rules.age_max_ms);
    if checks >= rules.checks_max || is_old {
        return CheckStep::GiveUp;
    }
    CheckStep::Check { times: checks + 1 }
}

/// The properties of a half with how often its producer was asked, as this is asked; without, if
/// there is no room for that.
pub fn check_properties(half: &[u8], times: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(half.len() + 32);
    let mut writer = PropertiesWriter::new(&mut out);
    for Property { name, value } in Properties::new(half) {
        if name != TRANSACTION_CHECK_TIMES.as_bytes() {
            writer.copy(&[name, b"\x01", value].concat());
        }
    }
    let put = writer.put(TRANSACTION_CHECK_TIMES, times.to_string().as_bytes());
    put.expect("neither the name nor a number has a separator");
    if out.len() > PROPERTIES_BYTES_MAX { half.to_vec() } else { out }
}
