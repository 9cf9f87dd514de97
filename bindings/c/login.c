// login.c: a whole host. Logs in over BOSH with libcurl, sends one message, prints what happens, says goodbye.
//
//   epode-login [--cert FILE --key FILE] [--ca FILE] [--mechanism NAME].. [--min-mechanism NAME] [--to JID] [--text TEXT] [--stay] JID URL
//
// A password is read from EPODE_PASSWORD, an OAuth 2.0 access token from EPODE_ACCESS_TOKEN. --mechanism names one that may be used, and may be
// given several times; --min-mechanism the least. Without --to the message goes to the session itself. --stay prints what arrives until
// Ctrl-C, and connects again when the link is gone. The exit status is 0 if the message was delivered (and arrived, if it was to
// itself), else 1.
#define _GNU_SOURCE
#include <curl/curl.h>
#include <epode.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

// One HTTP request that is under way.
struct transfer {
    struct transfer *next;
    struct host *host;
    CURL *easy;
    uint64_t link, request;
    char *answer;
    size_t len, capacity;
    bool too_large;
    char error[CURL_ERROR_SIZE];
};

// One derivation of a key, in a thread of its own.
struct derivation {
    struct derivation *next;
    epode_derivation *handle;
    uint64_t job;
    pthread_t thread;
    int done; // of the host: an eventfd
    uint32_t code;
    epode_slice key;
};

struct host {
    epode_client *client;
    CURLM *multi;
    struct curl_slist *headers;
    struct transfer *transfers;
    struct derivation *derivations;
    char *url; // of the link
    uint64_t max_message;
    const char *cert, *key, *ca, *to, *text;
    uint64_t token; // of our message
    bool stay, sent, acked, arrived, offline;
    int signals, derived;
};

static void carry_out(struct host *host);
static void open_link(struct host *host, const epode_output_connect *connect);
static void online(struct host *host, const epode_output_online *event);
static void post(struct host *host, const epode_output_post *output);
static void abandon(struct host *host, uint64_t request);
static void derive(struct host *host, uint64_t job);
static void *run_derivation(void *derivation);
static void collect_key(struct host *host);
static bool collect(struct host *host);
static void finished(struct host *host, struct transfer *transfer, CURLcode result);
static void flush(struct host *host);
static void sleep_for(struct host *host, uint64_t milliseconds);
static void forget(struct transfer *transfer);
static size_t receive(char *bytes, size_t size, size_t count, void *user);
static uint32_t failure(CURLcode result);
static epode_client *new_client(epode_config *config, uint32_t code, const char *url, const struct host *host);
static void check(const struct host *host, uint32_t code, const char *what);
static void print(const char *before, epode_slice text, const char *after);
static void *allocated(void *memory);
static char *copy(epode_slice text);
static uint64_t now_ms(void);

// The loop: carry out what the client says; wait for the network or the deadline; tell the client.
static void run(struct host *host) {
    check(host, epode_start(host->client, now_ms()), "start");
    for (;;) {
        carry_out(host);
        if (host->offline) return;
        int running;
        curl_multi_perform(host->multi, &running);
        if (collect(host)) continue;
        uint64_t deadline, now = now_ms();
        check(host, epode_deadline(host->client, &deadline, NULL), "deadline");
        if (deadline <= now) check(host, epode_tick(host->client, now), "tick");
        else sleep_for(host, deadline - now);
    }
}

static void carry_out(struct host *host) {
    epode_output output = {.struct_size = sizeof output};
    bool leave = false;
    for (;;) {
        check(host, epode_next(host->client, &output), "next");
        switch (output.kind) {
        case EPODE_NONE:
            if (!leave) return;
            leave = false;
            check(host, epode_stop(host->client, now_ms()), "stop");
            break;
        case EPODE_CONNECT: open_link(host, &output.data.connect); break;
        case EPODE_RESOLVE: {
            epode_slice why = epode_text("this host asks no DNS: it was given a URL");
            uint64_t query = output.data.resolve.query;
            check(host, epode_resolved_failed(host->client, now_ms(), query, EPODE_FAILURE_OTHER, 0, why), "no answer");
            break;
        }
        case EPODE_POST: post(host, &output.data.post); break;
        case EPODE_ABANDON: abandon(host, output.data.abandon.request); break;
        // What is still to go out of it goes, if only in flush(). libcurl keeps connections for the next link, or closes them at the end.
        case EPODE_CLOSE: break;
        case EPODE_DERIVE_KEY: derive(host, output.data.derive_key.job); break;
        case EPODE_ONLINE:
            online(host, &output.data.online);
            // The goodbye comes after what is queued, and makes the server answer all that it holds, which is how a delivery is known:
            // one that does not acknowledge (XEP-0124 section 9) may otherwise hold the message's own request for a minute.
            leave = host->to && !host->stay;
            break;
        case EPODE_INTERRUPTED: {
            uint64_t at = output.data.interrupted.retry_at_ms, now = now_ms();
            print("interrupted: ", output.data.interrupted.sentence, "");
            if (at == UINT64_MAX) printf("; waiting for a network\n");
            else printf("; trying again in %" PRIu64 " ms\n", at > now ? at - now : 0);
            break;
        }
        case EPODE_OFFLINE:
            host->offline = true;
            print("offline: ", output.data.offline.sentence, "\n");
            host->acked = host->acked && output.data.offline.group == EPODE_OFFLINE_STOPPED;
            break;
        case EPODE_STANZA: {
            const epode_stanza *stanza = &output.data.stanza;
            print("from ", stanza->from, ": ");
            print("", stanza->body.data ? stanza->body : stanza->xml, "\n");
            size_t len = strlen(host->text);
            if (stanza->kind == EPODE_MESSAGE && stanza->body.len == len && !memcmp(stanza->body.data, host->text, len)) {
                host->arrived = true;
                leave |= !host->stay;
            }
            break;
        }
        case EPODE_DELIVERY:
            if (output.data.delivery.token != host->token) break;
            if (output.data.delivery.stage == EPODE_FAILED) printf("not delivered\n");
            if (output.data.delivery.stage == EPODE_ACKED) printf("delivered\n");
            host->acked = output.data.delivery.stage == EPODE_ACKED;
            break;
        case EPODE_WARNING: print("warning: ", output.data.warning.sentence, "\n"); break;
        default: break; // EPODE_WRITABLE, or what a newer library may say.
        }
    }
}

// libcurl connects when the first request goes out; here only what holds for all of them is stated.
static void open_link(struct host *host, const epode_output_connect *connect) {
    uint64_t link = connect->link;
    if (connect->endpoint != EPODE_ENDPOINT_BOSH) {
        epode_slice why = epode_text("this host speaks BOSH only");
        check(host, epode_failed(host->client, now_ms(), link, 0, EPODE_FAILURE_OTHER, 0, why), "no link");
        return;
    }
    char *name = copy(connect->server_name);
    epode_link_info info = {.struct_size = sizeof info, .encrypted = 1, .verified = EPODE_VERIFIED_HOST};
    info.verified_name = epode_text(name);
    free(host->url);
    host->url = copy(connect->url);
    host->max_message = connect->max_message;
    check(host, epode_connected(host->client, now_ms(), link, &info), "connected");
    free(name);
}

static void online(struct host *host, const epode_output_online *event) {
    print("online: ", event->jid, " by ");
    print("", event->mechanism, "");
    static const char *const bound[] = {"", ", bound by tls-exporter", ", bound by tls-unique", ", bound by tls-server-end-point"};
    printf("%s", event->channel_binding < sizeof bound / sizeof *bound ? bound[event->channel_binding] : "");
    printf(", %" PRIu32 " round trips%s\n", event->round_trips, event->server_proof ? ", the server proved itself" : "");
    char *me = copy(event->jid); // The next call takes the event's slices away.
    epode_slice presence = epode_text("<presence xmlns='jabber:client'/>"), text = epode_text(host->text);
    epode_slice to = epode_text(host->to ? host->to : me);
    // A session that goes on has its presence already; the message is sent once, and the client sees to the rest.
    if (!event->resumed) check(host, epode_send(host->client, now_ms(), presence, NULL), "presence");
    if (!host->sent) check(host, epode_send_chat(host->client, now_ms(), to, text, &host->token), "message");
    host->sent = true;
    free(me);
}

// No retry, no redirect, no proxy from the environment, no decompression, no timeout: all of that is the client's business.
static void post(struct host *host, const epode_output_post *output) {
    struct transfer *transfer = allocated(calloc(1, sizeof *transfer));
    CURL *easy = allocated(curl_easy_init());
    *transfer = (struct transfer){.next = host->transfers, .host = host, .easy = easy, .link = output->link, .request = output->request};
    host->transfers = transfer;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_URL, host->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, host->headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)output->body.len);
    curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, output->body.data);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (host->ca) curl_easy_setopt(easy, CURLOPT_CAINFO, host->ca);
    if (host->cert) curl_easy_setopt(easy, CURLOPT_SSLCERT, host->cert);
    if (host->cert) curl_easy_setopt(easy, CURLOPT_SSLKEY, host->key ? host->key : host->cert);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_multi_add_handle(host->multi, easy);
}

static void abandon(struct host *host, uint64_t request) {
    for (struct transfer *transfer = host->transfers; transfer; transfer = transfer->next) {
        if (transfer->request == request) {
            forget(transfer);
            return;
        }
    }
}

// SCRAM's slow step: a second on a small device, for which nobody else has to wait.
static void derive(struct host *host, uint64_t job) {
    struct derivation *derivation = allocated(calloc(1, sizeof *derivation));
    *derivation = (struct derivation){.next = host->derivations, .job = job, .done = host->derived};
    host->derivations = derivation;
    check(host, epode_derivation_new(host->client, &derivation->handle), "derivation");
    if (pthread_create(&derivation->thread, NULL, run_derivation, derivation)) abort();
}

static void *run_derivation(void *user) {
    struct derivation *derivation = user;
    derivation->code = epode_derivation_run(derivation->handle, &derivation->key);
    eventfd_write(derivation->done, 1);
    return NULL;
}

// Waits for the youngest derivation, and tells the client, unless that is offline. There is rarely more than one.
static void collect_key(struct host *host) {
    struct derivation *derivation = host->derivations;
    if (!derivation) return;
    host->derivations = derivation->next;
    pthread_join(derivation->thread, NULL);
    check(host, derivation->code, "key");
    if (!host->offline) check(host, epode_derived(host->client, now_ms(), derivation->job, derivation->key), "derived");
    epode_derivation_free(derivation->handle);
    free(derivation);
}

// Tells the client of one transfer that is over. False: there is none.
static bool collect(struct host *host) {
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(host->multi, &left));) {
        if (message->msg != CURLMSG_DONE) continue;
        CURLcode result = message->data.result; // The message does not outlive the handle.
        void *transfer;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        finished(host, transfer, result);
        return true;
    }
    return false;
}

static void finished(struct host *host, struct transfer *transfer, CURLcode result) {
    uint32_t code;
    if (result == CURLE_OK) {
        long status = 0;
        curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
        epode_slice body = {(const uint8_t *)transfer->answer, transfer->len};
        code = epode_responded(host->client, now_ms(), transfer->link, transfer->request, (uint32_t)status, body, NULL);
    } else {
        const char *why = transfer->too_large ? "an answer is larger than allowed" : transfer->error;
        if (!*why) why = curl_easy_strerror(result);
        code = epode_failed(host->client, now_ms(), transfer->link, transfer->request, failure(result), 0, epode_text(why));
    }
    forget(transfer);
    check(host, code, "answer");
}

// After the end, what was posted before the link was closed still goes out, the goodbye among it; nobody waits long for it.
static void flush(struct host *host) {
    uint64_t end = now_ms() + 2000;
    for (int running = 1; host->transfers && now_ms() < end;) {
        curl_multi_perform(host->multi, &running);
        if (!running) break;
        sleep_for(host, 100);
    }
    while (host->transfers) forget(host->transfers);
}

static void sleep_for(struct host *host, uint64_t milliseconds) {
    struct curl_waitfd wake[] = {{.fd = host->signals, .events = CURL_WAIT_POLLIN}, {.fd = host->derived, .events = CURL_WAIT_POLLIN}};
    curl_multi_poll(host->multi, wake, 2, milliseconds < 60000 ? (int)milliseconds : 60000, NULL);
    struct signalfd_siginfo signal;
    eventfd_t derived = 0;
    if (wake[1].revents) eventfd_read(host->derived, &derived);
    while (derived--) collect_key(host);
    if (!host->offline && wake[0].revents && read(host->signals, &signal, sizeof signal) == sizeof signal)
        check(host, epode_stop(host->client, now_ms()), "stop");
}

static void forget(struct transfer *transfer) {
    struct transfer **place = &transfer->host->transfers;
    while (*place != transfer) place = &(*place)->next;
    *place = transfer->next;
    curl_multi_remove_handle(transfer->host->multi, transfer->easy);
    curl_easy_cleanup(transfer->easy);
    free(transfer->answer);
    free(transfer);
}

static size_t receive(char *bytes, size_t size, size_t count, void *user) {
    struct transfer *transfer = user;
    size_t len = size * count; // libcurl promises that size is 1.
    if (len > transfer->host->max_message - transfer->len) {
        transfer->too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    if (transfer->len + len > transfer->capacity) {
        transfer->capacity = 2 * (transfer->len + len);
        transfer->answer = allocated(realloc(transfer->answer, transfer->capacity));
    }
    if (len) memcpy(transfer->answer + transfer->len, bytes, len);
    transfer->len += len;
    return len;
}

static uint32_t failure(CURLcode result) {
    switch ((int)result) { // More codes than these exist, and more will.
    case CURLE_COULDNT_RESOLVE_HOST: return EPODE_FAILURE_DNS;
    case CURLE_COULDNT_CONNECT: return EPODE_FAILURE_REFUSED;
    case CURLE_OPERATION_TIMEDOUT: return EPODE_FAILURE_TIMEOUT;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE: return EPODE_FAILURE_RESET;
    case CURLE_PEER_FAILED_VERIFICATION: return EPODE_FAILURE_CERTIFICATE_REJECTED;
    case CURLE_WRITE_ERROR:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY: return EPODE_FAILURE_HTTP;
    default: return EPODE_FAILURE_OTHER; // The TLS alert's number is one of the things that libcurl does not tell.
    }
}

// Takes the configuration, whose policy is set already.
static epode_client *new_client(epode_config *config, uint32_t code, const char *url, const struct host *host) {
    epode_client *client = NULL;
    uint8_t seed[32];
    const char *password = getenv("EPODE_PASSWORD"), *token = getenv("EPODE_ACCESS_TOKEN");
    if (!code) code = epode_config_set_bosh_url(config, epode_text(url));
    if (!code) code = epode_config_set_key_derivation(config, EPODE_DERIVE_HOST);
    if (!code && token) code = epode_config_set_access_token(config, epode_text(token));
    if (!code && host->cert) code = epode_config_set_certificate(config, epode_text(host->cert), (epode_slice){0});
    if (!code && password) code = epode_config_set_password(config, epode_text(password));
    if (!code && getrandom(seed, sizeof seed, 0) != sizeof seed) abort(); // 32 bytes always come whole: getrandom(2)
    if (!code) code = epode_client_new(config, seed, &client);
    explicit_bzero(seed, sizeof seed);
    if (code) {
        epode_slice why = epode_code_sentence(code);
        if (config) epode_config_last_error(config, &why);
        fprintf(stderr, "epode-login: %.*s\n", (int)why.len, (const char *)why.data);
    }
    epode_config_free(config);
    return client;
}

// A call that fails here is a mistake in this file, or a text from the command line that is no JID or no XML.
static void check(const struct host *host, uint32_t code, const char *what) {
    if (!code) return;
    epode_slice why = epode_code_sentence(code);
    epode_last_error(host->client, &why);
    fprintf(stderr, "epode-login: %s: %.*s\n", what, (int)why.len, (const char *)why.data);
    exit(EXIT_FAILURE);
}

// What others wrote must not steer the terminal.
static void print(const char *before, epode_slice text, const char *after) {
    fputs(before, stdout);
    for (size_t i = 0; i < text.len; i++) putchar(text.data[i] < ' ' || text.data[i] == 0x7f ? ' ' : text.data[i]);
    fputs(after, stdout);
}

static void *allocated(void *memory) {
    if (!memory) abort();
    return memory;
}

static char *copy(epode_slice text) { return allocated(strndup(text.len ? (const char *)text.data : "", text.len)); }

static uint64_t now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_BOOTTIME, &time); // It goes on while the machine sleeps.
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"cert", required_argument, NULL, 'c'}, {"key", required_argument, NULL, 'k'},  {"ca", required_argument, NULL, 'a'},
        {"mechanism", required_argument, NULL, 'm'}, {"min-mechanism", required_argument, NULL, 'l'},
        {"to", required_argument, NULL, 't'},   {"text", required_argument, NULL, 'x'}, {"stay", no_argument, NULL, 's'},
        {NULL, 0, NULL, 0},
    };
    struct host host = {.text = "Hello from C"};
    const char *mechanisms[16], *least = NULL;
    size_t count = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'c': host.cert = optarg; break;
        case 'k': host.key = optarg; break;
        case 'a': host.ca = optarg; break;
        case 'm':
            if (count == sizeof mechanisms / sizeof *mechanisms) return EXIT_FAILURE;
            mechanisms[count++] = optarg;
            break;
        case 'l': least = optarg; break;
        case 't': host.to = optarg; break;
        case 'x': host.text = optarg; break;
        case 's': host.stay = true; break;
        default: return EXIT_FAILURE;
        }
    }
    if (argc - optind != 2 || epode_abi_version() != EPODE_ABI_VERSION) {
        fprintf(stderr, "usage: %s [--cert FILE --key FILE] [--ca FILE] [--mechanism NAME].. [--min-mechanism NAME]\n", argv[0]);
        fprintf(stderr, "       [--to JID] [--text TEXT] [--stay] JID URL\n");
        return EXIT_FAILURE;
    }
    epode_config *config = NULL;
    uint32_t code = epode_config_new(epode_text(argv[optind]), &config);
    for (size_t i = 0; !code && i < count; i++) code = epode_config_add_mechanism(config, epode_text(mechanisms[i]));
    if (!code && least) code = epode_config_set_least_mechanism(config, epode_text(least));
    host.client = new_client(config, code, argv[optind + 1], &host);
    if (!host.client) return EXIT_FAILURE;
    setvbuf(stdout, NULL, _IOLBF, 0); // News are news, in a pipe too.
    curl_global_init(CURL_GLOBAL_DEFAULT);
    host.multi = allocated(curl_multi_init());
    host.headers = allocated(curl_slist_append(NULL, "Content-Type: text/xml; charset=utf-8"));
    // Without this one, libcurl waits for a 100 Continue before a larger body.
    allocated(curl_slist_append(host.headers, "Expect:"));
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    host.signals = signalfd(-1, &signals, SFD_CLOEXEC);
    host.derived = eventfd(0, EFD_CLOEXEC);

    run(&host);
    flush(&host);

    while (host.derivations) collect_key(&host); // Nobody can be told to stop in the middle of one.
    close(host.derived);
    close(host.signals);
    curl_slist_free_all(host.headers);
    curl_multi_cleanup(host.multi);
    curl_global_cleanup();
    epode_client_free(host.client);
    free(host.url);
    return host.acked && (host.to || host.arrived) ? EXIT_SUCCESS : EXIT_FAILURE;
}
