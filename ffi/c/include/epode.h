// epode: an XMPP client engine that does no I/O, as a C library. Generated from ffi/c: do not edit.
//
// The loop. Something happened: call the function of that input. Then call epode_next, and do what it says, until it says EPODE_NONE.
// Then sleep until something happens, or until the time that epode_deadline gave: call epode_tick then. The library opens no socket,
// reads no clock, draws no randomness, starts no thread, calls nobody back.
//
// Results. Every function that can fail returns 0 (EPODE_OK) or one of the EPODE_ codes below it, and then nothing has changed.
// epode_last_error gives the sentence. What the server or the network does wrong is never such a code: it is an output.
//
// Ownership. What you pass in stays yours, and is read during the call only. Slices that you get are borrowed from the handle you got
// them from, and valid until the next call on it, whichever that is: copy what you keep. Only handles are freed, each once, by its
// own function; NULL is fine there. Pointers must be valid and aligned; a NULL that is not allowed gives EPODE_NULL.
//
// Threads. One call at a time on each handle, from whichever thread. Different handles are independent.
//
// Bugs. Should the library hit a bug of its own, the call gives EPODE_PANIC. On a client epode_next then gives one EPODE_OFFLINE, and
// afterwards EPODE_NONE; every other call gives EPODE_PANIC again, there is no deadline, and epode_client_free works. The sentence
// names the place in epode's sources, and never what was being worked on; nothing is printed.
//
// Texts are UTF-8, with a length and without a NUL. Time is in milliseconds on a clock of yours that never runs backwards and counts
// while the device sleeps (CLOCK_BOOTTIME). Set struct_size where a struct has one, and zero the rest of what you do not know.
//
// A password is bytes: overwrite your own copy when it has been set. What is posted, written,
// framed or stored carries secrets too: do not log it.


#ifndef EPODE_H
#define EPODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The version of this ABI. A host compares it with what `epode_abi_version` says at run time.
#define EPODE_ABI_VERSION 1

// It worked.
#define EPODE_OK 0

// A pointer that must not be NULL is NULL.
#define EPODE_NULL 1

// `struct_size` is smaller than the first version of that struct: set it to `sizeof` the struct.
#define EPODE_STRUCT_SIZE 2

// A text is not UTF-8.
#define EPODE_UTF8 3

// A number is none of those listed for it, or out of range.
#define EPODE_VALUE 4

// A text is not a JID.
#define EPODE_JID 5

// A text is not one XML element, whole, with its namespaces declared.
#define EPODE_XML 6

// All bytes of the seed are zero: it was never filled.
#define EPODE_SEED 7

// The bytes are no SCRAM key that `epode_derivation_run` gave.
#define EPODE_KEY 8

// The configuration has no credentials.
#define EPODE_CONFIG_CREDENTIALS 20

// Discovery is to look for no kind of transport.
#define EPODE_CONFIG_TRANSPORT 21

// The JID has no part before the `@`.
#define EPODE_CONFIG_LOCALPART 22

// The URL is not an absolute https URL; of a WebSocket: wss.
#define EPODE_CONFIG_URL 23

// The URL is http or ws, and the TLS policy asks for TLS.
#define EPODE_CONFIG_PLAINTEXT_URL 24

// The first request id is out of range.
#define EPODE_CONFIG_FIRST_RID 25

// The host or the port of a TCP address is none.
#define EPODE_CONFIG_HOST 26

// There can be no such BOSH session to attach to.
#define EPODE_CONFIG_ATTACH 27

// The user agent's id is no UUID of version 4, or one of its texts is empty, too long, or has control characters.
#define EPODE_CONFIG_USER_AGENT 28

// The least mechanism is none that the library has.
#define EPODE_CONFIG_UNKNOWN_MECHANISM 29

// An anonymous login has no account: the JID has to be a domain.
#define EPODE_CONFIG_ANONYMOUS_ACCOUNT 30

// The tag for the resource is empty, longer than 64 bytes, or has control characters.
#define EPODE_CONFIG_TAG 31

// The least count of SCRAM iterations is above the largest.
#define EPODE_CONFIG_ITERATIONS 32

// The configuration cannot work, for another reason.
#define EPODE_CONFIG_OTHER 39

// `epode_start` between `epode_start` and offline.
#define EPODE_ALREADY_STARTED 100

// An input that a link of this kind does not have.
#define EPODE_NOT_FOR_THIS_TRANSPORT 101

// `epode_connected` for a link that is up.
#define EPODE_ALREADY_CONNECTED 102

// An answer to a request that is answered already, or never was.
#define EPODE_UNKNOWN_TOKEN 103

// `epode_restore` after the first start, or twice for one slot.
#define EPODE_TOO_LATE_TO_RESTORE 104

// `epode_task` where no task waits for the application.
#define EPODE_NO_TASK 105

// `epode_provide` with credentials of another account, or with some that cannot log in to this one.
#define EPODE_CREDENTIALS_OF_ANOTHER 106

// `epode_derivation_new` where the output that `epode_next` gave last is no `EPODE_DERIVE_KEY`.
#define EPODE_NO_DERIVATION 107

// The host broke the contract in another way.
#define EPODE_MISUSE 109

// The outbound queue is full: try again after `EPODE_WRITABLE`.
#define EPODE_FULL 110

// The stanza is larger than a server can be expected to take.
#define EPODE_TOO_LARGE 111

// The stanza is not one that this function takes.
#define EPODE_INVALID_STANZA 112

// There is no session to send on.
#define EPODE_NOT_STARTED 113

// What was stored is damaged, or was never stored by this library. The client starts afresh.
#define EPODE_SNAPSHOT_CORRUPT 120

// What was stored is of another account, or of another slot. The client starts afresh.
#define EPODE_SNAPSHOT_FOREIGN 121

// A later version of this library stored it. The client starts afresh.
#define EPODE_SNAPSHOT_NEWER 122

// What was stored cannot be restored, for another reason. The client starts afresh.
#define EPODE_SNAPSHOT_OTHER 129

// Refused for another reason.
#define EPODE_REFUSED 149

// A bug in epode was hit, and the handle is dead: every call on it says so from now on, and it can only be freed. A client is offline by
// that: `epode_next` says so once. Please report the sentence, which names the place in epode's sources; nothing is printed.
#define EPODE_PANIC 199

// Not known.
#define EPODE_UNKNOWN 0

// No.
#define EPODE_NO 1

// Yes.
#define EPODE_YES 2

// As XEP-0178 says: names the account only where the certificate leaves a doubt. The default.
#define EPODE_AUTHZID_AUTO 0

// Always names the account.
#define EPODE_AUTHZID_ALWAYS 1

// Never names the account.
#define EPODE_AUTHZID_NEVER 2

// TLS with a verified server certificate. The default.
#define EPODE_TLS_REQUIRED 0

// Anything: for tests on one machine.
#define EPODE_TLS_ALLOW_PLAINTEXT 1

// At once (XEP-0368): offer the protocol `xmpp-client` by ALPN.
#define EPODE_TCP_DIRECT_TLS 1

// When the client says `EPODE_START_TLS` (RFC 6120 section 5).
#define EPODE_TCP_STARTTLS 2

// Connects again once there was a login: the first one fails at once if it does. The default.
#define EPODE_RECONNECT_AFTER_ONLINE 0

// Never connects again: a link that is gone is the end.
#define EPODE_RECONNECT_NEVER 1

// Always connects again, before the first login too.
#define EPODE_RECONNECT_ALWAYS 2

// Nothing is stored. The default.
#define EPODE_PERSIST_OFF 0

// Stores at `epode_pause`, and when the application goes to the background.
#define EPODE_PERSIST_ON_SUSPEND 1

// Stores in each turn that changed something: the process may be killed at any moment.
#define EPODE_PERSIST_EVERY_TURN 2

// A received stanza counts as handled when `epode_next` has given it. The default.
#define EPODE_ACKNOWLEDGE_AUTOMATIC 0

// It counts as handled at `epode_handled`, or when the request is answered.
#define EPODE_ACKNOWLEDGE_MANUAL 1

// Asks for login tokens (XEP-0484), and uses them. The default.
#define EPODE_FAST_USE 0

// Neither asks for tokens nor uses them.
#define EPODE_FAST_OFF 1

// Uses the token a last time: the server forgets it (XEP-0484 section 4.4), and so does the client.
#define EPODE_FAST_INVALIDATE 2

// The library derives SCRAM's keys itself, within the call that makes it necessary. The default.
#define EPODE_DERIVE_INLINE 0

// The host does, in another thread or by functions of its platform: `EPODE_DERIVE_KEY`.
#define EPODE_DERIVE_HOST 1

// For a link to come up, and a session to be created on it (30 s).
#define EPODE_TIMEOUT_CONNECT 1

// For each step of the negotiation (30 s).
#define EPODE_TIMEOUT_NEGOTIATION 2

// For the server's part of the goodbye (5 s).
#define EPODE_TIMEOUT_CLOSE 3

// For the answer to a request (60 s); also for the application's own answers.
#define EPODE_TIMEOUT_IQ 4

// For the host to answer an `EPODE_RESOLVE` (10 s).
#define EPODE_TIMEOUT_DISCOVERY 5

// For a link to come up while there is another place to try (8 s).
#define EPODE_TIMEOUT_FALLBACK 6

// One top-level element before the login (64 KiB).
#define EPODE_LIMIT_ELEMENT_BEFORE_LOGIN 1

// One top-level element afterwards (1 MiB).
#define EPODE_LIMIT_ELEMENT 2

// One BOSH body (8 MiB).
#define EPODE_LIMIT_BOSH_BODY 3

// Nesting below the top-level element (64).
#define EPODE_LIMIT_DEPTH 4

// Attributes of one element (128).
#define EPODE_LIMIT_ATTRIBUTES 5

// Namespace declarations in scope (256).
#define EPODE_LIMIT_NAMESPACES 6

// One attribute value (8 KiB).
#define EPODE_LIMIT_ATTRIBUTE_VALUE 7

// One stanza of the application's (256 KiB).
#define EPODE_LIMIT_OUTBOUND_STANZA 8

// Stanzas that wait to be sent, and bytes not yet written (4 MiB).
#define EPODE_LIMIT_OUTBOUND_QUEUE 9

// Output that `epode_next` has not given yet; above it `epode_wants_read` says no (4 MiB).
#define EPODE_LIMIT_INBOUND_QUEUE 10

// Requests without an answer yet, in each direction (256).
#define EPODE_LIMIT_PENDING_REQUESTS 11

// Stanzas that were sent and are not acknowledged (1000).
#define EPODE_LIMIT_UNACKNOWLEDGED 12

// Nobody verified the server's certificate.
#define EPODE_VERIFIED_NO 0

// The host did, for `verified_name`.
#define EPODE_VERIFIED_HOST 1

// The platform did, unseen by the host.
#define EPODE_VERIFIED_PLATFORM 2

// There is a network: what waits for a retry is tried now.
#define EPODE_NETWORK_UP 1

// There is none: nothing is tried until there is.
#define EPODE_NETWORK_DOWN 2

// It is another one: the present link is checked, or replaced.
#define EPODE_NETWORK_CHANGED 3

// The session: as good as a login while it lasts.
#define EPODE_SLOT_SESSION 1

// A login token.
#define EPODE_SLOT_TOKEN 2

// What is known of the account's server.
#define EPODE_SLOT_PINS 3

// The host name could not be resolved.
#define EPODE_FAILURE_DNS 1

// Nobody listens at the address.
#define EPODE_FAILURE_REFUSED 2

// No answer in time.
#define EPODE_FAILURE_TIMEOUT 3

// The connection was reset, or ended in the middle of an answer.
#define EPODE_FAILURE_RESET 4

// The server refused the TLS handshake with an alert (RFC 8446 section 6).
#define EPODE_FAILURE_TLS_ALERT 5

// The host did not accept the server's certificate.
#define EPODE_FAILURE_CERTIFICATE_REJECTED 6

// The answer was no HTTP, or larger than allowed.
#define EPODE_FAILURE_HTTP 7

// Anything else.
#define EPODE_FAILURE_OTHER 8

// Nothing more to do. What is in `data` has no meaning.
#define EPODE_NONE 0

// Open a link: `data.connect`.
#define EPODE_CONNECT 1

// Post an HTTP request: `data.post`.
#define EPODE_POST 2

// Cancel an HTTP request: `data.abandon`.
#define EPODE_ABANDON 3

// Flush, then close the link: `data.close`.
#define EPODE_CLOSE 4

// Ask DNS, or fetch a document: `data.resolve`.
#define EPODE_RESOLVE 5

// Make bytes durable before doing what follows: `data.store`.
#define EPODE_STORE 6

// Send bytes over TCP: `data.write`.
#define EPODE_WRITE 7

// Send a WebSocket text message: `data.frame`.
#define EPODE_FRAME 8

// Begin TLS on a TCP connection: `data.start_tls`.
#define EPODE_START_TLS 9

// Derive a key from a password: `data.derive_key`. Only with `EPODE_DERIVE_HOST`.
#define EPODE_DERIVE_KEY 10

// Something that this version of the ABI has no words for: ignore it.
#define EPODE_OTHER 99

// Logged in, perhaps not for the first time: `data.online`.
#define EPODE_ONLINE 100

// Over, and it will not be tried again; exactly once for each start, and the last event: `data.offline`.
#define EPODE_OFFLINE 101

// A message or a presence arrived: `data.stanza`.
#define EPODE_STANZA 102

// A request arrived that wants an answer: `data.request`.
#define EPODE_REQUEST 103

// A request of the application's is over: `data.iq_done`.
#define EPODE_IQ_DONE 104

// How far a sent stanza has come: `data.delivery`.
#define EPODE_DELIVERY 105

// The outbound queue has room again. No data.
#define EPODE_WRITABLE 106

// Something that a person should know: `data.warning`.
#define EPODE_WARNING 107

// The link is gone, and the client will connect again: `data.interrupted`.
#define EPODE_INTERRUPTED 108

// What the server offers, where the client only looks: `data.offered`.
#define EPODE_OFFERED 109

// The server wants more before the login is complete: `data.task`. Only for tasks of `epode_config_add_task`.
#define EPODE_TASK 110

// SHA-1: 20 bytes.
#define EPODE_HASH_SHA1 1

// SHA-256: 32 bytes.
#define EPODE_HASH_SHA256 2

// SHA-384: 48 bytes.
#define EPODE_HASH_SHA384 3

// SHA-512: 64 bytes.
#define EPODE_HASH_SHA512 4

// The mechanism has no such proof: TLS alone vouches for the server.
#define EPODE_PROOF_NONE 0

// It did, and the proof was verified.
#define EPODE_PROOF_VERIFIED 1

// The server left it out, which `epode_config_set_allow_missing_ht_server_proof` allows.
#define EPODE_PROOF_ABSENT 2

// Nothing.
#define EPODE_BINDING_NONE 0

// `tls-exporter` (RFC 9266).
#define EPODE_BINDING_TLS_EXPORTER 1

// `tls-unique` (RFC 5929 section 3).
#define EPODE_BINDING_TLS_UNIQUE 2

// `tls-server-end-point` (RFC 5929 section 4).
#define EPODE_BINDING_TLS_SERVER_END_POINT 3

// Nobody logged in: an earlier session goes on.
#define EPODE_SASL_NONE 0

// That of RFC 6120 section 6.
#define EPODE_SASL_1 1

// That of XEP-0388.
#define EPODE_SASL_2 2

// A BOSH connection manager at `url`.
#define EPODE_ENDPOINT_BOSH 1

// TCP to `host` and `port`, with `tls`.
#define EPODE_ENDPOINT_TCP 2

// A WebSocket at `url`, of the subprotocol `xmpp`.
#define EPODE_ENDPOINT_WEBSOCKET 3

// The SRV records of `name` (RFC 2782): answer with `epode_resolved_records`.
#define EPODE_QUESTION_SRV 1

// The document at `url`, by GET over verified HTTPS, without redirects (XEP-0156): answer with `epode_resolved_document`.
#define EPODE_QUESTION_DOCUMENT 2

// A `message`.
#define EPODE_MESSAGE 1

// A `presence`.
#define EPODE_PRESENCE 2

// An `iq`.
#define EPODE_IQ 3

// The application said stop.
#define EPODE_OFFLINE_STOPPED 1

// The server could not be reached, or the connection broke.
#define EPODE_OFFLINE_CONNECTION 2

// TLS, or the lack of it.
#define EPODE_OFFLINE_TLS 3

// The login was refused, or cannot be done with what the application gave.
#define EPODE_OFFLINE_LOGIN 4

// The server lacks something that is needed.
#define EPODE_OFFLINE_INCOMPATIBLE 5

// The server broke the protocol.
#define EPODE_OFFLINE_MISBEHAVED 6

// The server ended the session and said why.
#define EPODE_OFFLINE_ENDED 7

// epode has a bug: please report the sentence. The client can only be freed; another one may be made.
#define EPODE_OFFLINE_INTERNAL 8

// Another reason: see its sentence.
#define EPODE_OFFLINE_OTHER 99

// The server said no: see `condition`.
#define EPODE_LOGIN_REFUSED 1

// The server answered with something that is neither yes nor no.
#define EPODE_LOGIN_UNKNOWN_ANSWER 2

// Nothing that the server offers can be used with what the application gave and allows.
#define EPODE_LOGIN_NO_MECHANISM 3

// The mechanism's own checks failed: the server did not prove itself, or sent what an attacker would send.
#define EPODE_LOGIN_MECHANISM 4

// The server refused the access token: get another one.
#define EPODE_LOGIN_TOKEN_REFUSED 5

// What the server offers is weaker than what was used before: somebody may be in between.
#define EPODE_LOGIN_DOWNGRADE 6

// What the server offers to bind the login to does not fit together: somebody may have changed it.
#define EPODE_LOGIN_CHANNEL_BINDING 7

// The server wants more than the credentials, and the application can do nothing of it.
#define EPODE_LOGIN_TASKS 8

// There is no login token, or the server does not take it any more: use the password.
#define EPODE_LOGIN_NO_TOKEN 9

// The account could not be registered.
#define EPODE_LOGIN_REGISTRATION 10

// The server bound another account.
#define EPODE_LOGIN_UNEXPECTED_IDENTITY 11

// The server refused to bind a resource: see `condition`.
#define EPODE_LOGIN_BIND_REFUSED 12

// The SCRAM key is for another salt or count than the server has now: use the password.
#define EPODE_LOGIN_KEY_DOES_NOT_FIT 13

// What the server offered is not what arrived, or the server does not prove it any more (XEP-0474): somebody may have changed it.
#define EPODE_LOGIN_OFFER 14

// Another reason: see the sentence.
#define EPODE_LOGIN_OTHER 99

// The entity answered: `iq` is its result.
#define EPODE_IQ_RESULT 1

// The entity answered with an error: `error_type`, `condition`, `text`.
#define EPODE_IQ_ERROR 2

// No answer in time.
#define EPODE_IQ_TIMEOUT 3

// The session ended first. Whether the request was handled is not known.
#define EPODE_IQ_DISCONNECTED 4

// The application cancelled it.
#define EPODE_IQ_CANCELLED 5

// Another reason: see its sentence.
#define EPODE_IQ_OTHER 99

// Retry after providing credentials.
#define EPODE_ERROR_AUTH 1

// Do not retry.
#define EPODE_ERROR_CANCEL 2

// Proceed: it was a warning.
#define EPODE_ERROR_CONTINUE 3

// Retry after changing what was sent.
#define EPODE_ERROR_MODIFY 4

// Retry after waiting.
#define EPODE_ERROR_WAIT 5

// It waits in the client.
#define EPODE_QUEUED 1

// It has been written.
#define EPODE_SENT 2

// The server has acknowledged it. Final.
#define EPODE_ACKED 3

// It is not known to have arrived, and will not be sent again. Final.
#define EPODE_FAILED 4

// The client certificate names nobody: the server decides whom it stands for.
#define EPODE_WARNING_CERTIFICATE_WITHOUT_NAME 1

// The client certificate names others than this account.
#define EPODE_WARNING_CERTIFICATE_NAMES_OTHERS 2

// The client certificate has a name of the wrong string type.
#define EPODE_WARNING_CERTIFICATE_NAME_TYPE 3

// The client certificate names several accounts, and the policy says not to choose.
#define EPODE_WARNING_CERTIFICATE_NAMES_SEVERAL 4

// The client certificate cannot be read.
#define EPODE_WARNING_CERTIFICATE_UNREADABLE 5

// An HTTP request failed and was sent again.
#define EPODE_WARNING_RESENT 6

// The server answers empty requests at once; they are spaced out.
#define EPODE_WARNING_HURRIED 7

// A received stanza was dropped: not for this account, or from an address that does not parse.
#define EPODE_WARNING_DROPPED 8

// The server did not resume the earlier session: a new one begins.
#define EPODE_WARNING_NOT_RESUMED 9

// The server sent the client elsewhere.
#define EPODE_WARNING_REDIRECTED 10

// The server refused to manage the stream (XEP-0198): acknowledgements come by other means.
#define EPODE_WARNING_NO_STREAM_MANAGEMENT 11

// The server does not take the login token any more: the client logs in with the credentials.
#define EPODE_WARNING_TOKEN_REFUSED 12

// The login token was not used: the server, or this connection, lacks what it is for.
#define EPODE_WARNING_TOKEN_UNUSABLE 13

// The server gave a login token that cannot be used: the earlier one stays.
#define EPODE_WARNING_TOKEN_IGNORED 14

// The server was given the means for a stronger login next time (XEP-0480).
#define EPODE_WARNING_UPGRADED 15

// Another one: see its sentence.
#define EPODE_WARNING_OTHER 99

// One account, and one session at a time with its server. It does no I/O.
typedef struct epode_client epode_client;

// One account, how to prove it, and how to reach its server. It may be freed as soon as the client is made.
typedef struct epode_config epode_config;

// One derivation of a key. It needs neither its client nor its client's thread.
typedef struct epode_derivation epode_derivation;

// Bytes that somebody else owns. Texts are UTF-8 and have no NUL at their end. `data` NULL means that there is none; a length of
// 0 with another `data` is an empty one.
typedef struct epode_slice {
  // The first byte, or NULL.
  const uint8_t *data;
  // How many bytes there are.
  size_t len;
} epode_slice;

// A BOSH session that was created and logged in elsewhere, by a web server for one of its pages for example: what its creator knows of
// it. Only one may use it from then on. Zeroed numbers say that the server did not say.
typedef struct epode_bosh_attach {
  // `sizeof (epode_bosh_attach)`.
  uint32_t struct_size;
  // The longest time, in seconds, that the server holds a request.
  uint32_t wait;
  // How many requests it holds.
  uint32_t hold;
  // How many may be open at once; at least 1.
  uint32_t requests;
  // After how many seconds without a request it forgets the session.
  uint32_t inactivity;
  // How many seconds there must be between empty requests.
  uint32_t polling;
  // For how many seconds the session may pause.
  uint32_t maxpause;
  // It acknowledges requests (XEP-0124 section 9.1): 1, else 0.
  uint32_t acknowledges;
  // The request id after the last one that was used.
  uint64_t next_rid;
  // The session id. Whoever has it has the session.
  struct epode_slice sid;
  // The full JID that the session is bound to.
  struct epode_slice jid;
  // The seed of the key sequence (XEP-0124 section 15); NULL if the session was created without one.
  struct epode_slice key_seed;
  // Which key of the sequence the next request has to show: 1 is the last one.
  uint32_t next_key;
  // Nothing.
  uint32_t reserved;
} epode_bosh_attach;

// Derive a key from a password with PBKDF2 (RFC 8018 section 5.2, HMAC, one block of output), away from where it would keep others
// waiting. `epode_derivation_new` makes a handle of it, which another thread can run; then call `epode_derived`.
typedef struct epode_output_derive_key {
  // What `epode_derived` has to name.
  uint64_t job;
  // The hash: an `EPODE_HASH_` number.
  uint32_t hash;
  // How many iterations.
  uint32_t iterations;
  // The salt.
  struct epode_slice salt;
  // The password as it goes into PBKDF2. Do not log it; overwrite a copy.
  struct epode_slice password;
} epode_output_derive_key;

// One SRV record (RFC 2782).
typedef struct epode_srv_record {
  // Lower is tried first.
  uint16_t priority;
  // Among equals, the share of the attempts.
  uint16_t weight;
  // The port.
  uint16_t port;
  // Nothing.
  uint16_t reserved;
  // The host; `.` says that the service is not offered.
  struct epode_slice target;
} epode_srv_record;

// What the host knows of a link that has come up. Zeroed, but for `struct_size`, it says the least.
typedef struct epode_link_info {
  // `sizeof (epode_link_info)`.
  uint32_t struct_size;
  // TLS protects it: 1, else 0.
  uint32_t encrypted;
  // Who checked the server's certificate: an `EPODE_VERIFIED_` number.
  uint32_t verified;
  // Whether the server asked for a client certificate: `EPODE_UNKNOWN`, `EPODE_NO` or `EPODE_YES`.
  uint32_t client_certificate_requested;
  // The name that the server's certificate was found valid for: the `server_name` of the connect.
  struct epode_slice verified_name;
  // The TLS version, as `1.3`; NULL if not known.
  struct epode_slice tls_version;
  // The client certificate that is presented (DER); NULL if there is none, or it cannot be shown.
  struct epode_slice client_certificate;
  // The application protocol that TLS settled on (ALPN); NULL if none.
  struct epode_slice alpn;
  // The subprotocol that the server of a WebSocket selected: it has to be `xmpp` (RFC 7395 section 3.1). NULL if none.
  struct epode_slice subprotocol;
  // What a login on this connection can be bound to, here by RFC 9266: 32 bytes, exported with the label
  // `EXPORTER-Channel-Binding` and an empty context; with TLS 1.2 only where the extended master secret was negotiated. NULL if not
  // known, like the next two. Whoever has several connections for one BOSH session can give the last of the three only.
  struct epode_slice tls_exporter;
  // By RFC 5929 section 3: the first Finished message of the handshake; never with TLS 1.3, and with TLS 1.2 only where the extended
  // master secret was negotiated.
  struct epode_slice tls_unique;
  // By RFC 5929 section 4: the hash of the server's certificate, by the hash function of its signature, or SHA-256 where that is
  // MD5 or SHA-1.
  struct epode_slice tls_server_end_point;
} epode_link_info;

// What was seen of the TLS connection that carried one HTTP answer.
typedef struct epode_tls_facts {
  // `sizeof (epode_tls_facts)`.
  uint32_t struct_size;
  // Whether the server asked for a client certificate: `EPODE_UNKNOWN`, `EPODE_NO` or `EPODE_YES`.
  uint32_t client_certificate_requested;
  // The TLS version, as `1.3`; NULL if not known.
  struct epode_slice tls_version;
  // SHA-256 of the server's leaf certificate (DER), 32 bytes; NULL if not known. A session whose server certificate changes ends.
  struct epode_slice server_certificate_sha256;
} epode_tls_facts;

// Open a link, then call `epode_connected` or `epode_failed` with its id.
typedef struct epode_output_connect {
  // The id of the new link.
  uint64_t link;
  // What kind of link: an `EPODE_ENDPOINT_` number.
  uint32_t endpoint;
  // Nothing.
  uint32_t reserved;
  // Never buffer more than so many bytes of one answer (`EPODE_FAILURE_HTTP` for the request then) or of one WebSocket message.
  uint64_t max_message;
  // Where, for BOSH and WebSocket; NULL for TCP.
  struct epode_slice url;
  // The name that the server's certificate must be valid for.
  struct epode_slice server_name;
  // The label of the client certificate to present on every connection of this link; NULL: present none.
  struct epode_slice identity;
  // For TCP: a host name, or an address, of IPv6 without brackets; connect to any of its addresses. NULL otherwise.
  struct epode_slice host;
  // For TCP: the port. 0 otherwise.
  uint32_t port;
  // For TCP: when TLS begins, `EPODE_TCP_DIRECT_TLS` or `EPODE_TCP_STARTTLS`. 0 otherwise.
  uint32_t tls;
} epode_output_connect;

// Post `body` as `text/xml; charset=utf-8`. Several may be open at once. Do not retry, follow redirects, take a proxy from the
// environment or decompress: the client owns resends.
typedef struct epode_output_post {
  // The link.
  uint64_t link;
  // The attempt: a resend has a new one.
  uint64_t request;
  // The client gives up then and says `EPODE_ABANDON`: an HTTP library's own timeout must not be shorter.
  uint64_t deadline_ms;
  // The whole request body.
  struct epode_slice body;
} epode_output_post;

// Cancel that request; its answer is not wanted any more.
typedef struct epode_output_abandon {
  // The link.
  uint64_t link;
  // The attempt.
  uint64_t request;
} epode_output_abandon;

// Let what was given so far go out (of posts: what is not abandoned), then close. On a link that is still connecting: give up. The
// id is dead.
typedef struct epode_output_close {
  // The link.
  uint64_t link;
} epode_output_close;

// Find this out, then call `epode_resolved_records`, `epode_resolved_document` or `epode_resolved_failed`.
typedef struct epode_output_resolve {
  // What the answer has to name.
  uint64_t query;
  // What is asked: an `EPODE_QUESTION_` number.
  uint32_t question;
  // Nothing.
  uint32_t reserved;
  // The client goes on without an answer then: a library's own timeout must not be shorter.
  uint64_t deadline_ms;
  // For a document: never read more than so many bytes; fail instead.
  uint64_t max_bytes;
  // For SRV: the name, as `_xmpp-client._tcp.example.org`, in ASCII; else NULL.
  struct epode_slice name;
  // For a document: the URL; else NULL.
  struct epode_slice url;
} epode_output_resolve;

// Make these bytes durable before doing what follows. They are a secret as a whole: a session in them is as good as a login.
typedef struct epode_output_store {
  // Where: an `EPODE_SLOT_` number.
  uint32_t slot;
  // Put them behind what is in the slot already. False: they replace it, and no bytes empty it.
  bool append;
  // The bytes.
  struct epode_slice bytes;
} epode_output_store;

// Send these bytes over TCP, in order; call `epode_written` as they leave.
typedef struct epode_output_write {
  // The link.
  uint64_t link;
  // The bytes. Logins are among them: do not log them.
  struct epode_slice bytes;
} epode_output_write;

// Send this as one WebSocket text message, in order; call `epode_written` as it leaves.
typedef struct epode_output_frame {
  // The link.
  uint64_t link;
  // The text. Logins are among them: do not log it.
  struct epode_slice text;
} epode_output_frame;

// Stop reading. Bytes that were read already go into `epode_received`, never into TLS. Then shake hands, with the `identity` of the
// connect, and call `epode_connected` again, or `epode_failed`.
typedef struct epode_output_start_tls {
  // The link.
  uint64_t link;
  // The name that the server's certificate must be valid for.
  struct epode_slice server_name;
} epode_output_start_tls;

// Logged in, and a resource is bound.
typedef struct epode_output_online {
  // The full JID that the server bound.
  struct epode_slice jid;
  // The SASL mechanism, as `EXTERNAL`.
  struct epode_slice mechanism;
  // How many times the client had to wait for the server since the link was up.
  uint32_t round_trips;
  // Whether the server asked for a client certificate: `EPODE_UNKNOWN`, `EPODE_NO` or `EPODE_YES`.
  uint32_t client_certificate_requested;
  // The server proved that it knows the password too.
  bool server_proof;
  // An earlier session goes on; nothing was lost.
  bool resumed;
  // How it travels: an `EPODE_ENDPOINT_` number.
  uint32_t transport;
  // The same as `server_proof`, and why not: an `EPODE_PROOF_` number.
  uint32_t proof;
  // What the login is bound to: an `EPODE_BINDING_` number.
  uint32_t channel_binding;
  // By which protocol the login was done: `EPODE_SASL_NONE`, `EPODE_SASL_1` or `EPODE_SASL_2`.
  uint32_t profile;
} epode_output_online;

// The client will not try any more.
typedef struct epode_output_offline {
  // Who is to blame: an `EPODE_OFFLINE_` number.
  uint32_t group;
  // For `EPODE_OFFLINE_LOGIN`: an `EPODE_LOGIN_` number; else 0.
  uint32_t login;
  // Why, for a person.
  struct epode_slice sentence;
  // The condition that the server named, as `not-authorized`; NULL if it named none.
  struct epode_slice condition;
  // For `EPODE_LOGIN_TOKEN_REFUSED`: the status, as `invalid_token`. This and the next two are the server's texts, or NULL.
  struct epode_slice status;
  // For `EPODE_LOGIN_TOKEN_REFUSED`: the scope that a token has to have.
  struct epode_slice scope;
  // For `EPODE_LOGIN_TOKEN_REFUSED`: where the server says that its OpenID configuration is. Do not ask a place that you do not know.
  struct epode_slice openid_configuration;
} epode_output_offline;

// A stanza. What it carries comes from others: not to be trusted. A slice that the stanza does not have is NULL.
typedef struct epode_stanza {
  // `EPODE_MESSAGE`, `EPODE_PRESENCE` or `EPODE_IQ`.
  uint32_t kind;
  // Nothing.
  uint32_t reserved;
  // Its `id`.
  struct epode_slice id;
  // Who sent it. NULL stands for the account itself, or its server.
  struct epode_slice from;
  // For whom it is.
  struct epode_slice to;
  // Its `type`, as `chat`.
  struct epode_slice type;
  // The text of a message: of its first `body`.
  struct epode_slice body;
  // The whole as one XML element, all namespaces declared.
  struct epode_slice xml;
  // For `EPODE_STANZA` with `EPODE_ACKNOWLEDGE_MANUAL`: what `epode_handled` has to name. 0 otherwise.
  uint64_t token;
} epode_stanza;

// A request whose payload is in a namespace that the application answers. Answer it with `epode_respond` or
// `epode_respond_error`; one that is not answered in time is refused.
typedef struct epode_output_request {
  // What the answer has to name.
  uint64_t token;
  // The `iq`.
  struct epode_stanza iq;
} epode_output_request;

// A request of the application's is over: exactly once for each.
typedef struct epode_output_iq_done {
  // What `epode_request` gave for it.
  uint64_t token;
  // How it ended: an `EPODE_IQ_` number from `EPODE_IQ_RESULT`.
  uint32_t outcome;
  // For `EPODE_IQ_ERROR`: an `EPODE_ERROR_` number; else 0.
  uint32_t error_type;
  // Why there is no result, for a person; NULL for `EPODE_IQ_RESULT`.
  struct epode_slice sentence;
  // For `EPODE_IQ_ERROR`: the condition, as `item-not-found`; else NULL.
  struct epode_slice condition;
  // For `EPODE_IQ_ERROR`: the entity's own text, if it gave one; else NULL.
  struct epode_slice text;
  // For `EPODE_IQ_RESULT`: the `iq`. Zero otherwise.
  struct epode_stanza iq;
} epode_output_iq_done;

// How far a stanza of the application's has come.
typedef struct epode_output_delivery {
  // What `epode_send` gave for it.
  uint64_t token;
  // How far: `EPODE_QUEUED`, `EPODE_SENT`, `EPODE_ACKED` or `EPODE_FAILED`.
  uint32_t stage;
  // Nothing.
  uint32_t reserved;
} epode_output_delivery;

// Something that does not stop the client.
typedef struct epode_output_warning {
  // What: an `EPODE_WARNING_` number.
  uint32_t code;
  // Nothing.
  uint32_t reserved;
  // The same for a person.
  struct epode_slice sentence;
} epode_output_warning;

// The link is gone, and the client will connect again by itself.
typedef struct epode_output_interrupted {
  // Who is to blame: an `EPODE_OFFLINE_` number.
  uint32_t group;
  // The session can probably be resumed: nothing is lost so far.
  bool resumable;
  // When the next attempt is made, on the host's clock; UINT64_MAX: when there is a network again.
  uint64_t retry_at_ms;
  // Why, for a person.
  struct epode_slice sentence;
  // The condition that the server named, as `system-shutdown`; NULL if it named none.
  struct epode_slice condition;
} epode_output_interrupted;

// What the server offers before the login: for a client that only looks (`epode_config_set_no_credentials`).
typedef struct epode_output_offered {
  // How it travels: an `EPODE_ENDPOINT_` number.
  uint32_t transport;
  // TLS protects it.
  bool encrypted;
  // `<stream:features/>` as one XML element, all namespaces declared.
  struct epode_slice features;
} epode_output_offered;

// The server wants more before the login is complete (XEP-0388 section 2.6.4): answer with `epode_task`, or `epode_stop`.
typedef struct epode_output_task {
  // The task's name, as it was given to `epode_config_add_task`.
  struct epode_slice task;
  // What the server says within the task, as one XML element; NULL where it is to begin.
  struct epode_slice payload;
  // The server's text for the user, not to be trusted; NULL if there is none.
  struct epode_slice text;
} epode_output_task;

// What belongs to each kind of output.
typedef union epode_output_data {
  // For `EPODE_CONNECT`.
  struct epode_output_connect connect;
  // For `EPODE_POST`.
  struct epode_output_post post;
  // For `EPODE_ABANDON`.
  struct epode_output_abandon abandon;
  // For `EPODE_CLOSE`.
  struct epode_output_close close;
  // For `EPODE_RESOLVE`.
  struct epode_output_resolve resolve;
  // For `EPODE_STORE`.
  struct epode_output_store store;
  // For `EPODE_WRITE`.
  struct epode_output_write write;
  // For `EPODE_FRAME`.
  struct epode_output_frame frame;
  // For `EPODE_START_TLS`.
  struct epode_output_start_tls start_tls;
  // For `EPODE_ONLINE`.
  struct epode_output_online online;
  // For `EPODE_OFFLINE`.
  struct epode_output_offline offline;
  // For `EPODE_STANZA`.
  struct epode_stanza stanza;
  // For `EPODE_REQUEST`.
  struct epode_output_request request;
  // For `EPODE_IQ_DONE`.
  struct epode_output_iq_done iq_done;
  // For `EPODE_DELIVERY`.
  struct epode_output_delivery delivery;
  // For `EPODE_WARNING`.
  struct epode_output_warning warning;
  // For `EPODE_INTERRUPTED`.
  struct epode_output_interrupted interrupted;
  // For `EPODE_OFFERED`.
  struct epode_output_offered offered;
  // For `EPODE_DERIVE_KEY`.
  struct epode_output_derive_key derive_key;
  // For `EPODE_TASK`.
  struct epode_output_task task;
} epode_output_data;

// What the host has to do next, or what happened. All slices are valid until the next call on the client.
typedef struct epode_output {
  // `sizeof (epode_output)`: set it once, before the first `epode_next`; it stays.
  uint32_t struct_size;
  // Which member of `data` counts: a number from `EPODE_NONE` to `EPODE_TASK`.
  uint32_t kind;
  // What belongs to that kind.
  union epode_output_data data;
} epode_output;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The longest time, in seconds, that the server may hold a request (default 60; at most 65535).
uint32_t epode_config_set_bosh_wait(struct epode_config *config, uint32_t seconds);

// How many requests the server may hold (default 1; 0 asks for a polling session; at most 255).
uint32_t epode_config_set_bosh_hold(struct epode_config *config, uint32_t requests);

// How many requests may be open at once, whatever the server allows (default 4; 2 to 255).
uint32_t epode_config_set_bosh_max_requests(struct epode_config *config, uint32_t requests);

// Whether answers are acknowledged (XEP-0124 section 9; default true).
uint32_t epode_config_set_bosh_ack(struct epode_config *config, bool ack);

// The first request id (1 to 2^53 - 1), for tests that need known bytes; 0 draws it at random, as by default.
uint32_t epode_config_set_bosh_first_rid(struct epode_config *config, uint64_t rid);

// Whether each request proves that it comes from whoever sent the one before it (XEP-0124 section 15; default false). Over https TLS
// does that already.
uint32_t epode_config_set_bosh_key_sequence(struct epode_config *config,
                                            bool keys);

// Goes on with a session that somebody else created, and logged in to the account, instead of creating one. Whether it is possible is
// checked by `epode_client_new`. NULL: creates one, as by default.
uint32_t epode_config_set_bosh_attach(struct epode_config *config,
                                      const struct epode_bosh_attach *attach);

// A client that is offline. `seed` is 32 bytes from the system's source of randomness, used for this client only: everything that
// nobody may guess is derived from it. The configuration is copied. On failure `*client` is NULL, and `epode_config_last_error` has
// the sentence.
uint32_t epode_client_new(struct epode_config *config,
                          const uint8_t *seed,
                          struct epode_client **client);

// Frees a client, in whatever state it is. NULL is fine. To say goodbye to the server first, call `epode_stop` and go on until
// `EPODE_OFFLINE`.
void epode_client_free(struct epode_client *client);

// The sentence of the last call on this client that failed. Empty if none did.
uint32_t epode_last_error(struct epode_client *client, struct epode_slice *sentence);

// When to call `epode_tick`: `*at_ms` is a time on the host's clock, or UINT64_MAX for never; `*timer`, which may be NULL, gets the
// name of who asked, for logs. Ask again after every input. While outputs wait, it is the time of the last input, or earlier.
uint32_t epode_deadline(struct epode_client *client,
                        uint64_t *at_ms,
                        struct epode_slice *timer);

// Whether the host should go on reading from its links: false while outputs pile up. Then stop reading, say so with
// `epode_reading`, and go on when it says true.
bool epode_wants_read(struct epode_client *client);

// The `EPODE_ABI_VERSION` that the library was built with.
uint32_t epode_abi_version(void);

// A sentence for a returned code: for failures where no handle has a better one. It is valid for ever.
struct epode_slice epode_code_sentence(uint32_t code);

// A configuration for `jid`, as `user@example.org`; a resource in it is asked for. On failure `*config` is NULL, and
// `epode_code_sentence` has the sentence.
uint32_t epode_config_new(struct epode_slice jid,
                          struct epode_config **config);

// Frees a configuration; its password is overwritten. NULL is fine.
void epode_config_free(struct epode_config *config);

// The sentence of the last call on this configuration that failed, `epode_client_new` included. Empty if none did.
uint32_t epode_config_last_error(struct epode_config *config,
                                 struct epode_slice *sentence);

// Connects by BOSH (XEP-0124, XEP-0206) to this https URL and by nothing else: what was added before is forgotten. It is checked
// by `epode_client_new`.
uint32_t epode_config_set_bosh_url(struct epode_config *config,
                                   struct epode_slice url);

// Adds BOSH (XEP-0124, XEP-0206) at this https URL to the transports, which are tried in the order in which they were added.
// Where none is added, the way to the server is found by DNS and the server's host-meta, over all of them.
uint32_t epode_config_add_bosh(struct epode_config *config,
                               struct epode_slice url);

// Adds a WebSocket (RFC 7395) at this wss URL to the transports.
uint32_t epode_config_add_websocket(struct epode_config *config, struct epode_slice url);

// Adds TCP (RFC 6120) to this host and port to the transports. `host` is a name in ASCII or an address, of IPv6 without brackets;
// the certificate is checked for the domain of the account all the same. `tls` is `EPODE_TCP_DIRECT_TLS` or `EPODE_TCP_STARTTLS`.
uint32_t epode_config_add_tcp(struct epode_config *config,
                              struct epode_slice host,
                              uint32_t port,
                              uint32_t tls);

// Adds what DNS (RFC 6120 section 3.2, XEP-0368) and the server's host-meta (XEP-0156) say to the transports, of the kinds that are
// true here. The host has to answer `EPODE_RESOLVE` for it.
uint32_t epode_config_add_discovery(struct epode_config *config,
                                    bool tcp,
                                    bool websocket,
                                    bool bosh);

// When SASL EXTERNAL names the account: an `EPODE_AUTHZID_` number.
uint32_t epode_config_set_authzid(struct epode_config *config, uint32_t authzid);

// Which links are good enough: an `EPODE_TLS_` number.
uint32_t epode_config_set_tls(struct epode_config *config, uint32_t tls);

// The default language of what is sent: a tag such as `en`, which is the default.
uint32_t epode_config_set_language(struct epode_config *config, struct epode_slice language);

// The application answers `iq` requests whose payload is in this namespace: they arrive as `EPODE_REQUEST`. Others are refused for
// it (RFC 6120 section 8.4), but for pings, which the client answers. May be called several times.
uint32_t epode_config_answer(struct epode_config *config,
                             struct epode_slice namespace_);

// A handle of the `EPODE_DERIVE_KEY` that `epode_next` gave last: call it before anything else on the client. On failure `*derivation` is
// NULL.
uint32_t epode_derivation_new(struct epode_client *client,
                              struct epode_derivation **derivation);

// Frees a derivation; its password and its key are overwritten. NULL is fine.
void epode_derivation_free(struct epode_derivation *derivation);

// What is to be derived, for a PBKDF2 of the platform's; its slices belong to this handle.
uint32_t epode_derivation_inputs(struct epode_derivation *derivation, struct epode_output_derive_key *inputs);

// Derives the key, for as long as the iterations take: milliseconds to seconds. `*key` is what `epode_derived` takes. It belongs to this
// handle, and logs in to this server as well as the password does: a copy may be kept, where secrets are kept, for
// `epode_config_set_scram_key`.
uint32_t epode_derivation_run(struct epode_derivation *derivation,
                              struct epode_slice *key);

// As `epode_derivation_run`, from what a PBKDF2 of the platform's made of the password: as many bytes as the hash has.
uint32_t epode_derivation_with_salted_password(struct epode_derivation *derivation,
                                               struct epode_slice salted_password,
                                               struct epode_slice *key);

// Before the first start: all that an earlier client stored in this slot (`EPODE_STORE`), in order. The client goes on where that
// one was. `slot` is an `EPODE_SLOT_` number; each may be restored once. The bytes are a secret: overwrite your copy. An
// `EPODE_SNAPSHOT_` code means that they are of no use, and the client starts afresh.
uint32_t epode_restore(struct epode_client *client,
                       uint64_t now_ms,
                       uint32_t slot,
                       struct epode_slice bytes);

// What the wall clock shows, in milliseconds since 1970-01-01T00:00:00Z: used for the time stamps of stanzas that are sent late
// (XEP-0203), and for nothing else. Once before the start is enough, and again when the clock was set.
uint32_t epode_clock(struct epode_client *client,
                     uint64_t now_ms,
                     uint64_t unix_ms);

// Answers an `EPODE_QUESTION_SRV` with `count` records, in any order; 0 where the name has none or does not exist. `records` may be
// NULL then.
uint32_t epode_resolved_records(struct epode_client *client,
                                uint64_t now_ms,
                                uint64_t query,
                                const struct epode_srv_record *records,
                                size_t count);

// Answers an `EPODE_QUESTION_DOCUMENT` with the document, which came with HTTP status 200.
uint32_t epode_resolved_document(struct epode_client *client,
                                 uint64_t now_ms,
                                 uint64_t query,
                                 struct epode_slice document);

// There is no answer to an `EPODE_RESOLVE`: `failure`, `alert` and `reason` as in `epode_failed`.
uint32_t epode_resolved_failed(struct epode_client *client,
                               uint64_t now_ms,
                               uint64_t query,
                               uint32_t failure,
                               uint32_t alert,
                               struct epode_slice reason);

// The device's network came, went, or became another one: an `EPODE_NETWORK_` number.
uint32_t epode_network(struct epode_client *client, uint64_t now_ms, uint32_t network);

// Whether somebody looks at the application: a server holds back what can wait while nobody does (XEP-0352).
uint32_t epode_foreground(struct epode_client *client, uint64_t now_ms, bool foreground);

// The device is about to sleep for at most so many seconds: on BOSH the server is told (XEP-0124 section 10), elsewhere everything
// is acknowledged that can be. Carry out what comes of it before the device sleeps.
uint32_t epode_pause(struct epode_client *client,
                     uint64_t now_ms,
                     uint32_t seconds);

// With `EPODE_ACKNOWLEDGE_MANUAL`: the application has dealt with a received stanza. `token` is the one of its `epode_stanza`.
uint32_t epode_handled(struct epode_client *client,
                       uint64_t now_ms,
                       uint64_t token);

// An `EPODE_DERIVE_KEY` is done: `job` is its job, and `key` what `epode_derivation_run` or `epode_derivation_with_salted_password`
// gave. One that nobody waits for any more is ignored.
uint32_t epode_derived(struct epode_client *client,
                       uint64_t now_ms,
                       uint64_t job,
                       struct epode_slice key);

// From the next login on the credentials of this configuration count: an access token that was renewed, a password that was changed. They
// must be for the same account; nothing else of the configuration is used, and it may be freed afterwards. Where it has none, the
// sentence is the configuration's.
uint32_t epode_provide(struct epode_client *client,
                       uint64_t now_ms,
                       struct epode_config *config);

// Answers an `EPODE_TASK`: the first answer begins the task, each further one goes on with it (XEP-0388 section 2.6.4). `payload` is the task's
// own element as XML, all namespaces declared, or NULL if it has none to say.
uint32_t epode_task(struct epode_client *client,
                    uint64_t now_ms,
                    struct epode_slice payload);

// The user wants to be online.
uint32_t epode_start(struct epode_client *client, uint64_t now_ms);

// The user wants to be offline. The client says goodbye first; `EPODE_OFFLINE` is the end.
uint32_t epode_stop(struct epode_client *client, uint64_t now_ms);

// A link is ready: TCP is up, and TLS where it begins at once; after `EPODE_START_TLS`, TLS is up; the WebSocket is open. For BOSH:
// the HTTP client is ready, and `info` says what holds for each of its requests.
uint32_t epode_connected(struct epode_client *client,
                         uint64_t now_ms,
                         uint64_t link,
                         const struct epode_link_info *info);

// Bytes from TCP, cut anywhere; or one whole WebSocket text message.
uint32_t epode_received(struct epode_client *client,
                        uint64_t now_ms,
                        uint64_t link,
                        struct epode_slice bytes);

// So many more bytes of what `EPODE_WRITE` and `EPODE_FRAME` gave have left the host's buffer (of a frame: of its text).
uint32_t epode_written(struct epode_client *client,
                       uint64_t now_ms,
                       uint64_t link,
                       uint64_t bytes);

// One HTTP answer, whole. `tls` is NULL if nothing is known of its connection.
uint32_t epode_responded(struct epode_client *client,
                         uint64_t now_ms,
                         uint64_t link,
                         uint64_t request,
                         uint32_t status,
                         struct epode_slice body,
                         const struct epode_tls_facts *tls);

// Something broke: one HTTP request, or the whole link where `request` is 0. `failure` is an `EPODE_FAILURE_` number; `alert` counts
// for `EPODE_FAILURE_TLS_ALERT` only, and `reason`, a sentence for a person, for the three that are not clear without one:
// `EPODE_FAILURE_CERTIFICATE_REJECTED`, `EPODE_FAILURE_HTTP` and `EPODE_FAILURE_OTHER`.
uint32_t epode_failed(struct epode_client *client,
                      uint64_t now_ms,
                      uint64_t link,
                      uint64_t request,
                      uint32_t failure,
                      uint32_t alert,
                      struct epode_slice reason);

// The peer closed the link.
uint32_t epode_ended(struct epode_client *client, uint64_t now_ms, uint64_t link);

// The host has stopped reading from the link because the application is slow (false), or reads again (true). While it does not
// read, deadlines that wait for the server stand still.
uint32_t epode_reading(struct epode_client *client,
                       uint64_t now_ms,
                       uint64_t link,
                       bool reading);

// The deadline passed. Early or twice is harmless.
uint32_t epode_tick(struct epode_client *client, uint64_t now_ms);

// Sends a message or a presence: one XML element that says `xmlns='jabber:client'`. `*token`, which may be NULL, gets the token of
// its `EPODE_DELIVERY` events.
uint32_t epode_send(struct epode_client *client,
                    uint64_t now_ms,
                    struct epode_slice xml,
                    uint64_t *token);

// Sends a chat message: `epode_send` without the XML. `to` is a JID, and `body` any text that XML can carry.
uint32_t epode_send_chat(struct epode_client *client,
                         uint64_t now_ms,
                         struct epode_slice to,
                         struct epode_slice body,
                         uint64_t *token);

// Sends an `iq` of type `get` or `set`, as XML; its `id` is replaced by one that nobody can guess. Its answer comes once, as
// `EPODE_IQ_DONE` with `*token`. `timeout_ms` 0 takes the configuration's.
uint32_t epode_request(struct epode_client *client,
                       uint64_t now_ms,
                       struct epode_slice xml,
                       uint64_t timeout_ms,
                       uint64_t *token);

// Answers an `EPODE_REQUEST` with a result. `payload` is one XML element, or NULL for a result without one.
uint32_t epode_respond(struct epode_client *client,
                       uint64_t now_ms,
                       uint64_t token,
                       struct epode_slice payload);

// Answers an `EPODE_REQUEST` with an error: `error_type` is an `EPODE_ERROR_` number, `condition` one of RFC 6120 section 8.3.3 such
// as `item-not-found`, `text` a sentence for a person, or NULL.
uint32_t epode_respond_error(struct epode_client *client,
                             uint64_t now_ms,
                             uint64_t token,
                             uint32_t error_type,
                             struct epode_slice condition,
                             struct epode_slice text);

// Gives up on a request, or on a stanza that has not been written yet.
uint32_t epode_cancel(struct epode_client *client, uint64_t now_ms, uint64_t token);

// Logs in by the TLS client certificate that the host knows by this label. `der` is the certificate itself, or NULL if the host
// cannot show it. The key never comes here. Together with a password: two factors, the certificate in TLS, the password by SCRAM.
uint32_t epode_config_set_certificate(struct epode_config *config,
                                      struct epode_slice label,
                                      struct epode_slice der);

// Logs in by this password. The bytes are copied, and the copy is overwritten when it is freed; do the same with your own.
uint32_t epode_config_set_password(struct epode_config *config,
                                   struct epode_slice password);

// Logs in by SCRAM with this key instead of the password: the bytes that `epode_derivation_run` gave at an earlier login. Where the server has
// another salt or count by now, the login fails with `EPODE_LOGIN_KEY_DOES_NOT_FIT`. The bytes log in as well as the password does:
// they are copied, and the copy is overwritten when it is freed.
uint32_t epode_config_set_scram_key(struct epode_config *config,
                                    struct epode_slice key);

// Logs in by this OAuth 2.0 access token (RFC 7628). The bytes are copied, and the copy is overwritten when it is freed.
uint32_t epode_config_set_access_token(struct epode_config *config,
                                       struct epode_slice token);

// Logs in by nothing but the login token that is restored (`EPODE_SLOT_TOKEN`, XEP-0484).
uint32_t epode_config_set_kept_token(struct epode_config *config);

// Logs in to no account: the server makes one up (ANONYMOUS, XEP-0175). The JID is the server's domain.
uint32_t epode_config_set_anonymous(struct epode_config *config);

// Registers the account (XEP-0077 section 3.1), which does not exist yet, with this password, and logs in to it. The bytes are copied, and
// the copy is overwritten when it is freed.
uint32_t epode_config_set_new_account(struct epode_config *config,
                                      struct epode_slice password);

// Logs in by nothing: the client looks at what the server offers (`EPODE_OFFERED`), says goodbye and is offline. The JID may be a
// domain. As with all credentials, what was set before is forgotten, and what is set afterwards counts.
uint32_t epode_config_set_no_credentials(struct epode_config *config);

// Whether PLAIN, which shows the password to the server, may be used over verified TLS (default false).
uint32_t epode_config_set_allow_plain(struct epode_config *config, bool allow);

// Whether DIGEST-MD5 (RFC 2831, historic) may be used over verified TLS (default false). `realm` is the realm, whatever the server offers;
// NULL: the one that is called like the domain, or the only one. `always_utf8` hashes names and passwords as UTF-8 also where they
// could be ISO-8859-1.
uint32_t epode_config_set_digest_md5(struct epode_config *config,
                                     bool allow,
                                     struct epode_slice realm,
                                     bool always_utf8);

// Uses only the mechanisms that are added here, as `SCRAM-SHA-256-PLUS`. Where none is, all may be used. The order counts for nothing:
// the best that the server offers is used.
uint32_t epode_config_add_mechanism(struct epode_config *config,
                                    struct epode_slice name);

// Uses no mechanism that stands behind this one in the client's order of preference, as `SCRAM-SHA-256`; NULL: any that may be used. The
// order: EXTERNAL, tokens (HT), SCRAM with channel binding (SHA-512, -384, -256, -1), SCRAM without, OAUTHBEARER, X-OAUTH2,
// DIGEST-MD5, PLAIN, ANONYMOUS.
uint32_t epode_config_set_least_mechanism(struct epode_config *config,
                                          struct epode_slice name);

// Binds logins only to the types that are added here, each an `EPODE_BINDING_` number. Where none is, to all that the host gives and the
// server offers. The order counts for nothing.
uint32_t epode_config_add_channel_binding(struct epode_config *config,
                                          uint32_t channel_binding);

// How many iterations a SCRAM server may ask for: fewer than `min` (4096) would help to guess the password, more than `max`
// (2000000) would only burn time.
uint32_t epode_config_set_scram_iterations(struct epode_config *config,
                                           uint32_t min,
                                           uint32_t max);

// Whether SASL2 (XEP-0388) is used where the server has it and TLS protects the link (default true).
uint32_t epode_config_set_sasl2(struct epode_config *config, bool sasl2);

// Whether to log in by token or by certificate in the same breath as the stream is opened, where an earlier login has shown that the server
// takes it (default true): a round trip less. SASL2 on TCP and WebSocket only.
uint32_t epode_config_set_pipeline(struct epode_config *config,
                                   bool pipeline);

// Whether to refuse less than the strongest class of mechanism that the server has offered to this account before (`mechanism`, default
// true), and to insist on channel binding that was there before on the same transport (`channel_binding`, default false: a server
// behind another proxy may have lost it). What was seen is kept in the client, and in `EPODE_SLOT_PINS`.
uint32_t epode_config_set_pin(struct epode_config *config,
                              bool mechanism,
                              bool channel_binding);

// Whether a login by token (XEP-0484) counts where the server does not prove that it knows the token (default false). A wrong proof never
// counts.
uint32_t epode_config_set_allow_missing_ht_server_proof(struct epode_config *config,
                                                        bool allow);

// Whether to give the server the means for a stronger SCRAM where it asks for them (XEP-0480), after it has proved itself (default
// false).
uint32_t epode_config_set_upgrade(struct epode_config *config,
                                  bool upgrade);

// What the client says about itself (XEP-0388 section 2.4): `id`, a UUID of version 4 that is the same for all the life of an installation,
// or NULL: the client draws one, and keeps it with the login token; the names of the software and of the device, for the user's eyes,
// or NULL for none. The default names the software `epode`.
uint32_t epode_config_set_user_agent(struct epode_config *config,
                                     struct epode_slice id,
                                     struct epode_slice software,
                                     struct epode_slice device);

// Whether login tokens (XEP-0484) are used: an `EPODE_FAST_` number. They are stored in `EPODE_SLOT_TOKEN`, where
// `epode_config_set_persist` says that anything is.
uint32_t epode_config_set_fast(struct epode_config *config,
                               uint32_t fast);

// What is asked for together with a resource, where the server has Bind 2 (XEP-0386): the name of the software, which becomes a part of
// the resource (default `epode`), and whether messages of the account's other devices are copied to this one (XEP-0280; default false).
uint32_t epode_config_set_bind(struct epode_config *config,
                               struct epode_slice tag,
                               bool carbons);

// Who derives SCRAM's keys from the password: `EPODE_DERIVE_INLINE` or `EPODE_DERIVE_HOST`.
uint32_t epode_config_set_key_derivation(struct epode_config *config, uint32_t who);

// The application can do this task (XEP-0388 section 2.6.4) where the server asks for it after the credentials, a second factor for example:
// `EPODE_TASK`. May be called several times.
uint32_t epode_config_add_task(struct epode_config *config,
                               struct epode_slice task);

// Writes what to do next into `*output`. Call it after every input, until `kind` is `EPODE_NONE`; an output that is not carried out
// is lost. After an `EPODE_PANIC` it says `EPODE_OFFLINE`, of the group `EPODE_OFFLINE_INTERNAL`, and then `EPODE_NONE` for ever: links that
// are open are the host's to close.
uint32_t epode_next(struct epode_client *client,
                    struct epode_output *output);

// How long to wait, in milliseconds: `timeout` is an `EPODE_TIMEOUT_` number.
uint32_t epode_config_set_timeout(struct epode_config *config, uint32_t timeout, uint64_t milliseconds);

// What a peer, or the application itself, may cost: `limit` is an `EPODE_LIMIT_` number.
uint32_t epode_config_set_limit(struct epode_config *config, uint32_t limit, uint64_t value);

// When to connect again after the link is gone: an `EPODE_RECONNECT_` number.
uint32_t epode_config_set_reconnect(struct epode_config *config, uint32_t when);

// How long to wait before connecting again, in milliseconds: before the first attempt (1 s), before the second (2 s), from which on it
// doubles, and at most (2 min). What is waited is drawn at random between half of that and all of it. `attempts`: give up after so
// many in a row without a login; 0: never, the default.
uint32_t epode_config_set_reconnect_delays(struct epode_config *config,
                                           uint64_t first_ms,
                                           uint64_t second_ms,
                                           uint64_t longest_ms,
                                           uint32_t attempts);

// Acknowledgements (XEP-0198), where the server has them: whether to use them at all, and whether to ask that the session can be
// resumed (both default true); for how many seconds the server is asked to keep a session that lost its link (0, the default, leaves
// it to the server).
uint32_t epode_config_set_stream_management(struct epode_config *config,
                                            bool enabled,
                                            bool resume,
                                            uint32_t max_seconds);

// When to ask for an acknowledgement: after so many stanzas (default 10; 1 to 65535), and so many milliseconds after the last one that
// is not acknowledged (default 3 s).
uint32_t epode_config_set_acknowledgement_requests(struct epode_config *config,
                                                   uint32_t stanzas,
                                                   uint64_t quiet_ms);

// Whether messages of which nobody knows whether the server has them, because the session is gone, are sent again in the next one, where
// they may arrive twice. By default they are `EPODE_FAILED`.
uint32_t epode_config_set_resend_uncertain(struct epode_config *config,
                                           bool resend);

// How a dead link is noticed on TCP and WebSocket, in milliseconds: after how long without a word from the server it is asked (5 min;
// UINT64_MAX: never); how long it may take to answer (30 s); after how long without a word from the client something is sent that
// means nothing (UINT64_MAX, the default: never).
uint32_t epode_config_set_liveness(struct epode_config *config,
                                   uint64_t ask_after_ms,
                                   uint64_t answer_within_ms,
                                   uint64_t keep_alive_after_ms);

// What the host keeps for a process to come, as `EPODE_STORE` asks: an `EPODE_PERSIST_` number.
uint32_t epode_config_set_persist(struct epode_config *config, uint32_t persist);

// When a received stanza counts as handled, so that the server need not send it again after a resumption: an `EPODE_ACKNOWLEDGE_`
// number.
uint32_t epode_config_set_acknowledge(struct epode_config *config,
                                      uint32_t acknowledge);

// The slice of a text that ends with NUL, without the NUL; none for NULL. The text must stay while the slice is used.
struct epode_slice epode_text(const char *text);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* EPODE_H */
