// link.c: what links of all kinds have in common: they open, tell the client, and end.
#include "host.h"

struct link *link_find(epode_host *host, uint64_t id) {
    for (struct link *link = host->links; link; link = link->next) {
        if (link->id == id && !link->dead && !link->closing) return link;
    }
    return NULL;
}

void link_open(epode_host *host, const epode_output_connect *connect) {
    struct failure failure = {.kind = EPODE_FAILURE_OTHER, .reason = "this host has no such transport"};
    struct link *link = NULL;
    uint64_t id = connect->link;
    char *url = copy_text(connect->url);
    switch (connect->endpoint) {
    case EPODE_ENDPOINT_TCP: link = tcp_open(connect); break;
    case EPODE_ENDPOINT_WEBSOCKET: link = websocket_open(&failure, url); break;
    case EPODE_ENDPOINT_BOSH: link = bosh_open(host, &failure, url); break;
    default: break;
    }
    if (!link) {
        free(url);
        host_check(host, epode_failed(host->client, epode_host_now(), id, 0, failure.kind, failure.alert, epode_text(failure.reason)));
        return;
    }
    link->host = host;
    link->id = id;
    link->url = url;
    link->server_name = copy_text(connect->server_name);
    link->present = connect->identity.data != NULL;
    link->max_message = connect->max_message;
    link->close_by = NEVER;
    link->again = true;
    link->next = host->links;
    host->links = link;
    if (!host->reading) host_check(host, epode_reading(host->client, epode_host_now(), id, false));
}

void link_connected(struct link *link, const epode_link_info *info) {
    if (link->closing || link->dead) return;
    host_check(link->host, epode_connected(link->host->client, epode_host_now(), link->id, info));
    host_drain(link->host);
}

void link_received(struct link *link, epode_slice bytes) {
    if (link->closing || link->dead) return;
    host_check(link->host, epode_received(link->host->client, epode_host_now(), link->id, bytes));
    host_drain(link->host);
    host_judge_reading(link->host);
}

void link_written(struct link *link, uint64_t count) {
    if (link->closing || link->dead || !count) return;
    host_check(link->host, epode_written(link->host->client, epode_host_now(), link->id, count));
    host_drain(link->host);
}

void link_ended(struct link *link) {
    bool tell = !link->closing && !link->dead;
    link->dead = true;
    if (tell) host_check(link->host, epode_ended(link->host->client, epode_host_now(), link->id));
    host_drain(link->host);
}

void link_failed(struct link *link, const struct failure *failure) {
    bool tell = !link->closing && !link->dead;
    link->dead = true;
    if (tell) {
        host_check(link->host, epode_failed(link->host->client, epode_host_now(), link->id, 0, failure->kind, failure->alert,
                                            epode_text(failure->reason)));
    }
    host_drain(link->host);
}

void link_close(epode_host *host, uint64_t id) {
    struct link *link = link_find(host, id);
    if (!link) return;
    link->closing = link->again = true;
    link->close_by = epode_host_now() + LINGER_MS;
}

void link_free_all(epode_host *host, bool only_dead) {
    for (struct link **place = &host->links; *place;) {
        struct link *link = *place;
        if (only_dead && !link->dead) {
            place = &link->next;
            continue;
        }
        *place = link->next;
        free(link->server_name);
        free(link->url);
        link->type->destroy(link);
    }
}
