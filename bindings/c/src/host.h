// host.h: what the files of the host share. Not installed.
#ifndef EPODE_HOST_INTERNAL_H
#define EPODE_HOST_INTERNAL_H

#include "../include/epode_host.h"
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define NEVER UINT64_MAX

// How long what was given before the end of a link may take to go out, and the peer's goodbye to come in.
#define LINGER_MS 2000

// A growable buffer that is filled at its end and consumed at its front.
struct bytes {
    uint8_t *data;
    size_t begin, end, capacity;
};

// What went wrong on a link, as epode_failed takes it.
struct failure {
    uint32_t kind, alert;
    char reason[256];
};

// A descriptor in the host's epoll set. `ready` is called with its events; it may remove any watch.
struct watch {
    int fd;
    uint32_t events; // those that are in the set now; 0: it is not in there
    void (*ready)(struct watch *watch, uint32_t events);
    void *owner;
};

// Work in a thread of its own. `run` is called there; `done` afterwards in the loop, unless `owner` is NULL by then; `destroy` always.
struct job {
    struct job *next;
    epode_host *host;
    void *owner;
    void (*run)(struct job *job);
    void (*done)(struct job *job);
    void (*destroy)(struct job *job);
    pthread_t thread;
    bool finished; // under the host's lock
};

// An event that waits for the application, with everything that its slices point to behind it.
struct event {
    struct event *next;
    epode_output output;
    uint8_t data[];
};

// What a TLS connection, or several to one server, showed. Callbacks of OpenSSL fill it.
struct seen {
    bool asked;          // for a client certificate
    int alert;           // the last one that was received; 0: none
    long verify_error;   // X509_V_OK, or why the server's certificate is not accepted
    int version;         // as SSL_version says
    bool leaf_known;     // the next is filled
    uint8_t leaf[32];    // SHA-256 of the server's certificate
    bool pinned;         // and no other one is accepted
    bool changed;        // another one was shown
};

struct link;

// What differs between the transports. Each function may be called at any time while the link lives.
struct link_type {
    void (*turn)(struct link *link, uint64_t now);   // does what can be done without waiting
    uint64_t (*deadline)(const struct link *link);   // when to call it at the latest
    void (*destroy)(struct link *link);
};

struct link {
    struct link *next;
    epode_host *host;
    const struct link_type *type;
    uint64_t id;
    bool again;      // a turn is due
    bool closing;    // the client has closed it: it flushes, and the client hears nothing more
    bool dead;       // over: freed soon
    uint64_t close_by;
    uint64_t max_message;
    char *server_name, *url;
    bool present;    // the client certificate
};

struct epode_host {
    epode_client *client;
    // The queue of events for the application, and what it was given last.
    struct event *first, **last, *given;
    size_t events, stanzas, backlog;
    struct link *links;
    struct job *jobs;
    struct web *documents; // host-meta
    pthread_mutex_t lock;  // of `finished` in each job
    atomic_int woken;
    int epoll, timer, wake;
    struct watch timer_watch, wake_watch;
    bool reading;
    uint64_t turned; // when the network was last looked at
    uint64_t armed;  // for when the timer is set
    uint32_t code;   // final
    char *sentence;  // of the last failure
    int state;       // the state folder, or -1
    char *name_server;
    X509_STORE *store;
    X509 *certificate;
    EVP_PKEY *key;
    STACK_OF(X509) *chain;
};

// memory.c: it does not run out; where it does, the process ends.
void *allocated(void *memory);
char *copy_text(epode_slice text);
void bytes_append(struct bytes *bytes, const void *data, size_t len);
void bytes_consume(struct bytes *bytes, size_t len);
void bytes_free(struct bytes *bytes); // overwrites: logins were in there
size_t bytes_len(const struct bytes *bytes);
epode_slice slice(const void *data, size_t len);
void set_failure(struct failure *failure, uint32_t kind, const char *format, ...) __attribute__((format(printf, 3, 4)));
void set_errno(struct failure *failure, int error);

// event.c
void event_push(epode_host *host, const epode_output *output);
bool event_ready(const epode_host *host);
bool event_take(epode_host *host, epode_output *output);
void event_free_all(epode_host *host);

// host.c: the loop, as the rest sees it.
void host_fail(epode_host *host, uint32_t code, const char *format, ...) __attribute__((format(printf, 3, 4)));
void host_check(epode_host *host, uint32_t code);
void host_drain(epode_host *host);
void host_judge_reading(epode_host *host);
void host_watch(epode_host *host, struct watch *watch, uint32_t events);

// link.c: links tell the client, and what comes of it is carried out before these return.
struct link *link_find(epode_host *host, uint64_t id);
void link_open(epode_host *host, const epode_output_connect *connect);
void link_connected(struct link *link, const epode_link_info *info);
void link_received(struct link *link, epode_slice bytes);
void link_written(struct link *link, uint64_t count);
void link_ended(struct link *link);
void link_failed(struct link *link, const struct failure *failure);
void link_close(epode_host *host, uint64_t id);
void link_free_all(epode_host *host, bool only_dead);

// tcp.c, websocket.c, bosh.c
struct link *tcp_open(const epode_output_connect *connect);
void tcp_write(struct link *link, epode_slice bytes);
void tcp_start_tls(struct link *link, epode_slice server_name);
struct link *websocket_open(struct failure *failure, const char *url);
void websocket_frame(struct link *link, epode_slice text);
struct link *bosh_open(epode_host *host, struct failure *failure, const char *url);
void bosh_post(struct link *link, const epode_output_post *post);
void bosh_abandon(struct link *link, uint64_t request);
extern const struct link_type tcp_type, websocket_type, bosh_type;

// job.c
bool job_start(epode_host *host, struct job *job);
void job_collect(epode_host *host);
void job_forget(epode_host *host, const void *owner);
void job_free_all(epode_host *host);
void derive_key(epode_host *host, uint64_t job);

// resolve.c
bool name_server_good(const char *server);
void resolve(epode_host *host, const epode_output_resolve *resolve);

// state.c
bool state_open(epode_host *host, const char *folder);
void state_restore(epode_host *host);
void state_store(epode_host *host, const epode_output_store *store);

// identity.c
bool identity_load(epode_host *host, const epode_host_options *options);
bool identity_set(epode_host *host, epode_config *config, uint32_t *code);

// tls.c
void tls_configure(SSL_CTX *context, const epode_host *host, bool present, struct seen *seen);
void tls_failure(struct failure *failure, const struct seen *seen, const SSL *ssl, int result);
bool tls_judged(struct failure *failure, const struct seen *seen);

// What channel bindings and facts of a connection there are; `info` borrows from it.
struct facts {
    uint8_t exporter[32], unique[64], end_point[64];
    unsigned char *certificate; // OpenSSL's
    char alpn[64], version[16];
};
void tls_facts(SSL *ssl, const struct link *link, const struct seen *seen, const char *name, struct facts *facts, epode_link_info *info);

// stream.c: bytes over TCP, with TLS or without.
#define STREAM_AGAIN (-1)
#define STREAM_FAILED (-2)
#define MAX_ADDRESSES 16

struct stream {
    epode_host *host;
    struct watch watch;
    struct bytes out;
    struct failure failure;
    SSL_CTX *context;
    SSL *ssl;
    struct seen seen;
    bool wants_write; // whatever was tried last waits for room
    // Only while it is being connected.
    struct job *names;
    struct sockaddr_storage addresses[MAX_ADDRESSES];
    socklen_t lengths[MAX_ADDRESSES];
    struct watch attempts[MAX_ADDRESSES];
    size_t count, tried, open;
    uint64_t next_at;
};
void stream_connect(struct stream *stream, struct link *link, const char *name, uint32_t port);
int stream_connected(struct stream *stream, uint64_t now);  // 0, STREAM_AGAIN or STREAM_FAILED; like the next
int stream_handshake(struct stream *stream, const char *name, const char *alpn, bool present);
ssize_t stream_read(struct stream *stream, void *buffer, size_t len); // 0: the peer has closed
ssize_t stream_flush(struct stream *stream); // how many bytes of `out` have left
bool stream_goodbye(struct stream *stream);  // true: it is said
void stream_interest(struct stream *stream, bool read);
void stream_free(struct stream *stream);

// web.c: HTTP by libcurl.
struct transfer {
    struct transfer *next;
    struct web *web;
    void *easy;
    uint64_t id, max;
    struct bytes body, answer;
    bool too_large;
    char error[256]; // CURL_ERROR_SIZE
};
struct web {
    epode_host *host;
    void *multi;
    struct transfer *transfers;
    struct curl_slist *headers;
    uint64_t timer_at;
    bool present;
    struct seen seen;
    void *owner;
    void (*active)(struct web *web);                                        // libcurl has something to collect
    void (*done)(struct web *web, struct transfer *transfer, long status, const struct failure *failure);
};
bool web_init(struct web *web, epode_host *host);
bool web_request(struct web *web, const char *url, uint64_t id, uint64_t max, uint64_t timeout_ms, const epode_slice *body);
void web_cancel(struct web *web, uint64_t id);
void web_timer(struct web *web, uint64_t now);
bool web_collect(struct web *web); // tells of one transfer that is over, if there is one
void web_free(struct web *web);

#endif
