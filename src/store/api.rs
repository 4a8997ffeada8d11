//! What the store is asked with and answers by: options, errors, values. Nothing here does I/O.

pub mod cases;
pub mod counters;
pub mod descriptors;
pub mod errors;
pub mod injected_bugs;
pub mod options;
pub mod values;
