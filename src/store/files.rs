//! The files of a store: their names, headers and checksums, and how they come into being. Each is
//! described in `docs/FORMAT.md`.

pub mod block;
pub mod completeness;
pub mod directory;
pub mod envelope;
pub mod epochs;
pub mod leadership;
pub mod manifest;
pub mod mark;
pub mod pair;
pub mod replica;
pub mod salvage;
pub mod segment;
