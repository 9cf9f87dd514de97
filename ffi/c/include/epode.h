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
// Texts are UTF-8, with a length and without a NUL. Time is in milliseconds on a clock of yours that never runs backwards and counts
// while the device sleeps (CLOCK_BOOTTIME). Set struct_size where a struct has one, and zero the rest of what you do not know.
//
// A password is bytes: overwrite your own copy when it has been set. Post bodies carry secrets too: do not log them.


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

// The configuration has no credentials.
#define EPODE_CONFIG_CREDENTIALS 20

// The configuration has no transport.
#define EPODE_CONFIG_TRANSPORT 21

// The JID has no part before the `@`.
#define EPODE_CONFIG_LOCALPART 22

// The URL is not an absolute https URL.
#define EPODE_CONFIG_URL 23

// The URL is http, and the TLS policy asks for TLS.
#define EPODE_CONFIG_PLAINTEXT_URL 24

// The first request id is out of range.
#define EPODE_CONFIG_FIRST_RID 25

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

// Refused for another reason.
#define EPODE_REFUSED 149

// A bug in epode. The handle is dead: free it. Please report the message on standard error.
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

// For a link to come up, and a session to be created on it (30 s).
#define EPODE_TIMEOUT_CONNECT 1

// For each step of the negotiation (30 s).
#define EPODE_TIMEOUT_NEGOTIATION 2

// For the server's part of the goodbye (5 s).
#define EPODE_TIMEOUT_CLOSE 3

// For the answer to a request (60 s); also for the application's own answers.
#define EPODE_TIMEOUT_IQ 4

// Nobody verified the server's certificate.
#define EPODE_VERIFIED_NO 0

// The host did, for `verified_name`.
#define EPODE_VERIFIED_HOST 1

// The platform did, unseen by the host.
#define EPODE_VERIFIED_PLATFORM 2

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

// Something that this version of the ABI has no words for: ignore it.
#define EPODE_OTHER 99

// Logged in: `data.online`.
#define EPODE_ONLINE 100

// Over; exactly once for each start, and the last event: `data.offline`.
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

// A BOSH connection manager at `url`.
#define EPODE_ENDPOINT_BOSH 1

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

// Another reason: see its sentence.
#define EPODE_OFFLINE_OTHER 99

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

// Another one: see its sentence.
#define EPODE_WARNING_OTHER 99

// One account, and one session at a time with its server. It does no I/O.
typedef struct epode_client epode_client;

// One account, how to prove it, and how to reach its server. It may be freed as soon as the client is made.
typedef struct epode_config epode_config;

// Bytes that somebody else owns. Texts are UTF-8 and have no NUL at their end. `data` NULL means that there is none; a length of
// 0 with another `data` is an empty one.
typedef struct epode_slice {
  // The first byte, or NULL.
  const uint8_t *data;
  // How many bytes there are.
  size_t len;
} epode_slice;

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
  // Never buffer more than so many bytes of one answer: fail the request instead (`EPODE_FAILURE_HTTP`).
  uint64_t max_message;
  // Where.
  struct epode_slice url;
  // The name that the server's certificate must be valid for.
  struct epode_slice server_name;
  // The label of the client certificate to present on every connection of this link; NULL: present none.
  struct epode_slice identity;
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

// Let the posts that are not abandoned go out, then close. On a link that is still connecting: give up. The id is dead.
typedef struct epode_output_close {
  // The link.
  uint64_t link;
} epode_output_close;

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
} epode_output_online;

// The client will not try any more.
typedef struct epode_output_offline {
  // Who is to blame: an `EPODE_OFFLINE_` number.
  uint32_t group;
  // Nothing.
  uint32_t reserved;
  // Why, for a person.
  struct epode_slice sentence;
  // The condition that the server named, as `not-authorized`; NULL if it named none.
  struct epode_slice condition;
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
} epode_output_data;

// What the host has to do next, or what happened. All slices are valid until the next call on the client.
typedef struct epode_output {
  // `sizeof (epode_output)`: set it once, before the first `epode_next`; it stays.
  uint32_t struct_size;
  // Which member of `data` counts: a number from `EPODE_NONE` to `EPODE_WARNING`.
  uint32_t kind;
  // What belongs to that kind.
  union epode_output_data data;
} epode_output;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

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
// name of who asked, for logs. Ask again after every input. While outputs wait, it is the time of the last input.
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

// Connects by BOSH (XEP-0124, XEP-0206) to this https URL. It is checked by `epode_client_new`.
uint32_t epode_config_set_bosh_url(struct epode_config *config, struct epode_slice url);

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

// Logs in by the TLS client certificate that the host knows by this label. `der` is the certificate itself, or NULL if the host
// cannot show it. The key never comes here. Together with a password: two factors, the certificate in TLS, the password by SCRAM.
uint32_t epode_config_set_certificate(struct epode_config *config,
                                      struct epode_slice label,
                                      struct epode_slice der);

// Logs in by this password. The bytes are copied, and the copy is overwritten when it is freed; do the same with your own.
uint32_t epode_config_set_password(struct epode_config *config,
                                   struct epode_slice password);

// Whether PLAIN, which shows the password to the server, may be used over verified TLS (default false).
uint32_t epode_config_set_allow_plain(struct epode_config *config, bool allow);

// When SASL EXTERNAL names the account: an `EPODE_AUTHZID_` number.
uint32_t epode_config_set_authzid(struct epode_config *config, uint32_t authzid);

// Which links are good enough: an `EPODE_TLS_` number.
uint32_t epode_config_set_tls(struct epode_config *config, uint32_t tls);

// How long to wait, in milliseconds: `timeout` is an `EPODE_TIMEOUT_` number.
uint32_t epode_config_set_timeout(struct epode_config *config, uint32_t timeout, uint64_t milliseconds);

// The default language of what is sent: a tag such as `en`, which is the default.
uint32_t epode_config_set_language(struct epode_config *config, struct epode_slice language);

// The application answers `iq` requests whose payload is in this namespace: they arrive as `EPODE_REQUEST`. Others are refused for
// it (RFC 6120 section 8.4), but for pings, which the client answers. May be called several times.
uint32_t epode_config_answer(struct epode_config *config,
                             struct epode_slice namespace_);

// The user wants to be online.
uint32_t epode_start(struct epode_client *client, uint64_t now_ms);

// The user wants to be offline. The client says goodbye first; `EPODE_OFFLINE` is the end.
uint32_t epode_stop(struct epode_client *client, uint64_t now_ms);

// A link is ready. For BOSH: the HTTP client is ready, and `info` says what holds for each of its requests.
uint32_t epode_connected(struct epode_client *client,
                         uint64_t now_ms,
                         uint64_t link,
                         const struct epode_link_info *info);

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

// Writes what to do next into `*output`. Call it after every input, until `kind` is `EPODE_NONE`; an output that is not carried out
// is lost.
uint32_t epode_next(struct epode_client *client,
                    struct epode_output *output);

// The slice of a text that ends with NUL, without the NUL; none for NULL. The text must stay while the slice is used.
struct epode_slice epode_text(const char *text);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* EPODE_H */
