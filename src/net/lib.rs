//! Layer 1: what brokers and name servers do alike with connections: accepting them, who may have
//! how many, and what half-read requests may take. Knows no request.

#![forbid(unsafe_code)]

pub mod accept;
pub mod addresses;
pub mod input_budget;
