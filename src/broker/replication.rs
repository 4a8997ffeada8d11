//! A broker that has copies, or is one: the streams between masters and slaves.

mod facts;
mod follow;
mod identity;
mod listener;
mod logs;
mod master;
mod metadata;
mod serve;

pub use self::{
    follow::follow,
    identity::{prepare, waits_for_master},
    listener::listen,
    logs::{begin, tell_master},
};
