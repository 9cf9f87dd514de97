// websocket.c: one WebSocket link (RFC 7395): TLS, the upgrade of HTTP/1.1 (RFC 6455 section 4), then text messages by wslay.
#define _GNU_SOURCE
#include "host.h"
#include "upgrade.h"
#include <curl/curl.h>
#include <stdio.h>
#include <sys/random.h>
#include <wslay/wslay.h>

// Bytes read at once.
#define READ (16 * 1024)

enum state { CONNECTING, SHAKING_HANDS, ASKING, UPGRADING, OPEN, SAYING_GOODBYE };

// A text that is in the stream's buffer: it has left when so many bytes have.
struct mark {
    struct mark *next;
    uint64_t at, len;
};

struct websocket {
    struct link link;
    struct stream stream;
    enum state state;
    struct upgrade upgrade;
    char *host;
    uint32_t port;
    bool tls;
    wslay_event_context_ptr context;
    struct bytes in; // read, and not taken by wslay
    struct mark *marks, **last_mark;
    uint64_t queued, flushed; // bytes, since the link is up
    bool binary, ended, write_failed;
    uint64_t last_words_by;
    int end; // of the stream: 0, or STREAM_FAILED
};

static void websocket_turn(struct link *link, uint64_t now);

static uint64_t websocket_deadline(const struct link *link) {
    const struct websocket *ws = (const struct websocket *)link;
    if (ws->state == CONNECTING && ws->stream.tried < ws->stream.count) return ws->stream.next_at;
    return ws->write_failed ? ws->last_words_by : NEVER;
}

static void websocket_destroy(struct link *link) {
    struct websocket *ws = (struct websocket *)link;
    while (ws->marks) {
        struct mark *mark = ws->marks;
        ws->marks = mark->next;
        free(mark);
    }
    if (ws->context) wslay_event_context_free(ws->context);
    stream_free(&ws->stream);
    bytes_free(&ws->in);
    upgrade_free(&ws->upgrade);
    curl_free(ws->host);
    free(ws);
}

const struct link_type websocket_type = {websocket_turn, websocket_deadline, websocket_destroy};

struct link *websocket_open(struct failure *failure, const char *url) {
    struct websocket *ws = allocated(calloc(1, sizeof *ws));
    ws->link.type = &websocket_type;
    ws->stream.watch.fd = -1;
    ws->last_mark = &ws->marks;
    if (upgrade_prepare(&ws->upgrade, url, &ws->host, &ws->port, &ws->tls)) return &ws->link;
    set_failure(failure, EPODE_FAILURE_OTHER, "this is no URL of a WebSocket");
    websocket_destroy(&ws->link);
    return NULL;
}

// wslay takes what was read from here, and puts what it has framed into the stream's buffer.
static ssize_t give(wslay_event_context_ptr context, uint8_t *buffer, size_t len, int flags, void *user) {
    (void)flags;
    struct websocket *ws = user;
    size_t there = bytes_len(&ws->in), count = there < len ? there : len;
    if (!count) {
        wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(buffer, ws->in.data + ws->in.begin, count);
    bytes_consume(&ws->in, count);
    return (ssize_t)count;
}

static ssize_t take(wslay_event_context_ptr context, const uint8_t *data, size_t len, int flags, void *user) {
    (void)context, (void)flags;
    struct websocket *ws = user;
    bytes_append(&ws->stream.out, data, len);
    ws->queued += len;
    return (ssize_t)len;
}

// RFC 6455 section 5.3: nobody may guess it.
static int mask(wslay_event_context_ptr context, uint8_t *buffer, size_t len, void *user) {
    (void)context, (void)user;
    return getrandom(buffer, len, 0) == (ssize_t)len ? 0 : -1;
}

static void message(wslay_event_context_ptr context, const struct wslay_event_on_msg_recv_arg *message, void *user) {
    (void)context;
    struct websocket *ws = user;
    if (message->opcode == WSLAY_TEXT_FRAME && !ws->binary) link_received(&ws->link, slice(message->msg ? message->msg : (const uint8_t *)"", message->msg_length));
    if (message->opcode == WSLAY_BINARY_FRAME) ws->binary = true;
}

static void opened(struct websocket *ws) {
    const struct wslay_event_callbacks callbacks = {
        .recv_callback = give, .send_callback = take, .genmask_callback = mask, .on_msg_recv_callback = message};
    if (wslay_event_context_client_init(&ws->context, &callbacks, ws)) abort(); // Out of memory, like `allocated`.
    wslay_event_config_set_max_recv_msg_length(ws->context, ws->link.max_message);
    struct facts facts = {.certificate = NULL};
    epode_link_info info = {.struct_size = sizeof info};
    if (ws->tls) tls_facts(ws->stream.ssl, &ws->link, &ws->stream.seen, ws->link.server_name, &facts, &info);
    info.subprotocol = epode_text(*ws->upgrade.subprotocol ? ws->upgrade.subprotocol : NULL);
    ws->state = OPEN;
    link_connected(&ws->link, &info);
    OPENSSL_free(facts.certificate);
    explicit_bzero(&facts, sizeof facts);
}

void websocket_frame(struct link *link, epode_slice text) {
    if (link->type != &websocket_type) return;
    struct websocket *ws = (struct websocket *)link;
    const struct wslay_event_msg message = {.opcode = WSLAY_TEXT_FRAME, .msg = text.data, .msg_length = text.len};
    link->again = true;
    // After the goodbye nothing can be framed; that the link is over is found by the reader.
    if (!ws->context || ws->write_failed || wslay_event_queue_msg(ws->context, &message) || wslay_event_send(ws->context)) return;
    struct mark *mark = allocated(calloc(1, sizeof *mark));
    *mark = (struct mark){.at = ws->queued, .len = text.len};
    *ws->last_mark = mark;
    ws->last_mark = &mark->next;
}

// Until the WebSocket is open. False: nothing more can be done now.
static bool connect_turn(struct websocket *ws, uint64_t now) {
    struct link *link = &ws->link;
    struct stream *stream = &ws->stream;
    int result = 0;
    if (link->closing) result = STREAM_FAILED;
    if (!result && ws->state == CONNECTING) {
        if (!stream->host) stream_connect(stream, link, ws->host, ws->port);
        result = stream_connected(stream, now);
        if (!result) ws->state = ws->tls ? SHAKING_HANDS : ASKING;
    }
    if (!result && ws->state == SHAKING_HANDS) {
        result = stream_handshake(stream, link->server_name, "http/1.1", link->present);
        if (!result) ws->state = ASKING;
    }
    if (!result && ws->state == ASKING) {
        bytes_append(&stream->out, ws->upgrade.request, strlen(ws->upgrade.request));
        ws->state = UPGRADING;
    }
    if (!result && ws->state == UPGRADING) {
        uint8_t buffer[READ];
        ssize_t count = stream_flush(stream);
        if (count != STREAM_FAILED) count = stream_read(stream, buffer, sizeof buffer);
        if (count > 0) {
            bytes_append(&ws->in, buffer, (size_t)count);
            link->again = true;
        } else if (count == 0) {
            set_failure(&stream->failure, EPODE_FAILURE_RESET, "%s", "");
            count = STREAM_FAILED;
        }
        result = count < 0 ? (int)count : upgrade_judge(&ws->upgrade, &ws->in, &stream->failure);
    }
    if (result == STREAM_FAILED) link_failed(link, &stream->failure);
    if (!result) opened(ws);
    return !result;
}

static void write_turn(struct websocket *ws, uint64_t now) {
    // Answers to pings, and to a goodbye.
    if (!ws->write_failed && wslay_event_want_write(ws->context)) wslay_event_send(ws->context);
    ssize_t count = ws->write_failed ? 0 : stream_flush(&ws->stream);
    if (count == STREAM_FAILED) {
        // Why is for the reader to find out: a server that ends a stream says why first.
        ws->write_failed = true;
        ws->last_words_by = now + LINGER_MS;
    }
    if (ws->write_failed) bytes_free(&ws->stream.out);
    else ws->flushed += (uint64_t)count;
    uint64_t written = 0;
    while (ws->marks && ws->marks->at <= ws->flushed) {
        struct mark *mark = ws->marks;
        ws->marks = mark->next;
        if (!ws->marks) ws->last_mark = &ws->marks;
        written += mark->len;
        free(mark);
    }
    link_written(&ws->link, written);
}

// What the state of wslay, after it was given everything that was read, means.
static void judge(struct websocket *ws, int result) {
    struct failure failure = {.kind = 0};
    if (ws->link.dead || ws->link.closing) return;
    if (ws->binary) {
        set_failure(&failure, EPODE_FAILURE_OTHER, "the server sent a binary message, which XMPP has no use for");
    } else if (wslay_event_get_close_received(ws->context)) {
        ws->ended = true;
    } else if (result || !wslay_event_get_read_enabled(ws->context)) {
        uint16_t code = wslay_event_get_status_code_sent(ws->context);
        // wslay has a goodbye in its queue that says what was wrong.
        if (wslay_event_want_write(ws->context)) wslay_event_send(ws->context), stream_flush(&ws->stream);
        code = wslay_event_get_status_code_sent(ws->context);
        if (code == WSLAY_CODE_MESSAGE_TOO_BIG) {
            set_failure(&failure, EPODE_FAILURE_OTHER, "the server sent a message larger than %llu bytes", (unsigned long long)ws->link.max_message);
        } else if (code == WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA) {
            set_failure(&failure, EPODE_FAILURE_OTHER, "the server sent text that is no UTF-8");
        } else {
            set_failure(&failure, EPODE_FAILURE_OTHER, "the server broke the WebSocket protocol");
        }
    }
    if (failure.kind) link_failed(&ws->link, &failure);
}

static void read_turn(struct websocket *ws, uint64_t now) {
    struct link *link = &ws->link;
    uint8_t buffer[READ];
    // Of what came with the answer to the upgrade, too.
    if (!bytes_len(&ws->in)) {
        ssize_t count = stream_read(&ws->stream, buffer, sizeof buffer);
        if (count > 0) {
            bytes_append(&ws->in, buffer, (size_t)count);
            explicit_bzero(buffer, (size_t)count);
        } else if (count == 0) {
            link_ended(link);
        } else if (count == STREAM_FAILED) {
            link_failed(link, &ws->stream.failure);
        } else if (ws->write_failed && now >= ws->last_words_by) {
            const struct failure reset = {.kind = EPODE_FAILURE_RESET};
            link_failed(link, &reset);
        }
    }
    if (link->dead || !bytes_len(&ws->in)) return;
    int result = wslay_event_recv(ws->context);
    link->again = true; // There may be more, even where the socket has none: TLS has.
    judge(ws, result);
    if (!ws->ended || link->dead) return;
    // RFC 6455 section 5.5.1: the goodbye has an answer, which only has to get out.
    if (wslay_event_want_write(ws->context)) wslay_event_send(ws->context);
    stream_flush(&ws->stream);
    link_ended(link);
}

// What the peer still sends is read and dropped: a socket closed with bytes unread resets the connection, and the peer may lose what
// was written last.
static void goodbye_turn(struct websocket *ws, uint64_t now) {
    uint8_t buffer[READ];
    if (ws->state != SAYING_GOODBYE) {
        if (!wslay_event_get_close_sent(ws->context)) wslay_event_queue_close(ws->context, WSLAY_CODE_NORMAL_CLOSURE, NULL, 0);
        write_turn(ws, now);
        if (ws->write_failed) ws->link.dead = true;
        if (bytes_len(&ws->stream.out) || ws->link.dead) return;
        ws->state = SAYING_GOODBYE;
    }
    // RFC 6455 section 7.1.1: the server closes first; `close_by` is how long that may take.
    ssize_t count = stream_read(&ws->stream, buffer, sizeof buffer);
    if (count > 0) {
        ws->link.again = true;
        bytes_append(&ws->in, buffer, (size_t)count);
        wslay_event_recv(ws->context);
        if (wslay_event_get_close_received(ws->context)) ws->link.dead = stream_goodbye(&ws->stream);
    }
    if (count == 0 || count == STREAM_FAILED) ws->link.dead = true;
}

static void websocket_turn(struct link *link, uint64_t now) {
    struct websocket *ws = (struct websocket *)link;
    if (ws->state < OPEN && !connect_turn(ws, now)) {
        if (bytes_len(&ws->stream.out)) ws->stream.wants_write = true;
        if (!link->dead) stream_interest(&ws->stream, true);
        return;
    }
    if (!link->closing) write_turn(ws, now);
    if (!link->closing && !link->dead && link->host->reading) read_turn(ws, now);
    if (link->closing && !link->dead) goodbye_turn(ws, now);
    if (!link->dead) stream_interest(&ws->stream, link->closing || link->host->reading);
}
