// epode_host.h: the connections of an epode client: TCP, WebSocket and BOSH with TLS, DNS, the clock, and a folder for what survives.
//
//     epode_config *config = NULL;
//     epode_config_new(epode_text("user@example.org"), &config);
//     epode_config_set_password(config, epode_text(password));
//     epode_host *host = NULL;
//     uint32_t code = epode_host_new(config, NULL, &host);
//     epode_config_free(config);
//     epode_output event = {.struct_size = sizeof event};
//     if (!code) code = epode_host_start(host);
//     while (!code && !(code = epode_host_wait(host, -1, &event)) && event.kind != EPODE_OFFLINE) { /* look at event.kind */ }
//     epode_host_free(host);
//
// Results. 0 (EPODE_OK), an EPODE_ code of epode.h, or an EPODE_HOST_ code below. epode_host_last_error gives the sentence. What the server
// or the network does wrong is never a code: it is an event.
//
// Ownership. What is passed in is read during the call only. The slices of an event are valid until the next epode_host_wait on that
// host, whatever is sent meanwhile. epode_host_free frees everything; NULL is fine there.
//
// Threads. One call at a time on a host and on its client; only epode_host_wake may be called from any thread, and from a signal handler.
// Different hosts are independent. A host has short-lived threads of its own for names (getaddrinfo, SRV) and for SCRAM's key; none
// of them outlives it, and none of them takes signals. There are no callbacks.
#ifndef EPODE_HOST_H
#define EPODE_HOST_H

#include <epode.h>

// A file of certificates or keys cannot be read, or does not fit: see the sentence.
#define EPODE_HOST_TLS 200

// The state folder cannot be used. When it fails later, nothing more is sent: what cannot be stored must not be acted on.
#define EPODE_HOST_STATE 201

// The system has no more descriptors or threads, or libcurl is not built on OpenSSL.
#define EPODE_HOST_SYSTEM 202

// A client with everything that it needs from a system.
typedef struct epode_host epode_host;

// What a host is made of besides the configuration. Zeroed, but for `struct_size`, it is the default. All texts end with NUL.
typedef struct epode_host_options {
    // `sizeof (epode_host_options)`.
    uint32_t struct_size;
    // How many received stanzas may wait for epode_host_wait before nothing more is read from the server; reading goes on when half of
    // them are taken. 0 stands for 1000.
    uint32_t backlog;
    // The authorities that vouch for servers, a PEM file; NULL: those of the system (OpenSSL's default paths).
    const char *ca_file;
    // The client certificate, a PEM file with the leaf first, and its private key, a PEM file (NULL: in the same one). With them, or with
    // `pkcs12_file`, the client logs in by that certificate (SASL EXTERNAL), and with a password in the configuration by both.
    const char *certificate_file;
    const char *key_file;
    // The same in one PKCS#12 file.
    const char *pkcs12_file;
    // What the private key is encrypted with; NULL: nothing. Overwrite your copy afterwards.
    const char *pass_phrase;
    // A folder for what survives the process: the session, the login token, what is known of the server. It is made if it is not there
    // (mode 0700, its files 0600). It has no lock: one account and one process at a time. NULL: nothing survives.
    const char *state_folder;
    // When the session is stored: an EPODE_PERSIST_ number; 0 stands for EPODE_PERSIST_ON_SUSPEND. Counts with a `state_folder` only.
    uint32_t persist;
    // 1: presents a client certificate that has expired, is not valid yet or is for another purpose, and lets the server judge; 0:
    // epode_host_new fails for it.
    uint32_t present_invalid;
    // The name server for SRV records, as `192.0.2.1:53` (IPv4); NULL: those of the system.
    const char *name_server;
} epode_host_options;

#ifdef __cplusplus
extern "C" {
#endif

// A host that is offline. `options` may be NULL. The configuration is copied into its client; the label of the client certificate, the
// kind of key derivation and, with a state folder, what persists are set in it. On failure `*host` is NULL, and
// epode_host_last_error(NULL) has the sentence.
uint32_t epode_host_new(epode_config *config, const epode_host_options *options, epode_host **host);

// Frees a host with its client and everything that is open, without a goodbye (see epode_host_stop). It waits for the threads of the
// host: SCRAM's key takes up to a second or so, a name server that does not answer up to ten.
void epode_host_free(epode_host *host);

// The user wants to be online. Nothing happens outside epode_host_wait.
uint32_t epode_host_start(epode_host *host);

// The user wants to be offline: the client says goodbye, for at most 5 seconds; then comes EPODE_OFFLINE.
uint32_t epode_host_stop(epode_host *host);

// Carries out everything that the client wants, and gives the next event for the application: an output whose kind is EPODE_ONLINE or a
// later one. Waits at most `timeout_ms` for it; -1: for ever; 0: not at all. EPODE_NONE: there was none in time, or epode_host_wake was
// called. EPODE_OFFLINE is the last; every connection is closed when it comes, and epode_host_start may follow.
// Set `event->struct_size` once. A code is final: the host can only be freed.
uint32_t epode_host_wait(epode_host *host, int timeout_ms, epode_output *event);

// The same without giving an event: for an application that cannot take events now and wants to stay connected. Events wait in
// the host, up to the `backlog` of stanzas; then nothing more is read.
uint32_t epode_host_work(epode_host *host, int timeout_ms);

// How many events wait in the host.
size_t epode_host_waiting(const epode_host *host);

// A descriptor for the application's own loop: while it is readable (poll, epoll, select), call epode_host_wait with a timeout of 0 until it
// gives EPODE_NONE. Do that also after each call that sends, starts or stops. It belongs to the host.
int epode_host_fd(const epode_host *host);

// Makes the present or the next epode_host_wait return. From any thread and from signal handlers, while the host lives.
void epode_host_wake(epode_host *host);

// The client, for whatever an application does with it: epode_send_chat, epode_send, epode_request, epode_respond, epode_handled,
// epode_provide, epode_network, epode_pause, epode_last_error... with epode_host_now as the time. What these calls bring about happens in the next
// epode_host_wait. The host keeps for itself: epode_next, epode_tick, epode_start, epode_stop, epode_client_free, and what tells of links
// (epode_connected to epode_reading), of names (epode_resolved_*) and of keys.
epode_client *epode_host_client(epode_host *host);

// What the clock of all hosts shows, in milliseconds: CLOCK_BOOTTIME.
uint64_t epode_host_now(void);

// The sentence of the last call on this host that failed; for NULL, of this thread's last epode_host_new that failed. Valid until the next
// call on the host, or the next epode_host_new of the thread.
epode_slice epode_host_last_error(const epode_host *host);

#ifdef __cplusplus
}
#endif

#endif
