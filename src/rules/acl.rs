//! Access control of RocketMQ 4 (`aclEnable`, ACL 1.0): accounts with secret keys, what they may do
//! with topics and groups, and addresses that need no account. What is right is made of text
//! ([`accounts`]), and a request is checked against it ([`rules`]).
//!
//! No type here that knows a secret key can be printed.

pub mod accounts;
pub mod address;
pub mod document;
pub mod needs;
pub mod permission;
pub mod rules;
pub mod signature;

/// Largest sum of the files with accounts, in bytes: some 5,000 accounts.
pub const FILES_BYTES_MAX: u64 = 1024 * 1024;

/// Most files with accounts.
pub const FILES_MAX: usize = 64;

/// What the rules of the largest files take in memory, in bytes: those in force, those that replace
/// them, and the files while they are read.
pub const RULES_BYTES_MAX: u64 = 32 * FILES_BYTES_MAX;

/// Shortest access and secret keys are longer than this many bytes. Source: `AclConstants`.
pub const KEY_BYTES_MIN: usize = 6;

pub use self::{
    accounts::{AclFile, Problem},
    needs::{Action, Needs, Resource},
    rules::{AccessRules, Asked},
};
