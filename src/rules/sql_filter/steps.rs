//! What evaluations cost, so that no expression holds a shard.

/// Bytes of a text that are looked at in one step.
const TEXT_BYTES: usize = 16;

/// Counts the work of evaluations: a step is one part of an expression, one property of a message
/// or 16 bytes of a text, some 10 ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    message: usize,
    before: usize,
}

/// The evaluation for one message was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("takes more than {} steps for this message", Steps::MESSAGE_MAX)]
pub struct TooManySteps;

impl Steps {
    /// Of the evaluation for one message: about a millisecond.
    pub const MESSAGE_MAX: usize = 100_000;

    pub fn begin_message(&mut self) {
        self.before += std::mem::take(&mut self.message);
    }

    /// Of all messages so far.
    pub fn total(&self) -> usize {
        self.before + self.message
    }

    pub fn take(&mut self, steps: usize) -> Result<(), TooManySteps> {
        self.message = self.message.saturating_add(steps);
        if self.message > Steps::MESSAGE_MAX { Err(TooManySteps) } else { Ok(()) }
    }

    /// A text of so many bytes is looked at.
    pub fn take_text(&mut self, bytes: usize) -> Result<(), TooManySteps> {
        self.take(bytes / TEXT_BYTES)
    }
}
