//! Layer 1: what brokers and name servers do alike with connections: accepting them, who may have
//! how many, what half-read requests may take, and whose turn it is. Knows no request.

#![forbid(unsafe_code)]

pub mod accept;
pub mod addresses;
pub mod input_budget;
pub mod rounds;
pub mod turn;
