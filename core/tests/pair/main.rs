//! A client and a connection manager in virtual time, with everything between them that a network can do.
//!
//! - `random.rs`: the generator that a seed gives.
//! - `server.rs`: a strict connection manager: what a client may not do fails the test.
//! - `bed.rs`: the two, the network between them, and the clock, which jumps to what happens next.
//! - `schedules.rs`: the promises, over thousands of seeded schedules.
//! - `desk.rs`: a client whose server is the test itself, step by step.
//! - `flows.rs`: exchanges that are known, and the rules of XEP-0124 one by one.

#[cfg(test)]
mod bed;
#[cfg(test)]
mod desk;
#[cfg(test)]
mod flows;
#[cfg(test)]
mod random;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod server;
