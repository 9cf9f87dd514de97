//! The outputs as C sees them: one struct with a kind and a union.

use crate::client::Client;
use crate::guard::guarded;
use crate::sized::{self, Sized_};
use crate::slice::Slice;

/// What the host has to do next, or what happened. All slices are valid until the next call on the client.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Output {
    /// `sizeof (epode_output)`: set it once, before the first `epode_next`; it stays.
    pub struct_size: u32,
    /// Which member of `data` counts: a number from `EPODE_NONE` to `EPODE_WARNING`.
    pub kind: u32,
    /// What belongs to that kind.
    pub data: OutputData,
}

// SAFETY: repr(C), the size first; numbers, booleans and slices may be zero.
unsafe impl Sized_ for Output {}

/// What belongs to each kind of output.
#[repr(C)]
#[derive(Clone, Copy)]
pub union OutputData {
    /// For `EPODE_CONNECT`.
    pub connect: Connect,
    /// For `EPODE_POST`.
    pub post: Post,
    /// For `EPODE_ABANDON`.
    pub abandon: Abandon,
    /// For `EPODE_CLOSE`.
    pub close: Close,
    /// For `EPODE_ONLINE`.
    pub online: Online,
    /// For `EPODE_OFFLINE`.
    pub offline: Offline,
    /// For `EPODE_STANZA`.
    pub stanza: Stanza,
    /// For `EPODE_REQUEST`.
    pub request: Request,
    /// For `EPODE_IQ_DONE`.
    pub iq_done: IqDone,
    /// For `EPODE_DELIVERY`.
    pub delivery: Delivery,
    /// For `EPODE_WARNING`.
    pub warning: Warning,
}

/// Open a link, then call `epode_connected` or `epode_failed` with its id.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Connect {
    /// The id of the new link.
    pub link: u64,
    /// What kind of link: an `EPODE_ENDPOINT_` number.
    pub endpoint: u32,
    /// Nothing.
    pub reserved: u32,
    /// Never buffer more than so many bytes of one answer: fail the request instead (`EPODE_FAILURE_HTTP`).
    pub max_message: u64,
    /// Where.
    pub url: Slice,
    /// The name that the server's certificate must be valid for.
    pub server_name: Slice,
    /// The label of the client certificate to present on every connection of this link; NULL: present none.
    pub identity: Slice,
}

/// Post `body` as `text/xml; charset=utf-8`. Several may be open at once. Do not retry, follow redirects, take a proxy from the
/// environment or decompress: the client owns resends.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Post {
    /// The link.
    pub link: u64,
    /// The attempt: a resend has a new one.
    pub request: u64,
    /// The client gives up then and says `EPODE_ABANDON`: an HTTP library's own timeout must not be shorter.
    pub deadline_ms: u64,
    /// The whole request body.
    pub body: Slice,
}

/// Cancel that request; its answer is not wanted any more.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Abandon {
    /// The link.
    pub link: u64,
    /// The attempt.
    pub request: u64,
}

/// Let the posts that are not abandoned go out, then close. On a link that is still connecting: give up. The id is dead.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Close {
    /// The link.
    pub link: u64,
}

/// Logged in, and a resource is bound.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Online {
    /// The full JID that the server bound.
    pub jid: Slice,
    /// The SASL mechanism, as `EXTERNAL`.
    pub mechanism: Slice,
    /// How many times the client had to wait for the server since the link was up.
    pub round_trips: u32,
    /// Whether the server asked for a client certificate: `EPODE_UNKNOWN`, `EPODE_NO` or `EPODE_YES`.
    pub client_certificate_requested: u32,
    /// The server proved that it knows the password too.
    pub server_proof: bool,
    /// An earlier session goes on; nothing was lost.
    pub resumed: bool,
}

/// The client will not try any more.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Offline {
    /// Who is to blame: an `EPODE_OFFLINE_` number.
    pub group: u32,
    /// Nothing.
    pub reserved: u32,
    /// Why, for a person.
    pub sentence: Slice,
    /// The condition that the server named, as `not-authorized`; NULL if it named none.
    pub condition: Slice,
}

/// A stanza. What it carries comes from others: not to be trusted. A slice that the stanza does not have is NULL.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Stanza {
    /// `EPODE_MESSAGE`, `EPODE_PRESENCE` or `EPODE_IQ`.
    pub kind: u32,
    /// Nothing.
    pub reserved: u32,
    /// Its `id`.
    pub id: Slice,
    /// Who sent it. NULL stands for the account itself, or its server.
    pub from: Slice,
    /// For whom it is.
    pub to: Slice,
    /// Its `type`, as `chat`.
    pub r#type: Slice,
    /// The text of a message: of its first `body`.
    pub body: Slice,
    /// The whole as one XML element, all namespaces declared.
    pub xml: Slice,
}

/// A request whose payload is in a namespace that the application answers. Answer it with `epode_respond` or
/// `epode_respond_error`; one that is not answered in time is refused.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// What the answer has to name.
    pub token: u64,
    /// The `iq`.
    pub iq: Stanza,
}

/// A request of the application's is over: exactly once for each.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct IqDone {
    /// What `epode_request` gave for it.
    pub token: u64,
    /// How it ended: an `EPODE_IQ_` number from `EPODE_IQ_RESULT`.
    pub outcome: u32,
    /// For `EPODE_IQ_ERROR`: an `EPODE_ERROR_` number; else 0.
    pub error_type: u32,
    /// Why there is no result, for a person; NULL for `EPODE_IQ_RESULT`.
    pub sentence: Slice,
    /// For `EPODE_IQ_ERROR`: the condition, as `item-not-found`; else NULL.
    pub condition: Slice,
    /// For `EPODE_IQ_ERROR`: the entity's own text, if it gave one; else NULL.
    pub text: Slice,
    /// For `EPODE_IQ_RESULT`: the `iq`. Zero otherwise.
    pub iq: Stanza,
}

/// How far a stanza of the application's has come.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// What `epode_send` gave for it.
    pub token: u64,
    /// How far: `EPODE_QUEUED`, `EPODE_SENT`, `EPODE_ACKED` or `EPODE_FAILED`.
    pub stage: u32,
    /// Nothing.
    pub reserved: u32,
}

/// Something that does not stop the client.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Warning {
    /// What: an `EPODE_WARNING_` number.
    pub code: u32,
    /// Nothing.
    pub reserved: u32,
    /// The same for a person.
    pub sentence: Slice,
}

/// Writes what to do next into `*output`. Call it after every input, until `kind` is `EPODE_NONE`; an output that is not carried out
/// is lost.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_next(client: *mut Client, output: *mut Output) -> u32 {
    // SAFETY: the host's promise for handles and structs.
    unsafe {
        guarded(client, |client| {
            // Before an output leaves its queue, it must be sure that there is room for it.
            sized::size(output)?;
            let next = client.core.next();
            sized::write(&client.held.show(next), output)
        })
    }
}
