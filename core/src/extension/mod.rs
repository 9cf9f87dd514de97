//! Protocol extensions that keep no state: what to ask of the server, and what its answers say.
//!
//! Each request is an `iq` for [`Input::Request`](crate::Input::Request), and its answer comes in
//! [`Event::IqDone`](crate::Event::IqDone). They are about the account itself, so none has a `to` (RFC 6120 §10.3.3).

pub mod certificates;
pub mod registration;
