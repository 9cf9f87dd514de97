//! What the fuzz targets share: bytes read as choices, trees to compare, a second XML parser, and a host that checks every promise.
//!
//! - `cursor.rs`: the fuzzer's bytes as a row of choices.
//! - `memory.rs`: the most memory that a piece of work held.
//! - `tree.rs`: XML as a flat list that can be compared.
//! - `expat.rs`: the same list from libexpat.
//! - `grammar.rs`: documents that are XML but for the faults in them, and elements for the builder.
//! - `host.rs`: a host for one client; each output is checked against the contract.
//! - `server.rs`: answers such a host can give: right ones, odd ones, broken ones.

pub mod cursor;
pub mod expat;
pub mod grammar;
pub mod host;
pub mod memory;
pub mod server;
pub mod tree;

#[global_allocator]
static ALLOCATOR: memory::Counter = memory::Counter;
