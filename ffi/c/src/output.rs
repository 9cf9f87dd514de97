//! The outputs as C sees them: one struct with a kind and a union.

use std::mem::offset_of;

use crate::client::Client;
use crate::guard::guarded_or;
use crate::sized::{self, Sized_};
use crate::slice::Slice;

/// What the host has to do next, or what happened. All slices are valid until the next call on the client.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Output {
    /// `sizeof (epode_output)`: set it once, before the first `epode_next`; it stays.
    pub struct_size: u32,
    /// Which member of `data` counts: a number from `EPODE_NONE` to `EPODE_TASK`.
    pub kind: u32,
    /// What belongs to that kind.
    pub data: OutputData,
}

// SAFETY: repr(C), the size first; numbers, booleans and slices may be zero.
unsafe impl Sized_ for Output {
    // The first version ended with the `iq` of its longest member, and a stanza had no token.
    const FIRST: usize = offset_of!(Self, data) + offset_of!(IqDone, iq) + offset_of!(Stanza, token);
}

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
    /// For `EPODE_RESOLVE`.
    pub resolve: Resolve,
    /// For `EPODE_STORE`.
    pub store: Store,
    /// For `EPODE_WRITE`.
    pub write: Write,
    /// For `EPODE_FRAME`.
    pub frame: Frame,
    /// For `EPODE_START_TLS`.
    pub start_tls: StartTls,
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
    /// For `EPODE_INTERRUPTED`.
    pub interrupted: Interrupted,
    /// For `EPODE_OFFERED`.
    pub offered: Offered,
    /// For `EPODE_DERIVE_KEY`.
    pub derive_key: DeriveKey,
    /// For `EPODE_TASK`.
    pub task: Task,
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
    /// Never buffer more than so many bytes of one answer (`EPODE_FAILURE_HTTP` for the request then) or of one WebSocket message.
    pub max_message: u64,
    /// Where, for BOSH and WebSocket; NULL for TCP.
    pub url: Slice,
    /// The name that the server's certificate must be valid for.
    pub server_name: Slice,
    /// The label of the client certificate to present on every connection of this link; NULL: present none.
    pub identity: Slice,
    /// For TCP: a host name, or an address, of IPv6 without brackets; connect to any of its addresses. NULL otherwise.
    pub host: Slice,
    /// For TCP: the port. 0 otherwise.
    pub port: u32,
    /// For TCP: when TLS begins, `EPODE_TCP_DIRECT_TLS` or `EPODE_TCP_STARTTLS`. 0 otherwise.
    pub tls: u32,
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

/// Let what was given so far go out (of posts: what is not abandoned), then close. On a link that is still connecting: give up. The
/// id is dead.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Close {
    /// The link.
    pub link: u64,
}

/// Find this out, then call `epode_resolved_records`, `epode_resolved_document` or `epode_resolved_failed`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Resolve {
    /// What the answer has to name.
    pub query: u64,
    /// What is asked: an `EPODE_QUESTION_` number.
    pub question: u32,
    /// Nothing.
    pub reserved: u32,
    /// The client goes on without an answer then: a library's own timeout must not be shorter.
    pub deadline_ms: u64,
    /// For a document: never read more than so many bytes; fail instead.
    pub max_bytes: u64,
    /// For SRV: the name, as `_xmpp-client._tcp.example.org`, in ASCII; else NULL.
    pub name: Slice,
    /// For a document: the URL; else NULL.
    pub url: Slice,
}

/// Make these bytes durable before doing what follows. They are a secret as a whole: a session in them is as good as a login.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Store {
    /// Where: an `EPODE_SLOT_` number.
    pub slot: u32,
    /// Put them behind what is in the slot already. False: they replace it, and no bytes empty it.
    pub append: bool,
    /// The bytes.
    pub bytes: Slice,
}

/// Send these bytes over TCP, in order; call `epode_written` as they leave.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Write {
    /// The link.
    pub link: u64,
    /// The bytes. Logins are among them: do not log them.
    pub bytes: Slice,
}

/// Send this as one WebSocket text message, in order; call `epode_written` as it leaves.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// The link.
    pub link: u64,
    /// The text. Logins are among them: do not log it.
    pub text: Slice,
}

/// Stop reading. Bytes that were read already go into `epode_received`, never into TLS. Then shake hands, with the `identity` of the
/// connect, and call `epode_connected` again, or `epode_failed`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct StartTls {
    /// The link.
    pub link: u64,
    /// The name that the server's certificate must be valid for.
    pub server_name: Slice,
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
    /// How it travels: an `EPODE_ENDPOINT_` number.
    pub transport: u32,
    /// The same as `server_proof`, and why not: an `EPODE_PROOF_` number.
    pub proof: u32,
    /// What the login is bound to: an `EPODE_BINDING_` number.
    pub channel_binding: u32,
    /// By which protocol the login was done: `EPODE_SASL_NONE`, `EPODE_SASL_1` or `EPODE_SASL_2`.
    pub profile: u32,
}

/// Derive a key from a password with PBKDF2 (RFC 8018 section 5.2, HMAC, one block of output), away from where it would keep others
/// waiting. `epode_derivation_new` makes a handle of it, which another thread can run; then call `epode_derived`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct DeriveKey {
    /// What `epode_derived` has to name.
    pub job: u64,
    /// The hash: an `EPODE_HASH_` number.
    pub hash: u32,
    /// How many iterations.
    pub iterations: u32,
    /// The salt.
    pub salt: Slice,
    /// The password as it goes into PBKDF2. Do not log it; overwrite a copy.
    pub password: Slice,
}

/// The server wants more before the login is complete (XEP-0388 section 2.6.4): answer with `epode_task`, or `epode_stop`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// The task's name, as it was given to `epode_config_add_task`.
    pub task: Slice,
    /// What the server says within the task, as one XML element; NULL where it is to begin.
    pub payload: Slice,
    /// The server's text for the user, not to be trusted; NULL if there is none.
    pub text: Slice,
}

/// The link is gone, and the client will connect again by itself.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Interrupted {
    /// Who is to blame: an `EPODE_OFFLINE_` number.
    pub group: u32,
    /// The session can probably be resumed: nothing is lost so far.
    pub resumable: bool,
    /// When the next attempt is made, on the host's clock; UINT64_MAX: when there is a network again.
    pub retry_at_ms: u64,
    /// Why, for a person.
    pub sentence: Slice,
    /// The condition that the server named, as `system-shutdown`; NULL if it named none.
    pub condition: Slice,
}

/// What the server offers before the login: for a client that only looks (`epode_config_set_no_credentials`).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Offered {
    /// How it travels: an `EPODE_ENDPOINT_` number.
    pub transport: u32,
    /// TLS protects it.
    pub encrypted: bool,
    /// `<stream:features/>` as one XML element, all namespaces declared.
    pub features: Slice,
}

/// The client will not try any more.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Offline {
    /// Who is to blame: an `EPODE_OFFLINE_` number.
    pub group: u32,
    /// For `EPODE_OFFLINE_LOGIN`: an `EPODE_LOGIN_` number; else 0.
    pub login: u32,
    /// Why, for a person.
    pub sentence: Slice,
    /// The condition that the server named, as `not-authorized`; NULL if it named none.
    pub condition: Slice,
    /// For `EPODE_LOGIN_TOKEN_REFUSED`: the status, as `invalid_token`. This and the next two are the server's texts, or NULL.
    pub status: Slice,
    /// For `EPODE_LOGIN_TOKEN_REFUSED`: the scope that a token has to have.
    pub scope: Slice,
    /// For `EPODE_LOGIN_TOKEN_REFUSED`: where the server says that its OpenID configuration is. Do not ask a place that you do not know.
    pub openid_configuration: Slice,
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
    /// For `EPODE_STANZA` with `EPODE_ACKNOWLEDGE_MANUAL`: what `epode_handled` has to name. 0 otherwise.
    pub token: u64,
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
/// is lost. After an `EPODE_PANIC` it says `EPODE_OFFLINE`, of the group `EPODE_OFFLINE_INTERNAL`, and then `EPODE_NONE` for ever: links that
/// are open are the host's to close.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_next(client: *mut Client, output: *mut Output) -> u32 {
    // SAFETY: the host's promise for handles and structs.
    unsafe {
        // Before an output leaves its queue, it must be sure that there is room for it.
        guarded_or(
            client,
            |client| {
                sized::size(output)?;
                let next = client.core.next();
                sized::write(&client.held.show(next), output)
            },
            |client| {
                sized::size(output)?;
                sized::write(&client.last_words(), output)
            },
        )
    }
}
