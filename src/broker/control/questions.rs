//! Requests of administrators that wait for clients: only so many at a time, for each may hold what
//! a client answers.

use std::cell::Cell;

use ringmq_rules::refusal::{Refusal, code};

/// So many may wait.
const QUESTIONS_MAX: usize = 16;

#[derive(Default)]
pub struct Questions(Cell<usize>);

/// One that waits.
pub struct Question<'a>(&'a Questions);

impl Questions {
    /// # Errors
    /// The answer to the request, if too many wait already.
    pub fn begin(&self) -> Result<Question<'_>, Refusal> {
        let waiting = self.0.get();
        if waiting >= QUESTIONS_MAX {
            let remark = format!(
                "[OVERLOAD]system busy, start flow control for a while: {waiting} requests of \
                 administrators wait for clients, the limit is {QUESTIONS_MAX}; try again later"
            );
            return Err(Refusal::new(code::SYSTEM_BUSY, remark));
        }
        self.0.set(waiting + 1);
        Ok(Question(self))
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_wait_for_clients() {
        let questions = Questions::default();
        let mut waiting: Vec<_> = (0..QUESTIONS_MAX).map(|_| questions.begin()).collect();
        let refusal = questions.begin().err().expect("too many");
        assert_eq!(refusal.code, code::SYSTEM_BUSY);
        waiting.pop();
        assert!(questions.begin().is_ok());
    }
}
