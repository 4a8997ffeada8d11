//! Layer 0: everything that reaches outside the process or waits: disk, network, clock, tasks and
//! messages between threads, as traits ([`Runtime`]) with two implementations:
//! [`ring`] (io_uring, tasks on glommio's executor; with [`launch`] all that names that crate) and
//! [`sim`] (a seeded executor on a virtual clock with a disk that loses, tears and fails writes,
//! for tests).
//!
//! May depend on `base` only. A [`Runtime`] value lives on the executor that made it and is not
//! `Send`; what crosses threads does so through [`mailbox`].

pub mod allocator;
pub mod confine;
pub mod disk;
pub mod gate;
pub mod kernel_tls;
pub mod launch;
pub mod lock;
pub mod mailbox;
pub mod net;
pub mod ring;
pub mod runtime;
pub mod signal;
pub mod sim;

pub use disk::{BlockBuffer, Disk, DiskError, File, OpenMode};
pub use launch::{allowed_cpus, launch};
pub use mailbox::mailbox;
pub use net::{Accepted, Listener, Net, SocketBuffers, Stream, listen_when_free};
pub use runtime::{Clock, Runtime, Shares, Spawn};
