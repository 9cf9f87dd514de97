// tcp.c: one link over TCP (RFC 6120): TLS at once (XEP-0368) or when it is asked for (STARTTLS), then bytes in both directions.
#define _GNU_SOURCE
#include "host.h"
#include <openssl/ssl.h>

// Bytes read at once, and how often in one turn: other links want theirs.
#define READ (16 * 1024)
#define READS 4

enum state { CONNECTING, SHAKING_HANDS, OPEN, SAYING_GOODBYE };

struct tcp {
    struct link link;
    struct stream stream;
    enum state state;
    char *host;
    uint32_t port, tls;
    char *tls_name;    // STARTTLS: for whom the certificate has to be
    bool starts_tls;   // once what was written before is out
    bool read_to_end;  // a write failed: the reader looks for the reason, for a server that ends a stream says why first
    uint64_t last_words_by;
};

static void tcp_turn(struct link *link, uint64_t now);

static uint64_t tcp_deadline(const struct link *link) {
    const struct tcp *tcp = (const struct tcp *)link;
    if (tcp->state == CONNECTING && tcp->stream.tried < tcp->stream.count) return tcp->stream.next_at;
    return tcp->read_to_end ? tcp->last_words_by : NEVER;
}

static void tcp_destroy(struct link *link) {
    struct tcp *tcp = (struct tcp *)link;
    stream_free(&tcp->stream);
    free(tcp->host);
    free(tcp->tls_name);
    free(tcp);
}

const struct link_type tcp_type = {tcp_turn, tcp_deadline, tcp_destroy};

struct link *tcp_open(const epode_output_connect *connect) {
    struct tcp *tcp = allocated(calloc(1, sizeof *tcp));
    tcp->link.type = &tcp_type;
    tcp->stream.watch.fd = -1;
    tcp->host = copy_text(connect->host);
    tcp->port = connect->port;
    tcp->tls = connect->tls;
    return &tcp->link;
}

void tcp_write(struct link *link, epode_slice bytes) {
    if (link->type != &tcp_type) return;
    bytes_append(&((struct tcp *)link)->stream.out, bytes.data, bytes.len);
    link->again = true;
}

void tcp_start_tls(struct link *link, epode_slice server_name) {
    if (link->type != &tcp_type) return;
    struct tcp *tcp = (struct tcp *)link;
    free(tcp->tls_name);
    tcp->tls_name = copy_text(server_name);
    tcp->starts_tls = link->again = true;
}

static void secured(struct tcp *tcp, const char *name) {
    struct facts facts;
    epode_link_info info;
    tls_facts(tcp->stream.ssl, &tcp->link, &tcp->stream.seen, name, &facts, &info);
    tcp->state = OPEN;
    link_connected(&tcp->link, &info);
    OPENSSL_free(facts.certificate);
    explicit_bzero(&facts, sizeof facts);
}

// Until the connection is up. False: nothing more can be done now.
static bool connect_turn(struct tcp *tcp, uint64_t now) {
    struct link *link = &tcp->link;
    if (tcp->state == CONNECTING) {
        if (!tcp->stream.host) stream_connect(&tcp->stream, link, tcp->host, tcp->port);
        int result = link->closing ? STREAM_FAILED : stream_connected(&tcp->stream, now);
        if (result == STREAM_FAILED) link_failed(link, &tcp->stream.failure);
        if (result) return false;
        tcp->state = tcp->tls == EPODE_TCP_DIRECT_TLS ? SHAKING_HANDS : OPEN;
        const epode_link_info plain = {.struct_size = sizeof plain};
        if (tcp->state == OPEN) link_connected(link, &plain);
    }
    if (tcp->state == SHAKING_HANDS) {
        bool direct = tcp->tls == EPODE_TCP_DIRECT_TLS;
        const char *name = direct ? link->server_name : tcp->tls_name;
        int result = link->closing ? STREAM_FAILED : stream_handshake(&tcp->stream, name, direct ? "xmpp-client" : NULL, link->present);
        if (result == STREAM_FAILED) link_failed(link, &tcp->stream.failure);
        if (result) return false;
        secured(tcp, name);
    }
    return true;
}

// False: the link is over.
static bool write_turn(struct tcp *tcp, uint64_t now) {
    struct stream *stream = &tcp->stream;
    if (tcp->read_to_end) bytes_free(&stream->out);
    ssize_t flushed = stream_flush(stream);
    if (flushed >= 0) {
        link_written(&tcp->link, (uint64_t)flushed);
        return true;
    }
    bytes_free(&stream->out);
    tcp->read_to_end = true;
    tcp->last_words_by = now + LINGER_MS;
    return true;
}

static void read_turn(struct tcp *tcp, uint64_t now) {
    struct link *link = &tcp->link;
    uint8_t buffer[READ];
    ssize_t count = STREAM_AGAIN;
    // After each: what it led to may end the link, or ask for TLS, before which nothing more may be read.
    for (int i = 0; i < READS && !link->dead && !link->closing && !tcp->starts_tls && link->host->reading; i++) {
        count = stream_read(&tcp->stream, buffer, sizeof buffer);
        if (count > 0) {
            link_received(link, slice(buffer, (size_t)count));
            explicit_bzero(buffer, (size_t)count);
            continue;
        }
        if (count == 0) link_ended(link);
        if (count == STREAM_FAILED) link_failed(link, &tcp->stream.failure);
        break;
    }
    if (tcp->read_to_end && !link->dead && now >= tcp->last_words_by) {
        const struct failure reset = {.kind = EPODE_FAILURE_RESET};
        link_failed(link, &reset);
    }
    if (count > 0) link->again = true; // There may be more, even where the socket has none: TLS has.
}

// What the peer still sends is read and dropped: a socket closed with bytes unread resets the connection, and the peer may lose what
// was written last.
static void goodbye_turn(struct tcp *tcp) {
    uint8_t buffer[READ];
    if (tcp->state != SAYING_GOODBYE) {
        if (!tcp->read_to_end && stream_flush(&tcp->stream) == STREAM_FAILED) tcp->link.dead = true;
        if (bytes_len(&tcp->stream.out) || tcp->link.dead || !stream_goodbye(&tcp->stream)) return;
        tcp->state = SAYING_GOODBYE;
    }
    ssize_t count = stream_read(&tcp->stream, buffer, sizeof buffer);
    if (count > 0) tcp->link.again = true;
    if (count == 0 || count == STREAM_FAILED) tcp->link.dead = true;
}

static void tcp_turn(struct link *link, uint64_t now) {
    struct tcp *tcp = (struct tcp *)link;
    if (tcp->state == CONNECTING || tcp->state == SHAKING_HANDS) {
        if (!connect_turn(tcp, now)) {
            if (!link->dead) stream_interest(&tcp->stream, true);
            return;
        }
    }
    if (!link->closing) {
        write_turn(tcp, now);
        if (tcp->starts_tls && !bytes_len(&tcp->stream.out) && !link->closing) {
            tcp->starts_tls = false;
            tcp->state = SHAKING_HANDS;
            link->again = true; // With the handshake.
            return;
        }
        read_turn(tcp, now);
    }
    if (link->closing && !link->dead) goodbye_turn(tcp);
    if (!link->dead) stream_interest(&tcp->stream, link->closing || (link->host->reading && !tcp->starts_tls));
}
