//! The C ABI of epode: the host contract, one function for each input, `epode_next` for the outputs.
//!
//! `include/epode.h` is generated from this crate; its first comment states the conventions. What they come to here:
//!
//! - Handles are opaque. Each function is guarded (`guard.rs`, `bug.rs`): a panic becomes [`code::EPODE_PANIC`], and the handle is dead.
//! - What C hands in is borrowed for the call; what C gets is borrowed from the handle until the next call on it (`slice.rs`).
//! - Enumerations cross as numbers, checked here: a Rust enum with a number that it does not have would be undefined behaviour.
//! - Structs that may grow start with their size (`sized.rs`).
#![deny(unsafe_op_in_unsafe_fn)]

pub mod bosh;
mod bug;
pub mod client;
pub mod code;
pub mod config;
pub mod derivation;
mod failure;
mod guard;
mod held;
/// cbindgen:ignore
#[cfg(epode_testing)]
#[path = "../tests/hooks/mod.rs"]
pub mod hooks;
pub mod host;
pub mod input;
pub mod login;
pub mod output;
pub mod settings;
mod sized;
pub mod slice;
