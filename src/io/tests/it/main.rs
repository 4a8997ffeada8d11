//! The ring runtime on a real file system and real sockets.

mod disk;
mod mailbox;
mod net;
mod panic;
mod support;
mod turns;
