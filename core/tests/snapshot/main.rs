//! What survives a process: clients that are killed and restored, against servers that notice what must not happen.
//!
//! - `world.rs`: the host with its disk, the application with its notes, and the process that ends.
//! - `stream.rs`: a server of XEP-0198 on TCP.
//! - `bosh.rs`: a connection manager.
//! - `kills.rs`: a conversation that is cut at each of its outputs.
//! - `contract.rs`: what is stored when, and what is refused.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks at what it is about, and fails at the rest"
)]

#[cfg(test)]
mod bosh;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod stream;
#[cfg(test)]
mod world;
