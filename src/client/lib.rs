//! A client of name servers and brokers that waits for each answer: what the load tool prepares its
//! load with and what administration asks by. One thread, one connection a server; a `Lane` is a
//! connection with many requests under way.
//!
//! May depend on `base`, `remoting`, `rules` (signatures) and `tls`.

#![forbid(unsafe_code)]

mod account;
mod client;
mod error;
mod lane;
mod tls;

pub use self::{
    account::Account,
    client::{Answer, Client, resolve},
    error::CallError,
    lane::Lane,
    tls::{TlsOptions, shake_hands},
};
