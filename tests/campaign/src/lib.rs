//! Fault campaigns against the store and the broker: workloads on the simulated machine, a checker
//! of what was promised, and everything that can go wrong with a disk. `scripts/campaign` runs
//! them; what they promise and have found is in `docs/RELIABILITY.md`.
//!
//! May depend on `base`, `io`, `tls`, `remoting`, `rules`, `store`, `broker` and `namesrv`, by
//! their public faces only.

#![forbid(unsafe_code)]

pub mod broker;
pub mod checker;
pub mod cluster;
pub mod copies;
pub mod errors;
pub mod history;
pub mod hostile;
pub mod injuries;
pub mod kill9;
pub mod load;
pub mod machine;
pub mod messages;
pub mod meter;
pub mod plan;
#[cfg(feature = "planted")]
pub mod planted;
pub mod power;
pub mod process_run;
pub mod reading;
pub mod report;
pub mod sockets;
pub mod workload;
