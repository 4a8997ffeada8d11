//! Tests of the streams on simulated machines: a master, its followers, and what they promise.

mod handshake;
mod machine;
mod streams;
mod takeovers;
