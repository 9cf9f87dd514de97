// resolve.c: SRV records (RFC 2782) by the system's resolver in a thread, host-meta documents (XEP-0156) by libcurl.
#define _GNU_SOURCE
#include "host.h"
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>
#include <netdb.h>
#include <stdio.h>

#define MAX_RECORDS 64
// DNS over TCP gives no longer ones.
#define MAX_ANSWER 65535

struct srv {
    struct job job;
    uint64_t query;
    char *name, *server;
    bool answered;
    size_t count;
    epode_srv_record records[MAX_RECORDS];
    char targets[MAX_RECORDS][NS_MAXDNAME];
};

static void answer_failed(epode_host *host, uint64_t query, const struct failure *failure) {
    host_check(host, epode_resolved_failed(host->client, epode_host_now(), query, failure->kind, failure->alert, epode_text(failure->reason)));
}

// The records of the name, or of what it is an alias of: servers give aliases in their order, before what they stand for.
static void take_records(struct srv *srv, const uint8_t *answer, int len) {
    ns_msg message;
    char owner[NS_MAXDNAME];
    snprintf(owner, sizeof owner, "%s", srv->name);
    if (ns_initparse(answer, len, &message)) return;
    for (int i = 0; i < ns_msg_count(message, ns_s_an) && srv->count < MAX_RECORDS; i++) {
        ns_rr record;
        if (ns_parserr(&message, ns_s_an, i, &record)) return;
        const uint8_t *data = ns_rr_rdata(record), *end = ns_msg_end(message);
        if (strcasecmp(ns_rr_name(record), owner)) continue;
        if (ns_rr_type(record) == ns_t_cname && dn_expand(ns_msg_base(message), end, data, owner, sizeof owner) < 0) return;
        if (ns_rr_type(record) != ns_t_srv || ns_rr_rdlen(record) < 7) continue;
        char *target = srv->targets[srv->count];
        if (dn_expand(ns_msg_base(message), end, data + 6, target, NS_MAXDNAME) < 0) continue;
        // A lone dot is what says that there is no such service.
        if (!*target) strcpy(target, ".");
        srv->records[srv->count++] = (epode_srv_record){.priority = ns_get16(data), .weight = ns_get16(data + 2), .port = ns_get16(data + 4),
                                                        .target = epode_text(target)};
    }
}

// As `192.0.2.1:53`, or without the port.
static bool place_of(const char *server, struct sockaddr_in *place) {
    char address[INET_ADDRSTRLEN], *end = "";
    const char *colon = strchr(server, ':');
    size_t len = colon ? (size_t)(colon - server) : strlen(server);
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 53;
    if (len >= sizeof address || *end || !port || port > UINT16_MAX) return false;
    snprintf(address, sizeof address, "%.*s", (int)len, server);
    *place = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return inet_pton(AF_INET, address, &place->sin_addr) == 1;
}

bool name_server_good(const char *server) {
    struct sockaddr_in place;
    return place_of(server, &place);
}

static void srv_run(struct job *job) {
    struct srv *srv = (struct srv *)job;
    struct __res_state state = {0};
    if (res_ninit(&state)) return;
    // So that nobody waits longer for the end of this than the client waits for the answer.
    state.retrans = 2;
    state.retry = 2;
    if (srv->server && place_of(srv->server, &state.nsaddr_list[0])) state.nscount = 1;
    uint8_t *answer = allocated(malloc(MAX_ANSWER));
    int len = res_nquery(&state, srv->name, ns_c_in, ns_t_srv, answer, MAX_ANSWER);
    // RFC 2308 section 2: that there is none is an answer too.
    srv->answered = len >= 0 || state.res_h_errno == HOST_NOT_FOUND || state.res_h_errno == NO_DATA;
    if (len >= 0) take_records(srv, answer, len < MAX_ANSWER ? len : MAX_ANSWER);
    free(answer);
    res_nclose(&state);
}

static void srv_done(struct job *job) {
    struct srv *srv = (struct srv *)job;
    const struct failure failure = {.kind = EPODE_FAILURE_DNS};
    if (srv->answered) host_check(job->host, epode_resolved_records(job->host->client, epode_host_now(), srv->query, srv->records, srv->count));
    else answer_failed(job->host, srv->query, &failure);
}

static void srv_destroy(struct job *job) {
    struct srv *srv = (struct srv *)job;
    free(srv->name);
    free(srv->server);
    free(srv);
}

static void ask_dns(epode_host *host, const epode_output_resolve *resolve) {
    struct srv *srv = allocated(calloc(1, sizeof *srv));
    srv->query = resolve->query;
    srv->name = copy_text(resolve->name);
    if (host->name_server) srv->server = allocated(strdup(host->name_server));
    srv->job = (struct job){.owner = host, .run = srv_run, .done = srv_done, .destroy = srv_destroy};
    if (job_start(host, &srv->job)) return;
    struct failure failure = {.kind = EPODE_FAILURE_OTHER, .reason = "there is no thread to ask DNS"};
    answer_failed(host, srv->query, &failure);
    srv_destroy(&srv->job);
}

static void active(struct web *web) { (void)web; } // The loop looks each time.

static void done(struct web *web, struct transfer *transfer, long status, const struct failure *failure) {
    epode_host *host = web->host;
    epode_slice document = slice(transfer->answer.data ? transfer->answer.data : (const uint8_t *)"", bytes_len(&transfer->answer));
    struct failure other;
    if (failure) {
        answer_failed(host, transfer->id, failure);
    } else if (status != 200) {
        set_failure(&other, EPODE_FAILURE_HTTP, "its status is %ld", status);
        answer_failed(host, transfer->id, &other);
    } else {
        host_check(host, epode_resolved_document(host->client, epode_host_now(), transfer->id, document));
    }
}

static void fetch(epode_host *host, const epode_output_resolve *resolve) {
    uint64_t query = resolve->query;
    if (!host->documents) {
        struct web *web = host->documents = allocated(calloc(1, sizeof *web));
        web->active = active;
        web->done = done;
        web->owner = host;
        if (!web_init(web, host)) {
            const struct failure failure = {.kind = EPODE_FAILURE_OTHER, .reason = "libcurl is not built on OpenSSL"};
            web_free(web);
            free(web);
            host->documents = NULL;
            answer_failed(host, query, &failure);
            return;
        }
    }
    char *url = copy_text(resolve->url);
    uint64_t now = epode_host_now(), left = resolve->deadline_ms > now ? resolve->deadline_ms - now : 0;
    // The client has gone on by then, and not because of this.
    web_request(host->documents, url, query, resolve->max_bytes, left + 1000, NULL);
    free(url);
}

void resolve(epode_host *host, const epode_output_resolve *resolve) {
    const struct failure unknown = {.kind = EPODE_FAILURE_OTHER, .reason = "this host cannot find that out"};
    switch (resolve->question) {
    case EPODE_QUESTION_SRV: ask_dns(host, resolve); break;
    case EPODE_QUESTION_DOCUMENT: fetch(host, resolve); break;
    default: answer_failed(host, resolve->query, &unknown); break;
    }
}
