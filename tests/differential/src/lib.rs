//! Each SASL mechanism of `epode`, played against an implementation of the same mechanism that has nothing in common with it.
//!
//! The client is the real one, with all of its selection and negotiation. [`frame`] plays the part of XMPP that surrounds SASL, and hands
//! every message to a server: a program of [`peer`], or [`library`]. [`draw`] makes the accounts, and [`campaign`] plays many logins and
//! judges each. README.md says which server stands for which mechanism.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "all of it is a test"
)]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "what a login must not end with is named by its Debug"
)]

pub mod campaign;
pub mod draw;
pub mod frame;
pub mod library;
pub mod peer;
