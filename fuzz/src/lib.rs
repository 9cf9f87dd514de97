//! What the fuzz targets share: bytes read as choices, trees to compare, a second XML parser, and a host that checks every promise.
//!
//! - `cursor.rs`: the fuzzer's bytes as a row of choices.
//! - `memory.rs`: the most memory that a piece of work held.
//! - `tree.rs`: XML as a flat list that can be compared.
//! - `expat.rs`: the same list from libexpat.
//! - `grammar.rs`: documents that are XML but for the faults in them, and elements for the builder.
//! - `host/`: a host for one client; each output is checked against the contract.
//! - `wire.rs`: one link, and what may be said on it.
//! - `stream.rs`: the server on TCP and WebSocket.
//! - `answers.rs`: SRV records and host-meta documents.
//! - `login.rs`: the server's part of a login.
//! - `slots.rs`: what a process stored, written apart from the core's own code.
//! - `server.rs`: answers such a host can give: right ones, odd ones, broken ones.

pub mod answers;
pub mod cursor;
pub mod expat;
pub mod grammar;
pub mod host;
pub mod login;
pub mod memory;
pub mod server;
pub mod slots;
pub mod stream;
pub mod tree;
pub mod wire;

#[global_allocator]
static ALLOCATOR: memory::Counter = memory::Counter;
