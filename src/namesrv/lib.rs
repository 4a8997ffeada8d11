//! Layer 3: the name server: which brokers there are and which topics they have. Brokers register
//! every 30 seconds and on every change; clients ask for routes.
//!
//! May depend on `base`, `io` and `remoting`. Lives on one executor; nothing here is `Send`.
//! Routes are kept in memory only: after a restart the brokers register again within 30 seconds.
//! The KV configuration, and what administrators changed of the own one, are kept in files.

#![forbid(unsafe_code)]

pub mod answer;
mod body;
pub mod budgets;
pub mod handlers;
#[cfg(not(feature = "planted"))]
mod injected_bugs;
#[cfg(feature = "planted")]
pub mod injected_bugs;
mod json;
pub mod kv;
pub mod live_keys;
pub mod route;
mod server;
mod work;

pub use server::{ServeError, Serving, serve, serve_led};
