// bosh.c: one BOSH link (XEP-0124): a look at the server's certificate, then requests over a few connections of libcurl's.
#define _GNU_SOURCE
#include "host.h"
#include <curl/curl.h>
#include <stdio.h>

struct bosh {
    struct link link;
    struct web web;
    struct stream probe;
    char *host;
    uint32_t port;
    bool tls, up;
};

static void bosh_turn(struct link *link, uint64_t now);

static uint64_t bosh_deadline(const struct link *link) {
    const struct bosh *bosh = (const struct bosh *)link;
    if (!bosh->up && bosh->probe.tried < bosh->probe.count) return bosh->probe.next_at;
    return bosh->web.timer_at;
}

static void bosh_destroy(struct link *link) {
    struct bosh *bosh = (struct bosh *)link;
    stream_free(&bosh->probe);
    web_free(&bosh->web);
    curl_free(bosh->host);
    free(bosh);
}

const struct link_type bosh_type = {bosh_turn, bosh_deadline, bosh_destroy};

static void active(struct web *web) { ((struct link *)web->owner)->again = true; }

static void done(struct web *web, struct transfer *transfer, long status, const struct failure *failure) {
    struct link *link = web->owner;
    epode_client *client = web->host->client;
    uint64_t now = epode_host_now();
    if (link->closing || link->dead) return;
    if (failure) {
        host_check(web->host, epode_failed(client, now, link->id, transfer->id, failure->kind, failure->alert, epode_text(failure->reason)));
    } else {
        const struct seen *seen = &web->seen;
        epode_tls_facts facts = {.struct_size = sizeof facts, .client_certificate_requested = seen->asked ? EPODE_YES : EPODE_NO};
        facts.tls_version = epode_text(seen->version == TLS1_3_VERSION ? "1.3" : seen->version == TLS1_2_VERSION ? "1.2" : NULL);
        if (seen->leaf_known) facts.server_certificate_sha256 = slice(seen->leaf, sizeof seen->leaf);
        epode_slice body = slice(transfer->answer.data ? transfer->answer.data : (const uint8_t *)"", bytes_len(&transfer->answer));
        host_check(web->host, epode_responded(client, now, link->id, transfer->id, (uint32_t)status, body,
                                              ((struct bosh *)link)->tls ? &facts : NULL));
    }
    host_drain(web->host);
}

// Where a URL leads. False: nowhere.
static bool parse(struct bosh *bosh, const char *text) {
    CURLU *url = allocated(curl_url());
    char *scheme = NULL, *port = NULL;
    bool good = !curl_url_set(url, CURLUPART_URL, text, 0) && !curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) &&
                !curl_url_get(url, CURLUPART_HOST, &bosh->host, 0) && !curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
    if (good) {
        size_t len = strlen(bosh->host);
        // An IPv6 address stands in brackets there.
        if (*bosh->host == '[') memmove(bosh->host, bosh->host + 1, len), bosh->host[len - 2] = 0;
        bosh->port = (uint32_t)strtoul(port, NULL, 10);
        bosh->tls = !strcmp(scheme, "https");
    }
    curl_free(scheme);
    curl_free(port);
    curl_url_cleanup(url);
    return good;
}

struct link *bosh_open(epode_host *host, struct failure *failure, const char *url) {
    struct bosh *bosh = allocated(calloc(1, sizeof *bosh));
    bosh->link.type = &bosh_type;
    bosh->probe.watch.fd = -1;
    bosh->web.owner = bosh;
    bosh->web.active = active;
    bosh->web.done = done;
    const char *why = !web_init(&bosh->web, host) ? "libcurl is not built on OpenSSL" : !parse(bosh, url) ? "this is no URL of HTTPS" : NULL;
    if (!why) return &bosh->link;
    set_failure(failure, EPODE_FAILURE_OTHER, "%s", why);
    bosh_destroy(&bosh->link);
    return NULL;
}

void bosh_post(struct link *link, const epode_output_post *post) {
    if (link->type != &bosh_type) return;
    struct bosh *bosh = (struct bosh *)link;
    web_request(&bosh->web, link->url, post->request, link->max_message, 0, &post->body);
    link->again = true;
}

void bosh_abandon(struct link *link, uint64_t request) {
    if (link->type == &bosh_type) web_cancel(&((struct bosh *)link)->web, request);
}

// A first connection, so that a server that is not there is known before the first request, and the certificate that a login can be
// bound to is known before the login. Each of the others has to show the same one.
static void probe(struct bosh *bosh, uint64_t now) {
    struct link *link = &bosh->link;
    struct stream *stream = &bosh->probe;
    if (!stream->host) stream_connect(stream, link, bosh->host, bosh->port);
    int result = stream->watch.fd < 0 ? stream_connected(stream, now) : 0;
    if (!result) result = stream_handshake(stream, link->server_name, "http/1.1", link->present);
    if (result == STREAM_FAILED) link_failed(link, &stream->failure);
    if (result == STREAM_AGAIN) stream_interest(stream, true);
    if (result) return;
    struct facts facts;
    epode_link_info info;
    tls_facts(stream->ssl, link, &stream->seen, link->server_name, &facts, &info);
    // The next request goes over another connection: only what is the same for all of them is good for a login.
    info.tls_exporter = info.tls_unique = (epode_slice){0};
    bosh->web.seen = stream->seen;
    bosh->web.seen.pinned = true;
    stream_goodbye(stream);
    stream_free(stream);
    bosh->up = true;
    link_connected(link, &info);
    OPENSSL_free(facts.certificate);
}

static void bosh_turn(struct link *link, uint64_t now) {
    struct bosh *bosh = (struct bosh *)link;
    bosh->web.present = link->present;
    if (!bosh->up && link->closing) {
        link->dead = true;
    } else if (!bosh->up && bosh->tls) {
        probe(bosh, now);
    } else if (!bosh->up) {
        const epode_link_info plain = {.struct_size = sizeof plain};
        bosh->up = true;
        link_connected(link, &plain);
    }
    if (!bosh->up || link->dead) return;
    web_timer(&bosh->web, now);
    link->again = false;
    // While the application is slow, answers stay with the requests that brought them, and those are few and bounded.
    if ((link->host->reading || link->closing) && web_collect(&bosh->web)) link->again = true;
    // Of what was posted the goodbye, too, goes out; what is answered or abandoned is done.
    if (link->closing && !bosh->web.transfers) link->dead = true;
}
