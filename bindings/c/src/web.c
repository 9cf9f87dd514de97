// web.c: HTTP by libcurl, for BOSH and for host-meta. No retry, redirect, proxy, decompression or timeout of its own.
#define _GNU_SOURCE
#include "host.h"
#include <curl/curl.h>
#include <stdio.h>
#include <sys/epoll.h>

// One socket of libcurl's.
struct web_socket {
    struct watch watch;
    struct web *web;
};

static void socket_ready(struct watch *watch, uint32_t events) {
    struct web *web = ((struct web_socket *)watch)->web;
    int what = (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
               (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0), running;
    // It may free the watch.
    curl_multi_socket_action(web->multi, watch->fd, what, &running);
    web->active(web);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *known) {
    (void)easy;
    struct web *web = user;
    struct web_socket *socket = known;
    if (what == CURL_POLL_REMOVE) {
        if (socket) host_watch(web->host, &socket->watch, 0);
        curl_multi_assign(web->multi, fd, NULL);
        free(socket);
        return 0;
    }
    if (!socket) {
        socket = allocated(calloc(1, sizeof *socket));
        *socket = (struct web_socket){.watch = {.fd = fd, .ready = socket_ready}, .web = web};
        curl_multi_assign(web->multi, fd, socket);
    }
    host_watch(web->host, &socket->watch, (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0));
    return 0;
}

// As libcurl's own, but that no program which the application starts has it open.
static curl_socket_t on_open(void *user, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)user, (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static int on_timer(CURLM *multi, long milliseconds, void *user) {
    (void)multi;
    struct web *web = user;
    web->timer_at = milliseconds < 0 ? NEVER : epode_host_now() + (uint64_t)milliseconds;
    return 0;
}

static CURLcode on_context(CURL *easy, void *context, void *user) {
    (void)easy;
    struct web *web = user;
    tls_configure(context, web->host, web->present, &web->seen);
    return CURLE_OK;
}

static size_t on_answer(char *bytes, size_t size, size_t count, void *user) {
    struct transfer *transfer = user;
    size_t len = size * count; // libcurl promises that size is 1.
    if (len > transfer->max - bytes_len(&transfer->answer)) {
        transfer->too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    bytes_append(&transfer->answer, bytes, len);
    return len;
}

bool web_init(struct web *web, epode_host *host) {
    // Counted by libcurl; the first one of a process does not return while another thread is in it (7.84).
    const curl_version_info_data *version = curl_global_init(CURL_GLOBAL_DEFAULT) ? NULL : curl_version_info(CURLVERSION_NOW);
    web->host = host;
    web->timer_at = NEVER;
    if (!version || !version->ssl_version || strncmp(version->ssl_version, "OpenSSL", 7)) return false;
    web->multi = allocated(curl_multi_init());
    web->headers = allocated(curl_slist_append(NULL, "Content-Type: text/xml; charset=utf-8"));
    // Without this one, libcurl waits for a 100 Continue before a larger body.
    allocated(curl_slist_append(web->headers, "Expect:"));
    curl_multi_setopt(web->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(web->multi, CURLMOPT_SOCKETDATA, web);
    curl_multi_setopt(web->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(web->multi, CURLMOPT_TIMERDATA, web);
    curl_multi_setopt(web->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    return true;
}

// A GET where there is no body. `timeout_ms` 0: whoever asks gives up by web_cancel.
bool web_request(struct web *web, const char *url, uint64_t id, uint64_t max, uint64_t timeout_ms, const epode_slice *body) {
    struct transfer *transfer = allocated(calloc(1, sizeof *transfer));
    CURL *easy = allocated(curl_easy_init());
    *transfer = (struct transfer){.next = web->transfers, .web = web, .easy = easy, .id = id, .max = max};
    web->transfers = transfer;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, strncasecmp(url, "http:", 5) ? "https" : "http");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    if (body) {
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, web->headers);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
        // A copy of ours, and not libcurl's, which would not be overwritten: logins are in there.
        bytes_append(&transfer->body, body->data, body->len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body->len ? (const char *)transfer->body.data : "");
    }
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms ? (long)timeout_ms : 3600000L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    // The authorities are the host's, as is the client certificate: it sets them in the TLS of every connection.
    curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_context);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, web);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    return curl_multi_add_handle(web->multi, easy) == CURLM_OK;
}

static void forget(struct transfer *transfer) {
    struct transfer **place = &transfer->web->transfers;
    while (*place != transfer) place = &(*place)->next;
    *place = transfer->next;
    curl_multi_remove_handle(transfer->web->multi, transfer->easy);
    curl_easy_cleanup(transfer->easy);
    bytes_free(&transfer->body);
    bytes_free(&transfer->answer);
    free(transfer);
}

void web_cancel(struct web *web, uint64_t id) {
    for (struct transfer *transfer = web->transfers; transfer; transfer = transfer->next) {
        if (transfer->id == id) {
            forget(transfer);
            return;
        }
    }
}

void web_timer(struct web *web, uint64_t now) {
    if (web->timer_at > now) return;
    int running;
    web->timer_at = NEVER;
    curl_multi_socket_action(web->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    web->active(web);
}

static void failure_of(struct failure *failure, const struct transfer *transfer, CURLcode result) {
    const char *why = *transfer->error ? transfer->error : curl_easy_strerror(result);
    if (transfer->too_large) {
        set_failure(failure, EPODE_FAILURE_HTTP, "an answer is larger than allowed");
        return;
    }
    switch ((int)result) { // More codes than these exist, and more will.
    case CURLE_COULDNT_RESOLVE_HOST: set_failure(failure, EPODE_FAILURE_DNS, "%s", ""); break;
    case CURLE_COULDNT_CONNECT: set_failure(failure, EPODE_FAILURE_REFUSED, "%s", ""); break;
    case CURLE_OPERATION_TIMEDOUT: set_failure(failure, EPODE_FAILURE_TIMEOUT, "%s", ""); break;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        // TLS knows better why, if it was TLS: an alert, or the judgement of the server's certificate.
        if (tls_judged(failure, &transfer->web->seen)) break;
        if (result == CURLE_PEER_FAILED_VERIFICATION) set_failure(failure, EPODE_FAILURE_CERTIFICATE_REJECTED, "%s", why);
        else if (result == CURLE_SSL_CONNECT_ERROR) set_failure(failure, EPODE_FAILURE_OTHER, "%s", why);
        else set_failure(failure, EPODE_FAILURE_RESET, "%s", "");
        break;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY: set_failure(failure, EPODE_FAILURE_HTTP, "%s", why); break;
    default: set_failure(failure, EPODE_FAILURE_OTHER, "%s", why); break;
    }
    transfer->web->seen.alert = 0;
    transfer->web->seen.verify_error = X509_V_OK;
}

bool web_collect(struct web *web) {
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(web->multi, &left));) {
        if (message->msg != CURLMSG_DONE) continue;
        CURLcode result = message->data.result; // The message does not outlive the handle.
        struct failure failure;
        struct transfer *transfer;
        long status = 0;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
        if (result != CURLE_OK) failure_of(&failure, transfer, result);
        // Out of the list first: what it is told to may abandon it.
        struct transfer done = *transfer;
        transfer->answer = (struct bytes){0};
        forget(transfer);
        web->done(web, &done, status, result == CURLE_OK ? NULL : &failure);
        bytes_free(&done.answer);
        return true;
    }
    return false;
}

void web_free(struct web *web) {
    while (web->transfers) forget(web->transfers);
    if (web->multi) {
        curl_multi_cleanup(web->multi);
        curl_slist_free_all(web->headers);
    }
    curl_global_cleanup();
    *web = (struct web){.timer_at = NEVER};
}
