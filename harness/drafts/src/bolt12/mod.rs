//! BOLT 12: offers, and the Merkle tree behind its signatures.

pub mod merkle;
pub mod offer;
