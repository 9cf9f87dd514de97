// HTTP by libcurl: one request or connection at a time each, of sessions that share who is trusted and what was seen.
#include "CEpodeLinux.h"
#include <openssl/err.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// ---- TLS of a session

// What the TLS callbacks know of one connection. It lives as long as the connection, which may be kept for other transfers and outlive each of them.
struct epode_connection {
    epode_session *session;
    // Whose turn it is, if it is anybody's: what happens is noted there, and nowhere that another transfer looks.
    epode_transfer *transfer;
};

static int connection_index;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void closed(void *context, void *value, CRYPTO_EX_DATA *data, int index, long argument, void *pointer) {
    struct epode_connection *connection = value;
    (void)context, (void)data, (void)index, (void)argument, (void)pointer;
    if (connection && connection->transfer) connection->transfer->connection = NULL;
    free(connection);
}

static void make_index(void) { connection_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, closed); }

static void leave(epode_transfer *transfer) {
    if (transfer->connection) transfer->connection->transfer = NULL;
    transfer->connection = NULL;
}

static void take_turn(struct epode_connection *connection, epode_transfer *transfer) {
    leave(transfer);
    if (connection->transfer) connection->transfer->connection = NULL;
    connection->transfer = transfer;
    transfer->connection = connection;
}

static void happened(const SSL *tls, int where, int value) {
    struct epode_connection *connection = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(tls), connection_index);
    epode_transfer *transfer = connection ? connection->transfer : NULL;
    if (!transfer) return;
    if (where == SSL_CB_READ_ALERT && (value >> 8) == SSL3_AL_FATAL) {
        transfer->has_alert = true;
        transfer->alert = (uint8_t)value;
    }
    // The facts are read from a connection that is not const elsewhere either.
    if (where & SSL_CB_HANDSHAKE_DONE) epode_tls_facts((SSL *)tls, &transfer->facts);
}

// XEP-0124 §17.1: one session, one certificate. Checked here, since whoever shows another one must not read the session's id.
static int verify(X509_STORE_CTX *chain, void *pointer) {
    struct epode_connection *connection = pointer;
    const epode_session *session = connection->session;
    epode_transfer *transfer = connection->transfer;
    if (X509_verify_cert(chain) != 1) {
        if (transfer) transfer->rejection = X509_STORE_CTX_get_error(chain);
        return 0;
    }
    uint8_t sha256[32];
    X509 *leaf = X509_STORE_CTX_get0_cert(chain);
    if (!session->is_pinned) return 1;
    if (leaf && X509_digest(leaf, EVP_sha256(), sha256, NULL) == 1 && memcmp(sha256, session->pinned_sha256, sizeof sha256) == 0) return 1;
    if (transfer) transfer->has_changed = true;
    X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

// A new connection, made for this transfer.
static CURLcode prepare(CURL *easy, void *context, void *pointer) {
    epode_transfer *transfer = pointer;
    (void)easy;
    struct epode_connection *connection = calloc(1, sizeof *connection);
    if (!connection) return CURLE_OUT_OF_MEMORY;
    connection->session = transfer->session;
    if (SSL_CTX_set_ex_data(context, connection_index, connection) != 1) {
        free(connection);
        return CURLE_OUT_OF_MEMORY;
    }
    // Of an idle connection that had died in the meantime.
    transfer->has_alert = false;
    transfer->rejection = 0;
    transfer->has_changed = false;
    take_turn(connection, transfer);
    epode_tls_prepare(context, transfer->session->trust, transfer->session->identity);
    SSL_CTX_set_info_callback(context, happened);
    SSL_CTX_set_cert_verify_callback(context, verify, connection);
    return CURLE_OK;
}

// A connection is about to carry the request: an idle one is this transfer's from now on.
static int begins(void *pointer, char *remote, char *local, int remote_port, int local_port) {
    epode_transfer *transfer = pointer;
    struct curl_tlssessioninfo *tls = NULL;
    (void)remote, (void)local, (void)remote_port, (void)local_port;
    if (curl_easy_getinfo(transfer->easy, CURLINFO_TLS_SSL_PTR, &tls) == CURLE_OK && tls && tls->internals) {
        struct epode_connection *connection = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(tls->internals), connection_index);
        if (connection) take_turn(connection, transfer);
    }
    return CURL_PREREQFUNC_OK;
}

// ---- bodies

static size_t give(char *bytes, size_t size, size_t count, void *pointer) {
    epode_transfer *transfer = pointer;
    size_t room = size * count, rest = transfer->upload_size - transfer->upload_sent;
    if (room > rest) room = rest;
    memcpy(bytes, transfer->upload + transfer->upload_sent, room);
    transfer->upload_sent += room;
    return room;
}

static size_t take(char *bytes, size_t size, size_t count, void *pointer) {
    epode_transfer *transfer = pointer;
    size_t more = size * count;
    if (more > transfer->limit - transfer->body_size) {
        transfer->is_too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    if (more > transfer->body_room - transfer->body_size) {
        size_t room = transfer->body_room * 2 > transfer->body_size + more ? transfer->body_room * 2 : transfer->body_size + more;
        uint8_t *body = realloc(transfer->body, room);
        if (!body) return CURL_WRITEFUNC_ERROR;
        transfer->body = body;
        transfer->body_room = room;
    }
    memcpy(transfer->body + transfer->body_size, bytes, more);
    transfer->body_size += more;
    return more;
}

// The facts are those of the connection that carries the answer, which only shows them while it does.
static size_t header(char *bytes, size_t size, size_t count, void *pointer) {
    static const char coding[] = "content-encoding:";
    epode_transfer *transfer = pointer;
    struct curl_tlssessioninfo *tls = NULL;
    size_t length = size * count;
    if (!transfer->facts.version && curl_easy_getinfo(transfer->easy, CURLINFO_TLS_SSL_PTR, &tls) == CURLE_OK && tls && tls->internals)
        epode_tls_facts(tls->internals, &transfer->facts);
    if (length >= sizeof coding - 1 && strncasecmp(bytes, coding, sizeof coding - 1) == 0) {
        const char *value = bytes + sizeof coding - 1;
        while (value < bytes + length && (*value == ' ' || *value == '\t')) value++;
        if ((size_t)(bytes + length - value) < 8 || strncasecmp(value, "identity", 8) != 0) {
            transfer->is_compressed = true;
            return CURL_WRITEFUNC_ERROR;
        }
    }
    return length;
}

// ---- transfers

static epode_transfer *new_transfer(const char *url, const char *scheme, size_t limit) {
    epode_transfer *transfer = calloc(1, sizeof *transfer);
    CURL *easy = transfer ? curl_easy_init() : NULL;
    if (!easy) {
        free(transfer);
        return NULL;
    }
    transfer->easy = easy;
    transfer->limit = limit;
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, scheme);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    // Who gives up does not wait for a name server: the resolver's thread ends by itself, at its own time-out.
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    return transfer;
}

static epode_transfer *new_request(const char *url, size_t limit, epode_session *session) {
    epode_transfer *transfer = new_transfer(url, "https", limit);
    if (!transfer) return NULL;
    pthread_once(&once, make_index);
    transfer->session = session;
    CURL *easy = transfer->easy;
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    // The store of the session takes their place.
    curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, prepare);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, transfer);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, begins);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    return transfer;
}

epode_transfer *epode_transfer_post(const char *url, const uint8_t *body, size_t size, size_t limit, epode_session *session) {
    epode_transfer *transfer = new_request(url, limit, session);
    uint8_t *upload = transfer ? malloc(size + 1) : NULL;
    if (!upload) {
        epode_transfer_free(transfer);
        return NULL;
    }
    memcpy(upload, body, size);
    transfer->upload = upload;
    transfer->upload_size = size;
    // Without a function that goes back, what was begun is never sent a second time: resends are the engine's.
    curl_easy_setopt(transfer->easy, CURLOPT_READFUNCTION, give);
    curl_easy_setopt(transfer->easy, CURLOPT_READDATA, transfer);
    curl_easy_setopt(transfer->easy, CURLOPT_POST, 1L);
    curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
    transfer->headers = curl_slist_append(NULL, "Content-Type: text/xml; charset=utf-8");
    // Nobody waits for a permission to send.
    transfer->headers = curl_slist_append(transfer->headers, "Expect:");
    curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
    return transfer;
}

epode_transfer *epode_transfer_get(const char *url, size_t limit, epode_session *session) { return new_request(url, limit, session); }

epode_transfer *epode_transfer_look(const char *url, epode_session *session) {
    epode_transfer *transfer = new_request(url, 0, session);
    if (transfer) curl_easy_setopt(transfer->easy, CURLOPT_CONNECT_ONLY, 1L);
    return transfer;
}

epode_transfer *epode_transfer_dial(const char *host, uint16_t port) {
    char url[300];
    // What would be something else in a URL is in no name of a host.
    if (!*host || strpbrk(host, "/?#@\\[]% \t\r\n")) return NULL;
    // An address of IPv6 has brackets in a URL.
    const char *form = strchr(host, ':') ? "http://[%s]:%u" : "http://%s:%u";
    if (snprintf(url, sizeof url, form, host, (unsigned)port) >= (int)sizeof url) return NULL;
    epode_transfer *transfer = new_transfer(url, "http", 0);
    if (transfer) curl_easy_setopt(transfer->easy, CURLOPT_CONNECT_ONLY, 1L);
    return transfer;
}

int epode_transfer_socket(epode_transfer *transfer) {
    curl_socket_t socket = CURL_SOCKET_BAD;
    curl_easy_getinfo(transfer->easy, CURLINFO_ACTIVESOCKET, &socket);
    return socket;
}

long epode_transfer_status(epode_transfer *transfer) {
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

void epode_transfer_free(epode_transfer *transfer) {
    if (!transfer) return;
    curl_easy_cleanup(transfer->easy);
    leave(transfer);
    curl_slist_free_all(transfer->headers);
    if (transfer->upload) OPENSSL_cleanse(transfer->upload, transfer->upload_size);
    free(transfer->upload);
    if (transfer->body) OPENSSL_cleanse(transfer->body, transfer->body_size);
    free(transfer->body);
    free(transfer);
}

CURL *epode_multi_done(CURLM *multi, CURLcode *code) {
    int left = 0;
    CURLMsg *message;
    while ((message = curl_multi_info_read(multi, &left))) {
        if (message->msg != CURLMSG_DONE) continue;
        *code = message->data.result;
        return message->easy_handle;
    }
    return NULL;
}
