//! Who leads next, and when: decisions without input, output or clock. Times are of the monotonic
//! clock of whoever decides, as a duration since any moment before; those of two machines are never
//! compared.
//!
//! | part | who runs it | decides |
//! |---|---|---|
//! | [`suspicion`] | each follower | that it does not hear its master any more |
//! | [`resignation`] | the master | that its own disk does not do |
//! | [`agreement`] | who leads the control quorum | that all others agree, and whom to elect |
//! | [`choice`] | the same | who is the best of S |
//! | [`first`] | the same | who leads a group that nobody has led yet |
//! | [`lease`] | the master, a new one | what is answered without a commit |

pub mod agreement;
pub mod choice;
pub mod first;
pub mod lease;
pub mod resignation;
pub mod suspicion;
