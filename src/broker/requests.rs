//! Requests of clients: from a frame to its answer. The [`table`](table) has a row for each code;
//! sends and pulls, which are frequent, have a path of their own in [`dispatch`].

pub mod admin;
mod administration;
pub mod admission;
mod authorize;
pub mod clients;
pub mod consume;
pub mod dispatch;
pub mod next;
mod not_served;
pub mod prerequisite;
pub mod produce;
pub mod reader;
pub mod response;
pub mod table;

use std::rc::Rc;

use ringmq_io::Runtime;
use ringmq_rules::refusal::Refusal;

pub use self::response::{Field, Handled, Request, Response};
use crate::{control::Control, net::places::Places, shard::Shard};

/// What handles the requests that reach a shard.
pub struct Requests<R: Runtime> {
    pub shard: Rc<Shard<R>>,
    /// On the control shard only.
    control: Option<Rc<Control<R>>>,
    /// Who may connect; used on the control shard.
    pub places: Places,
}

impl<R: Runtime> Requests<R> {
    pub fn new(shard: Rc<Shard<R>>, control: Option<Rc<Control<R>>>) -> Rc<Requests<R>> {
        let shards = shard.router.shards();
        let places = Places::new(shard.settings.connection_limits(shards), shards);
        Rc::new(Requests { shard, control, places })
    }

    /// Topics, groups and clients.
    ///
    /// # Errors
    /// On another shard than the control shard, where requests of the control plane never arrive.
    pub fn control(&self) -> Result<&Rc<Control<R>>, Refusal> {
        let elsewhere = || Refusal::system_error("internal error: not on the control shard");
        self.control.as_ref().ok_or_else(elsewhere)
    }
}
