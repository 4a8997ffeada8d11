//! Layer 1: TLS as a stream over a stream, for servers on the ports that they have anyway, and for
//! connections that they make. It knows no protocol above it, and lives on the executor of its
//! connection; certificates are read, and read again, by a thread of their own.
//!
//! A connection without TLS costs a branch more than without this crate.
//!
//! May depend on `base`, `io` and `net`.

#![forbid(unsafe_code)]

mod certificates;
mod kernel;
mod output;
mod records;
mod session;
mod stream;
#[cfg(test)]
mod tests;
mod traffic_secrets;
mod verifiers;
mod watch;

/// Memory of a connection with TLS that waits for its peer, in bytes, at most, beyond that of one
/// without; what it holds for what comes and goes is counted as that is.
pub const IDLE_BYTES: usize = 12 * 1024;

pub use self::{
    stream::{Came, Handshakes, TLS_WORK, TlsStream},
    watch::{Acceptor, Connector},
};
