// What Swift cannot do by itself on Linux: OpenSSL and libcurl, which are full of macros and variadic functions, and the resolver.
//
// Nothing here waits, and nothing is shared between threads unless its comment says so. Sizes are in bytes.
#pragma once
#include <curl/curl.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- TLS (tls.c)

// A client certificate with its chain and key. Read by any thread once it is made.
typedef struct epode_identity epode_identity;

// NULL, and `why` says why (at most `why_size` with its end), if there is none in it. `password` may be NULL.
epode_identity *epode_identity_from_pem(const uint8_t *certificate, size_t certificate_size, const uint8_t *key, size_t key_size,
                                        const char *password, char *why, size_t why_size);
epode_identity *epode_identity_from_pkcs12(const uint8_t *bytes, size_t size, const char *password, char *why, size_t why_size);
void epode_identity_free(epode_identity *identity);
// The size of the certificate in DER, which is written to `der` unless that is NULL.
size_t epode_identity_leaf(const epode_identity *identity, uint8_t *der);
// Seconds since 1970.
int64_t epode_identity_valid_from(const epode_identity *identity);
int64_t epode_identity_valid_until(const epode_identity *identity);
bool epode_identity_is_for_clients(const epode_identity *identity);

// The authorities in `pem`, or the system's if that is NULL. Freed by X509_STORE_free. Read by any thread once it is made.
X509_STORE *epode_trust(const uint8_t *pem, size_t size, char *why, size_t why_size);

// What a handshake showed.
typedef struct {
    uint16_t version; // 0x0303 is TLS 1.2, 0x0304 is TLS 1.3
    bool certificate_requested;
    bool has_certificate;
    uint8_t certificate_sha256[32];
    uint8_t exporter[32];
    size_t exporter_size;
    uint8_t unique[64];
    size_t unique_size;
    uint8_t end_point[64];
    size_t end_point_size;
    char alpn[32];
} epode_facts;

void epode_tls_facts(SSL *tls, epode_facts *facts);

typedef enum {
    EPODE_DONE,
    EPODE_WANTS_READ,
    EPODE_WANTS_WRITE,
    EPODE_CLOSED,
    EPODE_RESET,
    EPODE_ALERT,    // `alert` says which
    EPODE_REJECTED, // the server's certificate; `why` says why
    EPODE_NOT_TLS,
    EPODE_FAILED, // `why` says why
} epode_outcome;

// How a step went.
typedef struct {
    epode_outcome outcome;
    size_t count;
    uint8_t alert;
    char why[160];
} epode_step;

// TLS on a connected socket, which stays the caller's and has to outlive it. `identity` may be NULL, and has to outlive it. `alpn` may be NULL.
SSL *epode_tls_new(int socket, X509_STORE *trust, const epode_identity *identity, const char *server_name, const char *alpn);
epode_step epode_tls_handshake(SSL *tls);
epode_step epode_tls_read(SSL *tls, uint8_t *bytes, size_t size);
epode_step epode_tls_write(SSL *tls, const uint8_t *bytes, size_t size);
// The same without TLS.
epode_step epode_plain_read(int socket, uint8_t *bytes, size_t size);
epode_step epode_plain_write(int socket, const uint8_t *bytes, size_t size);

// Why X.509 says no, in the words of this project.
const char *epode_rejection(long code);

// Used by http.c: what every context of ours has.
void epode_tls_prepare(SSL_CTX *context, X509_STORE *trust, const epode_identity *identity);

// ---- HTTP (http.c)

// What the requests of one session share. Used on one thread at a time.
typedef struct {
    X509_STORE *trust;
    const epode_identity *identity;
    // Once set, the server shows this certificate, or the connection fails.
    bool is_pinned;
    uint8_t pinned_sha256[32];
} epode_session;

// One request. It has to stay where it is until it is freed.
typedef struct {
    CURL *easy;
    struct curl_slist *headers;
    uint8_t *upload;
    size_t upload_size, upload_sent;
    uint8_t *body;
    size_t body_size, body_room, limit;
    bool is_too_large;
    bool is_compressed;
    epode_session *session;
    // While it has one.
    struct epode_connection *connection;
    // What its connection showed, why the certificate there was not accepted, and the server's last alert.
    epode_facts facts;
    long rejection;
    bool has_changed;
    bool has_alert;
    uint8_t alert;
    char error[CURL_ERROR_SIZE];
} epode_transfer;

// A request, or with neither method nor body the mere connection. NULL without memory. The body is copied. `session` has to outlive it.
epode_transfer *epode_transfer_post(const char *url, const uint8_t *body, size_t size, size_t limit, epode_session *session);
epode_transfer *epode_transfer_get(const char *url, size_t limit, epode_session *session);
epode_transfer *epode_transfer_look(const char *url, epode_session *session);
// A TCP connection to a host at any of its addresses, which the transfer owns; epode_transfer_socket gives the socket once it is done.
epode_transfer *epode_transfer_dial(const char *host, uint16_t port);
int epode_transfer_socket(epode_transfer *transfer);
long epode_transfer_status(epode_transfer *transfer);
// After it was taken from its multi handle.
void epode_transfer_free(epode_transfer *transfer);

// The next transfer of the multi handle that is done, or NULL.
CURL *epode_multi_done(CURLM *multi, CURLcode *code);

// ---- DNS (dns.c)

typedef struct {
    uint16_t priority, weight, port;
    char target[256];
} epode_service;

// Asks the system's name servers, which may take seconds. Gives the number of records, 0 if there are none, -1 if nobody answered.
int epode_services(const char *name, epode_service *services, int room);
// The records of an answer (RFC 1035 §4.1), or -1 if it is none.
int epode_services_in(const uint8_t *answer, size_t size, epode_service *services, int room);
