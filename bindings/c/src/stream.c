// stream.c: bytes over TCP, with TLS or without: names, addresses, connecting, shaking hands, reading, writing, closing.
#define _GNU_SOURCE
#include "host.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

// How long one address is alone before the next one is tried too (RFC 8305 section 5).
#define STAGGER_MS 250

// One question for the addresses of a host.
struct names {
    struct job job;
    char *host;
    char port[8];
    struct addrinfo *found;
    int error;
};

static void stream_ready(struct watch *watch, uint32_t events) {
    (void)events;
    ((struct link *)watch->owner)->again = true;
}

// The families by turns, beginning with that of the first address (RFC 8305 section 4).
static void take_addresses(struct stream *stream, const struct addrinfo *found) {
    const struct addrinfo *turns[2] = {found, found};
    for (int family = 0; stream->count < MAX_ADDRESSES && (turns[0] || turns[1]); family = !family) {
        const struct addrinfo *next = turns[family];
        while (next && (next->ai_family == found->ai_family) == (family == 1)) next = next->ai_next;
        turns[family] = next ? next->ai_next : NULL;
        if (!next || next->ai_addrlen > sizeof *stream->addresses) continue;
        memcpy(&stream->addresses[stream->count], next->ai_addr, next->ai_addrlen);
        stream->lengths[stream->count++] = next->ai_addrlen;
    }
}

static void names_run(struct job *job) {
    struct names *names = (struct names *)job;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    names->error = getaddrinfo(names->host, names->port, &hints, &names->found);
}

static void names_done(struct job *job) {
    struct names *names = (struct names *)job;
    struct stream *stream = job->owner;
    struct link *link = stream->watch.owner;
    stream->names = NULL;
    if (!names->error) take_addresses(stream, names->found);
    link->again = true;
}

static void names_destroy(struct job *job) {
    struct names *names = (struct names *)job;
    if (names->found) freeaddrinfo(names->found);
    free(names->host);
    free(names);
}

void stream_connect(struct stream *stream, struct link *link, const char *host, uint32_t port) {
    *stream = (struct stream){.host = link->host, .watch = {.fd = -1, .ready = stream_ready, .owner = link}, .next_at = 0};
    struct names *names = allocated(calloc(1, sizeof *names));
    *names = (struct names){.host = allocated(strdup(host))};
    snprintf(names->port, sizeof names->port, "%u", (unsigned)(port & 0xffff));
    names->job = (struct job){.owner = stream, .run = names_run, .done = names_done, .destroy = names_destroy};
    // An address needs no question, and no thread.
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    if (!getaddrinfo(host, names->port, &hints, &names->found)) {
        take_addresses(stream, names->found);
        names_destroy(&names->job);
    } else if (job_start(link->host, &names->job)) {
        stream->names = &names->job;
    } else {
        set_failure(&stream->failure, EPODE_FAILURE_OTHER, "there is no thread to ask for the address of %.100s", host);
        names_destroy(&names->job);
    }
}

static void drop(struct stream *stream, struct watch *attempt) {
    host_watch(stream->host, attempt, 0);
    close(attempt->fd);
    attempt->fd = -1;
    stream->open--;
}

// That somebody refused says more than the rest: the way to the host is good.
static void note(struct stream *stream, int error) {
    if (stream->failure.kind != EPODE_FAILURE_REFUSED) set_errno(&stream->failure, error);
}

static bool begin(struct stream *stream, size_t i) {
    const struct sockaddr *address = (const struct sockaddr *)&stream->addresses[i];
    struct watch *attempt = &stream->attempts[i];
    int one = 1, fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *attempt = (struct watch){.fd = fd, .ready = stream_ready, .owner = stream->watch.owner};
    if (fd < 0) {
        note(stream, errno);
        return false;
    }
    stream->open++;
    // What is written is small and has an answer: waiting to fill a packet would only add to every round trip.
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (!connect(fd, address, stream->lengths[i]) || errno == EINPROGRESS) {
        host_watch(stream->host, attempt, EPOLLOUT);
        return true;
    }
    note(stream, errno);
    drop(stream, attempt);
    return false;
}

// The first of the attempts that is up, if one is; those that have failed are dropped.
static struct watch *winner(struct stream *stream) {
    for (size_t i = 0; i < stream->tried; i++) {
        struct watch *attempt = &stream->attempts[i];
        struct sockaddr_storage peer;
        socklen_t len = sizeof peer;
        int error = 0;
        if (attempt->fd < 0) continue;
        if (!getpeername(attempt->fd, (struct sockaddr *)&peer, &len)) return attempt;
        len = sizeof error;
        getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (!error) continue; // It is still under way.
        note(stream, error);
        drop(stream, attempt);
        stream->next_at = 0;
    }
    return NULL;
}

int stream_connected(struct stream *stream, uint64_t now) {
    if (stream->names) return STREAM_AGAIN;
    struct watch *up = winner(stream);
    while (!up && stream->tried < stream->count && (now >= stream->next_at || !stream->open)) {
        stream->next_at = now + STAGGER_MS;
        // The next one follows at once where this one has failed.
        if (!begin(stream, stream->tried++)) stream->next_at = 0;
    }
    if (!up && stream->open) return STREAM_AGAIN;
    if (!up) {
        if (!stream->failure.kind) set_failure(&stream->failure, EPODE_FAILURE_DNS, "%s", "");
        return STREAM_FAILED;
    }
    host_watch(stream->host, up, 0);
    stream->watch.fd = up->fd;
    up->fd = -1;
    for (size_t i = 0; i < stream->tried; i++) {
        if (stream->attempts[i].fd >= 0) drop(stream, &stream->attempts[i]);
    }
    stream->tried = stream->count = stream->open = 0;
    return 0;
}

// Prepares TLS for whoever has to be `name`.
static bool begin_tls(struct stream *stream, const char *name, const char *alpn, bool present) {
    unsigned char protocols[32];
    size_t len = alpn ? strlen(alpn) : 0;
    stream->context = allocated(SSL_CTX_new(TLS_client_method()));
    tls_configure(stream->context, stream->host, present, &stream->seen);
    SSL *ssl = stream->ssl = allocated(SSL_new(stream->context));
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    // RFC 9525 section 6.3: whom a certificate is for stands in its subjectAltName; a common name is no substitute.
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    // RFC 6066 section 3: an address is no server name.
    bool named = X509_VERIFY_PARAM_set1_ip_asc(param, name) || (X509_VERIFY_PARAM_set1_host(param, name, 0) && SSL_set_tlsext_host_name(ssl, name));
    if (len && len < sizeof protocols) {
        protocols[0] = (unsigned char)len;
        memcpy(protocols + 1, alpn, len);
        SSL_set_alpn_protos(ssl, protocols, (unsigned)len + 1);
    }
    SSL_set_connect_state(ssl);
    ERR_clear_error();
    if (named && *name && SSL_set_fd(ssl, stream->watch.fd)) return true;
    set_failure(&stream->failure, EPODE_FAILURE_OTHER, "no certificate can be for the name \"%.100s\"", name);
    return false;
}

// What a call of OpenSSL that did not succeed means for the stream.
static int judge(struct stream *stream, int result) {
    switch (SSL_get_error(stream->ssl, result)) {
    case SSL_ERROR_WANT_READ: return STREAM_AGAIN;
    case SSL_ERROR_WANT_WRITE: stream->wants_write = true; return STREAM_AGAIN;
    case SSL_ERROR_ZERO_RETURN: return 0;
    default: tls_failure(&stream->failure, &stream->seen, stream->ssl, result); return STREAM_FAILED;
    }
}

int stream_handshake(struct stream *stream, const char *name, const char *alpn, bool present) {
    if (!stream->ssl && !begin_tls(stream, name, alpn, present)) return STREAM_FAILED;
    stream->wants_write = false;
    ERR_clear_error();
    errno = 0;
    int result = SSL_do_handshake(stream->ssl);
    if (result == 1) return 0;
    int judged = judge(stream, result);
    if (judged) return judged;
    set_failure(&stream->failure, EPODE_FAILURE_RESET, "%s", "");
    return STREAM_FAILED;
}

ssize_t stream_read(struct stream *stream, void *buffer, size_t len) {
    if (stream->ssl) {
        ERR_clear_error();
        errno = 0;
        int count = SSL_read(stream->ssl, buffer, len > INT32_MAX ? INT32_MAX : (int)len);
        return count > 0 ? count : judge(stream, count);
    }
    ssize_t count = recv(stream->watch.fd, buffer, len, 0);
    if (count >= 0) return count;
    if (errno == EAGAIN || errno == EINTR) return STREAM_AGAIN;
    set_errno(&stream->failure, errno);
    return STREAM_FAILED;
}

ssize_t stream_flush(struct stream *stream) {
    ssize_t flushed = 0;
    stream->wants_write = false;
    while (bytes_len(&stream->out)) {
        const uint8_t *from = stream->out.data + stream->out.begin;
        size_t len = bytes_len(&stream->out);
        ssize_t count;
        if (stream->ssl) {
            ERR_clear_error();
            errno = 0;
            count = SSL_write(stream->ssl, from, len > INT32_MAX ? INT32_MAX : (int)len);
            if (count <= 0 && (count = judge(stream, (int)count)) == 0) {
                set_failure(&stream->failure, EPODE_FAILURE_RESET, "%s", "");
                count = STREAM_FAILED;
            }
        } else if ((count = send(stream->watch.fd, from, len, MSG_NOSIGNAL)) < 0) {
            stream->wants_write = errno == EAGAIN || errno == EINTR;
            if (!stream->wants_write) set_errno(&stream->failure, errno);
            count = stream->wants_write ? STREAM_AGAIN : STREAM_FAILED;
        }
        if (count == STREAM_FAILED) return STREAM_FAILED;
        if (count == STREAM_AGAIN) break;
        bytes_consume(&stream->out, (size_t)count);
        flushed += count;
    }
    return flushed;
}

// The goodbye of TLS, then that of TCP.
bool stream_goodbye(struct stream *stream) {
    if (stream->watch.fd < 0) return true;
    stream->wants_write = false;
    if (stream->ssl && SSL_is_init_finished(stream->ssl)) {
        ERR_clear_error();
        int result = SSL_shutdown(stream->ssl);
        if (result < 0 && SSL_get_error(stream->ssl, result) == SSL_ERROR_WANT_WRITE) {
            stream->wants_write = true;
            return false;
        }
        ERR_clear_error();
    }
    shutdown(stream->watch.fd, SHUT_WR);
    return true;
}

void stream_interest(struct stream *stream, bool read) {
    if (stream->watch.fd >= 0) host_watch(stream->host, &stream->watch, (read ? EPOLLIN : 0) | (stream->wants_write ? EPOLLOUT : 0));
}

void stream_free(struct stream *stream) {
    if (stream->names) job_forget(stream->host, stream);
    for (size_t i = 0; i < stream->tried; i++) {
        if (stream->attempts[i].fd >= 0) drop(stream, &stream->attempts[i]);
    }
    SSL_free(stream->ssl);
    SSL_CTX_free(stream->context);
    if (stream->host && stream->watch.fd >= 0) {
        host_watch(stream->host, &stream->watch, 0);
        close(stream->watch.fd);
    }
    bytes_free(&stream->out);
    *stream = (struct stream){.watch = {.fd = -1}};
}
