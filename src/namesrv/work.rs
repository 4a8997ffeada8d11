//! Long requests take turns: a piece of work of each, and others in between.

use ringmq_remoting::codes::response;

use crate::answer::{Answer, Body};

/// Bytes of an answer that are made in one go.
pub const PIECE_BYTES: usize = 32 * 1024;
/// Entries of a table that are looked at in one go: some 100 us.
pub const PIECE_ENTRIES: usize = 256;

/// What a request needs of its connection while it is worked on.
#[allow(async_fn_in_trait)]
pub trait Work {
    /// Lets others have their turn; to be called at least twice a millisecond.
    ///
    /// # Errors
    /// If the connection is closed: nobody waits for an answer any more.
    async fn pause(&self) -> Result<(), Answer>;

    /// The same, until there is room for a long answer to go on: one is made at a time.
    ///
    /// # Errors
    /// As [`Work::pause`].
    async fn pause_for_room(&self) -> Result<(), Answer>;

    /// Others may have their turn while this one waits for something else, such as the disk.
    fn rest(&self);

    /// So much more is held until the answer is sent.
    fn holds(&self, bytes: usize);

    /// Longest body of an answer, in bytes.
    fn body_bytes_max(&self) -> usize;
}

/// Makes a body of pieces: `write` writes one each time, until it says that that was the last.
///
/// # Errors
/// If the body is too long or the connection is closed.
pub async fn in_pieces(
    work: &impl Work,
    mut write: impl FnMut(&mut String) -> bool,
) -> Result<Body, NotMade> {
    let mut body = Body::default();
    let mut bytes = 0;
    loop {
        let mut piece = String::new();
        let complete = write(&mut piece);
        piece.shrink_to_fit();
        bytes += piece.len();
        if bytes > work.body_bytes_max() {
            return Err(NotMade::Long { limit: work.body_bytes_max() });
        }
        work.holds(piece.len());
        if !piece.is_empty() {
            body.push(piece.into_bytes());
        }
        let go_on = match complete {
            true => return Ok(body),
            false if bytes >= PIECE_BYTES => work.pause_for_room().await,
            false => work.pause().await,
        };
        go_on.map_err(NotMade::Closed)?;
    }
}

/// Why a body is not made.
#[derive(Debug)]
pub enum NotMade {
    Long {
        /// In bytes.
        limit: usize,
    },
    /// With an answer that nobody waits for.
    Closed(Answer),
}

impl From<NotMade> for Answer {
    fn from(why: NotMade) -> Answer {
        let limit = match why {
            NotMade::Long { limit } => limit,
            NotMade::Closed(answer) => return answer,
        };
        let remark = format!(
            "the answer has more than {limit} bytes, which a frame and half of outputBytesMax \
             carry at most; ask for less, such as the topics of one cluster"
        );
        Answer::refuse(response::SYSTEM_ERROR, remark)
    }
}

#[cfg(test)]
pub mod test {
    use std::cell::Cell;

    use super::*;

    /// Work that nobody waits for; counts its turns.
    #[derive(Default)]
    pub struct Alone {
        pub pauses: Cell<usize>,
        pub held: Cell<usize>,
    }

    impl Work for Alone {
        async fn pause(&self) -> Result<(), Answer> {
            self.pauses.set(self.pauses.get() + 1);
            Ok(())
        }

        async fn pause_for_room(&self) -> Result<(), Answer> {
            self.pause().await
        }

        fn rest(&self) {}

        fn holds(&self, bytes: usize) {
            self.held.set(self.held.get() + bytes);
        }

        fn body_bytes_max(&self) -> usize {
            ringmq_remoting::fastjson::BODY_BYTES_MAX
        }
    }
}
