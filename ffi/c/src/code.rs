//! The numbers that cross the border. None is ever given a second meaning; new ones are added within their range.

use crate::slice::Slice;

/// The version of this ABI. A host compares it with what `epode_abi_version` says at run time.
pub const EPODE_ABI_VERSION: u32 = 1;

// ---- what a function returns: 0 fine; 1-19 the arguments; 20-39 the configuration; 100-149 refused; 199 a bug of ours

/// It worked.
pub const EPODE_OK: u32 = 0;
/// A pointer that must not be NULL is NULL.
pub const EPODE_NULL: u32 = 1;
/// `struct_size` is smaller than the first version of that struct: set it to `sizeof` the struct.
pub const EPODE_STRUCT_SIZE: u32 = 2;
/// A text is not UTF-8.
pub const EPODE_UTF8: u32 = 3;
/// A number is none of those listed for it, or out of range.
pub const EPODE_VALUE: u32 = 4;
/// A text is not a JID.
pub const EPODE_JID: u32 = 5;
/// A text is not one XML element, whole, with its namespaces declared.
pub const EPODE_XML: u32 = 6;
/// All bytes of the seed are zero: it was never filled.
pub const EPODE_SEED: u32 = 7;
/// The bytes are no SCRAM key that `epode_derivation_run` gave.
pub const EPODE_KEY: u32 = 8;
/// The configuration has no credentials.
pub const EPODE_CONFIG_CREDENTIALS: u32 = 20;
/// Discovery is to look for no kind of transport.
pub const EPODE_CONFIG_TRANSPORT: u32 = 21;
/// The JID has no part before the `@`.
pub const EPODE_CONFIG_LOCALPART: u32 = 22;
/// The URL is not an absolute https URL; of a WebSocket: wss.
pub const EPODE_CONFIG_URL: u32 = 23;
/// The URL is http or ws, and the TLS policy asks for TLS.
pub const EPODE_CONFIG_PLAINTEXT_URL: u32 = 24;
/// The first request id is out of range.
pub const EPODE_CONFIG_FIRST_RID: u32 = 25;
/// The host or the port of a TCP address is none.
pub const EPODE_CONFIG_HOST: u32 = 26;
/// There can be no such BOSH session to attach to.
pub const EPODE_CONFIG_ATTACH: u32 = 27;
/// The user agent's id is no UUID of version 4, or one of its texts is empty, too long, or has control characters.
pub const EPODE_CONFIG_USER_AGENT: u32 = 28;
/// The least mechanism is none that the library has.
pub const EPODE_CONFIG_UNKNOWN_MECHANISM: u32 = 29;
/// An anonymous login has no account: the JID has to be a domain.
pub const EPODE_CONFIG_ANONYMOUS_ACCOUNT: u32 = 30;
/// The tag for the resource is empty, longer than 64 bytes, or has control characters.
pub const EPODE_CONFIG_TAG: u32 = 31;
/// The least count of SCRAM iterations is above the largest.
pub const EPODE_CONFIG_ITERATIONS: u32 = 32;
/// The configuration cannot work, for another reason.
pub const EPODE_CONFIG_OTHER: u32 = 39;
/// `epode_start` between `epode_start` and offline.
pub const EPODE_ALREADY_STARTED: u32 = 100;
/// An input that a link of this kind does not have.
pub const EPODE_NOT_FOR_THIS_TRANSPORT: u32 = 101;
/// `epode_connected` for a link that is up.
pub const EPODE_ALREADY_CONNECTED: u32 = 102;
/// An answer to a request that is answered already, or never was.
pub const EPODE_UNKNOWN_TOKEN: u32 = 103;
/// `epode_restore` after the first start, or twice for one slot.
pub const EPODE_TOO_LATE_TO_RESTORE: u32 = 104;
/// `epode_task` where no task waits for the application.
pub const EPODE_NO_TASK: u32 = 105;
/// `epode_provide` with credentials of another account, or with some that cannot log in to this one.
pub const EPODE_CREDENTIALS_OF_ANOTHER: u32 = 106;
/// `epode_derivation_new` where the output that `epode_next` gave last is no `EPODE_DERIVE_KEY`.
pub const EPODE_NO_DERIVATION: u32 = 107;
/// The host broke the contract in another way.
pub const EPODE_MISUSE: u32 = 109;
/// The outbound queue is full: try again after `EPODE_WRITABLE`.
pub const EPODE_FULL: u32 = 110;
/// The stanza is larger than a server can be expected to take.
pub const EPODE_TOO_LARGE: u32 = 111;
/// The stanza is not one that this function takes.
pub const EPODE_INVALID_STANZA: u32 = 112;
/// There is no session to send on.
pub const EPODE_NOT_STARTED: u32 = 113;
/// What was stored is damaged, or was never stored by this library. The client starts afresh.
pub const EPODE_SNAPSHOT_CORRUPT: u32 = 120;
/// What was stored is of another account, or of another slot. The client starts afresh.
pub const EPODE_SNAPSHOT_FOREIGN: u32 = 121;
/// A later version of this library stored it. The client starts afresh.
pub const EPODE_SNAPSHOT_NEWER: u32 = 122;
/// What was stored cannot be restored, for another reason. The client starts afresh.
pub const EPODE_SNAPSHOT_OTHER: u32 = 129;
/// Refused for another reason.
pub const EPODE_REFUSED: u32 = 149;
/// A bug in epode was hit, and the handle is dead: every call on it says so from now on, and it can only be freed. A client is offline by
/// that: `epode_next` says so once. Please report the sentence, which names the place in epode's sources; nothing is printed.
pub const EPODE_PANIC: u32 = 199;

// ---- yes, no, or not known: 0 is what a zeroed struct says

/// Not known.
pub const EPODE_UNKNOWN: u32 = 0;
/// No.
pub const EPODE_NO: u32 = 1;
/// Yes.
pub const EPODE_YES: u32 = 2;

// ---- epode_config_set_authzid

/// As XEP-0178 says: names the account only where the certificate leaves a doubt. The default.
pub const EPODE_AUTHZID_AUTO: u32 = 0;
/// Always names the account.
pub const EPODE_AUTHZID_ALWAYS: u32 = 1;
/// Never names the account.
pub const EPODE_AUTHZID_NEVER: u32 = 2;

// ---- epode_config_set_tls

/// TLS with a verified server certificate. The default.
pub const EPODE_TLS_REQUIRED: u32 = 0;
/// Anything: for tests on one machine.
pub const EPODE_TLS_ALLOW_PLAINTEXT: u32 = 1;

// ---- when TLS begins on TCP: epode_config_add_tcp, epode_output_connect.tls

/// At once (XEP-0368): offer the protocol `xmpp-client` by ALPN.
pub const EPODE_TCP_DIRECT_TLS: u32 = 1;
/// When the client says `EPODE_START_TLS` (RFC 6120 section 5).
pub const EPODE_TCP_STARTTLS: u32 = 2;

// ---- epode_config_set_reconnect

/// Connects again once there was a login: the first one fails at once if it does. The default.
pub const EPODE_RECONNECT_AFTER_ONLINE: u32 = 0;
/// Never connects again: a link that is gone is the end.
pub const EPODE_RECONNECT_NEVER: u32 = 1;
/// Always connects again, before the first login too.
pub const EPODE_RECONNECT_ALWAYS: u32 = 2;

// ---- epode_config_set_persist

/// Nothing is stored. The default.
pub const EPODE_PERSIST_OFF: u32 = 0;
/// Stores at `epode_pause`, and when the application goes to the background.
pub const EPODE_PERSIST_ON_SUSPEND: u32 = 1;
/// Stores in each turn that changed something: the process may be killed at any moment.
pub const EPODE_PERSIST_EVERY_TURN: u32 = 2;

// ---- epode_config_set_acknowledge

/// A received stanza counts as handled when `epode_next` has given it. The default.
pub const EPODE_ACKNOWLEDGE_AUTOMATIC: u32 = 0;
/// It counts as handled at `epode_handled`, or when the request is answered.
pub const EPODE_ACKNOWLEDGE_MANUAL: u32 = 1;

// ---- epode_config_set_fast

/// Asks for login tokens (XEP-0484), and uses them. The default.
pub const EPODE_FAST_USE: u32 = 0;
/// Neither asks for tokens nor uses them.
pub const EPODE_FAST_OFF: u32 = 1;
/// Uses the token a last time: the server forgets it (XEP-0484 section 4.4), and so does the client.
pub const EPODE_FAST_INVALIDATE: u32 = 2;

// ---- epode_config_set_key_derivation

/// The library derives SCRAM's keys itself, within the call that makes it necessary. The default.
pub const EPODE_DERIVE_INLINE: u32 = 0;
/// The host does, in another thread or by functions of its platform: `EPODE_DERIVE_KEY`.
pub const EPODE_DERIVE_HOST: u32 = 1;

// ---- epode_config_set_timeout

/// For a link to come up, and a session to be created on it (30 s).
pub const EPODE_TIMEOUT_CONNECT: u32 = 1;
/// For each step of the negotiation (30 s).
pub const EPODE_TIMEOUT_NEGOTIATION: u32 = 2;
/// For the server's part of the goodbye (5 s).
pub const EPODE_TIMEOUT_CLOSE: u32 = 3;
/// For the answer to a request (60 s); also for the application's own answers.
pub const EPODE_TIMEOUT_IQ: u32 = 4;
/// For the host to answer an `EPODE_RESOLVE` (10 s).
pub const EPODE_TIMEOUT_DISCOVERY: u32 = 5;
/// For a link to come up while there is another place to try (8 s).
pub const EPODE_TIMEOUT_FALLBACK: u32 = 6;

// ---- epode_config_set_limit; sizes are in bytes

/// One top-level element before the login (64 KiB).
pub const EPODE_LIMIT_ELEMENT_BEFORE_LOGIN: u32 = 1;
/// One top-level element afterwards (1 MiB).
pub const EPODE_LIMIT_ELEMENT: u32 = 2;
/// One BOSH body (8 MiB).
pub const EPODE_LIMIT_BOSH_BODY: u32 = 3;
/// Nesting below the top-level element (64).
pub const EPODE_LIMIT_DEPTH: u32 = 4;
/// Attributes of one element (128).
pub const EPODE_LIMIT_ATTRIBUTES: u32 = 5;
/// Namespace declarations in scope (256).
pub const EPODE_LIMIT_NAMESPACES: u32 = 6;
/// One attribute value (8 KiB).
pub const EPODE_LIMIT_ATTRIBUTE_VALUE: u32 = 7;
/// One stanza of the application's (256 KiB).
pub const EPODE_LIMIT_OUTBOUND_STANZA: u32 = 8;
/// Stanzas that wait to be sent, and bytes not yet written (4 MiB).
pub const EPODE_LIMIT_OUTBOUND_QUEUE: u32 = 9;
/// Output that `epode_next` has not given yet; above it `epode_wants_read` says no (4 MiB).
pub const EPODE_LIMIT_INBOUND_QUEUE: u32 = 10;
/// Requests without an answer yet, in each direction (256).
pub const EPODE_LIMIT_PENDING_REQUESTS: u32 = 11;
/// Stanzas that were sent and are not acknowledged (1000).
pub const EPODE_LIMIT_UNACKNOWLEDGED: u32 = 12;

// ---- epode_link_info.verified

/// Nobody verified the server's certificate.
pub const EPODE_VERIFIED_NO: u32 = 0;
/// The host did, for `verified_name`.
pub const EPODE_VERIFIED_HOST: u32 = 1;
/// The platform did, unseen by the host.
pub const EPODE_VERIFIED_PLATFORM: u32 = 2;

// ---- epode_network

/// There is a network: what waits for a retry is tried now.
pub const EPODE_NETWORK_UP: u32 = 1;
/// There is none: nothing is tried until there is.
pub const EPODE_NETWORK_DOWN: u32 = 2;
/// It is another one: the present link is checked, or replaced.
pub const EPODE_NETWORK_CHANGED: u32 = 3;

// ---- epode_restore, epode_output_store.slot: one place for each, as long as the account is used

/// The session: as good as a login while it lasts.
pub const EPODE_SLOT_SESSION: u32 = 1;
/// A login token.
pub const EPODE_SLOT_TOKEN: u32 = 2;
/// What is known of the account's server.
pub const EPODE_SLOT_PINS: u32 = 3;

// ---- epode_failed, epode_resolved_failed: how it broke

/// The host name could not be resolved.
pub const EPODE_FAILURE_DNS: u32 = 1;
/// Nobody listens at the address.
pub const EPODE_FAILURE_REFUSED: u32 = 2;
/// No answer in time.
pub const EPODE_FAILURE_TIMEOUT: u32 = 3;
/// The connection was reset, or ended in the middle of an answer.
pub const EPODE_FAILURE_RESET: u32 = 4;
/// The server refused the TLS handshake with an alert (RFC 8446 section 6).
pub const EPODE_FAILURE_TLS_ALERT: u32 = 5;
/// The host did not accept the server's certificate.
pub const EPODE_FAILURE_CERTIFICATE_REJECTED: u32 = 6;
/// The answer was no HTTP, or larger than allowed.
pub const EPODE_FAILURE_HTTP: u32 = 7;
/// Anything else.
pub const EPODE_FAILURE_OTHER: u32 = 8;

// ---- epode_output.kind: below 100 work for the host, from 100 events for the application

/// Nothing more to do. What is in `data` has no meaning.
pub const EPODE_NONE: u32 = 0;
/// Open a link: `data.connect`.
pub const EPODE_CONNECT: u32 = 1;
/// Post an HTTP request: `data.post`.
pub const EPODE_POST: u32 = 2;
/// Cancel an HTTP request: `data.abandon`.
pub const EPODE_ABANDON: u32 = 3;
/// Flush, then close the link: `data.close`.
pub const EPODE_CLOSE: u32 = 4;
/// Ask DNS, or fetch a document: `data.resolve`.
pub const EPODE_RESOLVE: u32 = 5;
/// Make bytes durable before doing what follows: `data.store`.
pub const EPODE_STORE: u32 = 6;
/// Send bytes over TCP: `data.write`.
pub const EPODE_WRITE: u32 = 7;
/// Send a WebSocket text message: `data.frame`.
pub const EPODE_FRAME: u32 = 8;
/// Begin TLS on a TCP connection: `data.start_tls`.
pub const EPODE_START_TLS: u32 = 9;
/// Derive a key from a password: `data.derive_key`. Only with `EPODE_DERIVE_HOST`.
pub const EPODE_DERIVE_KEY: u32 = 10;
/// Something that this version of the ABI has no words for: ignore it.
pub const EPODE_OTHER: u32 = 99;
/// Logged in, perhaps not for the first time: `data.online`.
pub const EPODE_ONLINE: u32 = 100;
/// Over, and it will not be tried again; exactly once for each start, and the last event: `data.offline`.
pub const EPODE_OFFLINE: u32 = 101;
/// A message or a presence arrived: `data.stanza`.
pub const EPODE_STANZA: u32 = 102;
/// A request arrived that wants an answer: `data.request`.
pub const EPODE_REQUEST: u32 = 103;
/// A request of the application's is over: `data.iq_done`.
pub const EPODE_IQ_DONE: u32 = 104;
/// How far a sent stanza has come: `data.delivery`.
pub const EPODE_DELIVERY: u32 = 105;
/// The outbound queue has room again. No data.
pub const EPODE_WRITABLE: u32 = 106;
/// Something that a person should know: `data.warning`.
pub const EPODE_WARNING: u32 = 107;
/// The link is gone, and the client will connect again: `data.interrupted`.
pub const EPODE_INTERRUPTED: u32 = 108;
/// What the server offers, where the client only looks: `data.offered`.
pub const EPODE_OFFERED: u32 = 109;
/// The server wants more before the login is complete: `data.task`. Only for tasks of `epode_config_add_task`.
pub const EPODE_TASK: u32 = 110;

// ---- epode_output_derive_key.hash

/// SHA-1: 20 bytes.
pub const EPODE_HASH_SHA1: u32 = 1;
/// SHA-256: 32 bytes.
pub const EPODE_HASH_SHA256: u32 = 2;
/// SHA-384: 48 bytes.
pub const EPODE_HASH_SHA384: u32 = 3;
/// SHA-512: 64 bytes.
pub const EPODE_HASH_SHA512: u32 = 4;

// ---- epode_output_online.proof: whether the server proved that it knows the password, or the token

/// The mechanism has no such proof: TLS alone vouches for the server.
pub const EPODE_PROOF_NONE: u32 = 0;
/// It did, and the proof was verified.
pub const EPODE_PROOF_VERIFIED: u32 = 1;
/// The server left it out, which `epode_config_set_allow_missing_ht_server_proof` allows.
pub const EPODE_PROOF_ABSENT: u32 = 2;

// ---- epode_output_online.channel_binding: what the login is bound to

/// Nothing.
pub const EPODE_BINDING_NONE: u32 = 0;
/// `tls-exporter` (RFC 9266).
pub const EPODE_BINDING_TLS_EXPORTER: u32 = 1;
/// `tls-unique` (RFC 5929 section 3).
pub const EPODE_BINDING_TLS_UNIQUE: u32 = 2;
/// `tls-server-end-point` (RFC 5929 section 4).
pub const EPODE_BINDING_TLS_SERVER_END_POINT: u32 = 3;

// ---- epode_output_online.profile: by which protocol the login was done

/// Nobody logged in: an earlier session goes on.
pub const EPODE_SASL_NONE: u32 = 0;
/// That of RFC 6120 section 6.
pub const EPODE_SASL_1: u32 = 1;
/// That of XEP-0388.
pub const EPODE_SASL_2: u32 = 2;

// ---- epode_output_connect.endpoint, and how a session travels: epode_output_online.transport, epode_output_offered.transport

/// A BOSH connection manager at `url`.
pub const EPODE_ENDPOINT_BOSH: u32 = 1;
/// TCP to `host` and `port`, with `tls`.
pub const EPODE_ENDPOINT_TCP: u32 = 2;
/// A WebSocket at `url`, of the subprotocol `xmpp`.
pub const EPODE_ENDPOINT_WEBSOCKET: u32 = 3;

// ---- epode_output_resolve.question

/// The SRV records of `name` (RFC 2782): answer with `epode_resolved_records`.
pub const EPODE_QUESTION_SRV: u32 = 1;
/// The document at `url`, by GET over verified HTTPS, without redirects (XEP-0156): answer with `epode_resolved_document`.
pub const EPODE_QUESTION_DOCUMENT: u32 = 2;

// ---- epode_stanza.kind

/// A `message`.
pub const EPODE_MESSAGE: u32 = 1;
/// A `presence`.
pub const EPODE_PRESENCE: u32 = 2;
/// An `iq`.
pub const EPODE_IQ: u32 = 3;

// ---- epode_output_offline.group, epode_output_interrupted.group: who is to blame

/// The application said stop.
pub const EPODE_OFFLINE_STOPPED: u32 = 1;
/// The server could not be reached, or the connection broke.
pub const EPODE_OFFLINE_CONNECTION: u32 = 2;
/// TLS, or the lack of it.
pub const EPODE_OFFLINE_TLS: u32 = 3;
/// The login was refused, or cannot be done with what the application gave.
pub const EPODE_OFFLINE_LOGIN: u32 = 4;
/// The server lacks something that is needed.
pub const EPODE_OFFLINE_INCOMPATIBLE: u32 = 5;
/// The server broke the protocol.
pub const EPODE_OFFLINE_MISBEHAVED: u32 = 6;
/// The server ended the session and said why.
pub const EPODE_OFFLINE_ENDED: u32 = 7;
/// epode has a bug: please report the sentence. The client can only be freed; another one may be made.
pub const EPODE_OFFLINE_INTERNAL: u32 = 8;
/// Another reason: see its sentence.
pub const EPODE_OFFLINE_OTHER: u32 = 99;

// ---- epode_output_offline.login: what stands behind EPODE_OFFLINE_LOGIN, for an application that can do something about it

/// The server said no: see `condition`.
pub const EPODE_LOGIN_REFUSED: u32 = 1;
/// The server answered with something that is neither yes nor no.
pub const EPODE_LOGIN_UNKNOWN_ANSWER: u32 = 2;
/// Nothing that the server offers can be used with what the application gave and allows.
pub const EPODE_LOGIN_NO_MECHANISM: u32 = 3;
/// The mechanism's own checks failed: the server did not prove itself, or sent what an attacker would send.
pub const EPODE_LOGIN_MECHANISM: u32 = 4;
/// The server refused the access token: get another one.
pub const EPODE_LOGIN_TOKEN_REFUSED: u32 = 5;
/// What the server offers is weaker than what was used before: somebody may be in between.
pub const EPODE_LOGIN_DOWNGRADE: u32 = 6;
/// What the server offers to bind the login to does not fit together: somebody may have changed it.
pub const EPODE_LOGIN_CHANNEL_BINDING: u32 = 7;
/// The server wants more than the credentials, and the application can do nothing of it.
pub const EPODE_LOGIN_TASKS: u32 = 8;
/// There is no login token, or the server does not take it any more: use the password.
pub const EPODE_LOGIN_NO_TOKEN: u32 = 9;
/// The account could not be registered.
pub const EPODE_LOGIN_REGISTRATION: u32 = 10;
/// The server bound another account.
pub const EPODE_LOGIN_UNEXPECTED_IDENTITY: u32 = 11;
/// The server refused to bind a resource: see `condition`.
pub const EPODE_LOGIN_BIND_REFUSED: u32 = 12;
/// The SCRAM key is for another salt or count than the server has now: use the password.
pub const EPODE_LOGIN_KEY_DOES_NOT_FIT: u32 = 13;
/// What the server offered is not what arrived, or the server does not prove it any more (XEP-0474): somebody may have changed it.
pub const EPODE_LOGIN_OFFER: u32 = 14;
/// Another reason: see the sentence.
pub const EPODE_LOGIN_OTHER: u32 = 99;

// ---- epode_output_iq_done.outcome

/// The entity answered: `iq` is its result.
pub const EPODE_IQ_RESULT: u32 = 1;
/// The entity answered with an error: `error_type`, `condition`, `text`.
pub const EPODE_IQ_ERROR: u32 = 2;
/// No answer in time.
pub const EPODE_IQ_TIMEOUT: u32 = 3;
/// The session ended first. Whether the request was handled is not known.
pub const EPODE_IQ_DISCONNECTED: u32 = 4;
/// The application cancelled it.
pub const EPODE_IQ_CANCELLED: u32 = 5;
/// Another reason: see its sentence.
pub const EPODE_IQ_OTHER: u32 = 99;

// ---- types of stanza errors (RFC 6120 section 8.3.2)

/// Retry after providing credentials.
pub const EPODE_ERROR_AUTH: u32 = 1;
/// Do not retry.
pub const EPODE_ERROR_CANCEL: u32 = 2;
/// Proceed: it was a warning.
pub const EPODE_ERROR_CONTINUE: u32 = 3;
/// Retry after changing what was sent.
pub const EPODE_ERROR_MODIFY: u32 = 4;
/// Retry after waiting.
pub const EPODE_ERROR_WAIT: u32 = 5;

// ---- epode_output_delivery.stage

/// It waits in the client.
pub const EPODE_QUEUED: u32 = 1;
/// It has been written.
pub const EPODE_SENT: u32 = 2;
/// The server has acknowledged it. Final.
pub const EPODE_ACKED: u32 = 3;
/// It is not known to have arrived, and will not be sent again. Final.
pub const EPODE_FAILED: u32 = 4;

// ---- epode_output_warning.code

/// The client certificate names nobody: the server decides whom it stands for.
pub const EPODE_WARNING_CERTIFICATE_WITHOUT_NAME: u32 = 1;
/// The client certificate names others than this account.
pub const EPODE_WARNING_CERTIFICATE_NAMES_OTHERS: u32 = 2;
/// The client certificate has a name of the wrong string type.
pub const EPODE_WARNING_CERTIFICATE_NAME_TYPE: u32 = 3;
/// The client certificate names several accounts, and the policy says not to choose.
pub const EPODE_WARNING_CERTIFICATE_NAMES_SEVERAL: u32 = 4;
/// The client certificate cannot be read.
pub const EPODE_WARNING_CERTIFICATE_UNREADABLE: u32 = 5;
/// An HTTP request failed and was sent again.
pub const EPODE_WARNING_RESENT: u32 = 6;
/// The server answers empty requests at once; they are spaced out.
pub const EPODE_WARNING_HURRIED: u32 = 7;
/// A received stanza was dropped: not for this account, or from an address that does not parse.
pub const EPODE_WARNING_DROPPED: u32 = 8;
/// The server did not resume the earlier session: a new one begins.
pub const EPODE_WARNING_NOT_RESUMED: u32 = 9;
/// The server sent the client elsewhere.
pub const EPODE_WARNING_REDIRECTED: u32 = 10;
/// The server refused to manage the stream (XEP-0198): acknowledgements come by other means.
pub const EPODE_WARNING_NO_STREAM_MANAGEMENT: u32 = 11;
/// The server does not take the login token any more: the client logs in with the credentials.
pub const EPODE_WARNING_TOKEN_REFUSED: u32 = 12;
/// The login token was not used: the server, or this connection, lacks what it is for.
pub const EPODE_WARNING_TOKEN_UNUSABLE: u32 = 13;
/// The server gave a login token that cannot be used: the earlier one stays.
pub const EPODE_WARNING_TOKEN_IGNORED: u32 = 14;
/// The server was given the means for a stronger login next time (XEP-0480).
pub const EPODE_WARNING_UPGRADED: u32 = 15;
/// Another one: see its sentence.
pub const EPODE_WARNING_OTHER: u32 = 99;

/// The `EPODE_ABI_VERSION` that the library was built with.
#[unsafe(no_mangle)]
pub extern "C" fn epode_abi_version() -> u32 {
    EPODE_ABI_VERSION
}

/// A sentence for a returned code: for failures where no handle has a better one. It is valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn epode_code_sentence(code: u32) -> Slice {
    Slice::new(sentence(code).as_bytes())
}

pub(crate) fn sentence(code: u32) -> &'static str {
    match code {
        EPODE_OK => "it worked",
        EPODE_NULL => "a pointer that must not be NULL is NULL",
        EPODE_STRUCT_SIZE => "struct_size is too small: set it to sizeof the struct",
        EPODE_UTF8 => "a text is not UTF-8",
        EPODE_VALUE => "a number is none of those listed for it, or out of range",
        EPODE_JID => "a text is not a JID such as user@example.org",
        EPODE_XML => "a text is not one XML element, whole, with its namespaces declared",
        EPODE_SEED => "all bytes of the seed are zero: fill it from the system's source of randomness",
        EPODE_KEY => "the bytes are no SCRAM key that an earlier derivation gave",
        EPODE_CREDENTIALS_OF_ANOTHER => "the credentials are for another account",
        EPODE_NO_DERIVATION => "the last output is no EPODE_DERIVE_KEY: call this before anything else on the client",
        EPODE_CONFIG_CREDENTIALS..=EPODE_CONFIG_OTHER => "the configuration cannot work",
        EPODE_ALREADY_STARTED..=EPODE_MISUSE => "the host broke the contract",
        EPODE_FULL => "the outbound queue is full: try again after EPODE_WRITABLE",
        EPODE_TOO_LARGE => "the stanza is larger than a server can be expected to take",
        EPODE_INVALID_STANZA => "the stanza is not one that this function takes",
        EPODE_NOT_STARTED => "there is no session to send on",
        EPODE_SNAPSHOT_CORRUPT..=EPODE_SNAPSHOT_OTHER => "what was stored cannot be restored: the client starts afresh",
        EPODE_REFUSED => "the input was refused",
        EPODE_PANIC => "a bug in epode was hit, please report it: the handle is dead and can only be freed",
        _ => "no such code",
    }
}
