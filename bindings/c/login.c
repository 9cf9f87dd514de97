// login.c: logs in, sends one message, prints what happens, says goodbye. `epode-login --help` says how it is used.
#define _GNU_SOURCE
#include <epode_host.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: epode-login [OPTION].. JID [URL]\n"
    "\n"
    "Logs in, sends a message, prints what happens, and says goodbye. The exit status is 0 if the message was delivered (and arrived, if it\n"
    "was to itself), else 1. URL is that of BOSH, as with --bosh. Without a place DNS and the server's host-meta are asked.\n"
    "\n"
    "A password is read from EPODE_PASSWORD, an OAuth 2.0 access token from EPODE_ACCESS_TOKEN, the pass phrase of the private key from\n"
    "EPODE_PASS_PHRASE. With a certificate and a password both are used.\n"
    "\n"
    "places, tried in this order:\n"
    "  --tcp HOST:PORT        TCP with STARTTLS            --direct-tls HOST:PORT  TCP with TLS from the beginning\n"
    "  --ws URL               a WebSocket (wss)            --bosh URL              BOSH (https)\n"
    "who:\n"
    "  --cert FILE            the client certificate (PEM) --key FILE              its private key (PEM)\n"
    "  --p12 FILE             both in one (PKCS#12)        --ca FILE               who vouches for the server (PEM)\n"
    "  --allow-invalid-certificate                         presents one that has expired, too\n"
    "  --state FOLDER         keeps login tokens and what is known of the server\n"
    "how:\n"
    "  --mechanism NAME       one that may be used, as often as you like;  --min-mechanism NAME  the least\n"
    "  --channel-binding NAME binds the login to this only: tls-exporter, tls-unique or tls-server-end-point\n"
    "  --name-server IP:PORT  asks this one for SRV records\n"
    "what:\n"
    "  --to JID               to whom; without it, to itself;  --text TEXT  what\n"
    "  --stay                 until Ctrl-C, and connects again when the link is gone\n"
    "  --exit-after COUNT     until so many messages have arrived\n";

enum { CERT = 1, KEY, P12, CA, INVALID, STATE, MECHANISM, LEAST, TO, TEXT, STAY, COUNT, TCP, DIRECT, WS, BOSH, SERVER, BINDING, HELP };

static const struct option options[] = {
    {"cert", 1, NULL, CERT},         {"key", 1, NULL, KEY},   {"p12", 1, NULL, P12},       {"ca", 1, NULL, CA},
    {"state", 1, NULL, STATE},       {"to", 1, NULL, TO},     {"text", 1, NULL, TEXT},     {"stay", 0, NULL, STAY},
    {"exit-after", 1, NULL, COUNT},  {"tcp", 1, NULL, TCP},   {"direct-tls", 1, NULL, DIRECT}, {"ws", 1, NULL, WS},
    {"bosh", 1, NULL, BOSH},         {"help", 0, NULL, HELP}, {"mechanism", 1, NULL, MECHANISM},
    {"min-mechanism", 1, NULL, LEAST}, {"name-server", 1, NULL, SERVER}, {"allow-invalid-certificate", 0, NULL, INVALID},
    {"channel-binding", 1, NULL, BINDING}, {0},
};

// By their EPODE_BINDING_ numbers.
static const char *const bindings[] = {"", "tls-exporter", "tls-unique", "tls-server-end-point"};

struct login {
    epode_host *host;
    const char *to, *text;
    uint64_t token; // of our message
    unsigned long wanted, count;
    bool stay, sent, acked, arrived;
};

static epode_host *running;
static volatile sig_atomic_t asked_to_stop;

static void on_signal(int number) {
    (void)number;
    asked_to_stop = 1;
    epode_host_wake(running);
}

// Says what went wrong. A code is a mistake in this file, or a text from the command line that is no JID or no XML.
static bool failed(uint32_t code, epode_slice why) {
    if (!code) return false;
    if (!why.len) why = epode_code_sentence(code);
    fprintf(stderr, "epode-login: %.*s\n", (int)why.len, (const char *)why.data);
    return true;
}

static void check(struct login *login, uint32_t code) {
    epode_slice why = {0};
    epode_last_error(epode_host_client(login->host), &why);
    if (failed(code, why)) exit(EXIT_FAILURE);
}

// What others wrote must not steer the terminal.
static void print(const char *before, epode_slice text, const char *after) {
    fputs(before, stdout);
    for (size_t i = 0; i < text.len; i++) {
        // U+0080 to U+009F are such controls too: C2 80 to C2 9F in UTF-8.
        bool second = i + 1 < text.len && text.data[i] == 0xc2 && text.data[i + 1] < 0xa0;
        putchar(text.data[i] < ' ' || text.data[i] == 0x7f || second ? ' ' : text.data[i]);
        i += second;
    }
    fputs(after, stdout);
}

static void online(struct login *login, const epode_output_online *event) {
    uint32_t binding = event->channel_binding;
    print("online: ", event->jid, " by ");
    print("", event->mechanism, "");
    if (binding && binding < sizeof bindings / sizeof *bindings) printf(", bound by %s", bindings[binding]);
    printf(", %" PRIu32 " round trips%s%s\n", event->round_trips, event->server_proof ? ", the server proved itself" : "",
           event->resumed ? ", resumed" : "");
    epode_client *client = epode_host_client(login->host);
    epode_slice to = login->to ? epode_text(login->to) : event->jid;
    // A session that goes on has its presence already; the message is sent once, and the client sees to the rest.
    if (!event->resumed) check(login, epode_send(client, epode_host_now(), epode_text("<presence xmlns='jabber:client'/>"), NULL));
    if (!login->sent) check(login, epode_send_chat(client, epode_host_now(), to, epode_text(login->text), &login->token));
    login->sent = true;
    // The goodbye comes after what is queued, and makes the server answer all that it holds, which is how a delivery is known: over BOSH
    // one that does not acknowledge (XEP-0124 section 9) may otherwise hold the message's own request for a minute.
    if (login->to && !login->stay && !login->wanted) check(login, epode_host_stop(login->host));
}

static void stanza(struct login *login, const epode_stanza *stanza) {
    print("from ", stanza->from, ": ");
    print("", stanza->body.data ? stanza->body : stanza->xml, "\n");
    if (stanza->kind != EPODE_MESSAGE || !stanza->body.data) return;
    size_t len = strlen(login->text);
    bool ours = stanza->body.len == len && !memcmp(stanza->body.data, login->text, len);
    login->arrived |= ours;
    login->count++;
    bool enough = login->wanted ? login->count == login->wanted : ours && !login->to;
    if (enough && !login->stay) check(login, epode_host_stop(login->host));
}

// False: that was the last one.
static bool take(struct login *login, const epode_output *event) {
    switch (event->kind) {
    case EPODE_ONLINE: online(login, &event->data.online); break;
    case EPODE_STANZA: stanza(login, &event->data.stanza); break;
    case EPODE_INTERRUPTED: {
        uint64_t at = event->data.interrupted.retry_at_ms, now = epode_host_now();
        print("interrupted: ", event->data.interrupted.sentence, "");
        if (at == UINT64_MAX) printf("; waiting for a network\n");
        else printf("; trying again in %" PRIu64 " ms\n", at > now ? at - now : 0);
        break;
    }
    case EPODE_DELIVERY:
        if (event->data.delivery.token != login->token) break;
        if (event->data.delivery.stage == EPODE_FAILED) printf("not delivered\n");
        if (event->data.delivery.stage == EPODE_ACKED) printf("delivered\n");
        login->acked = event->data.delivery.stage == EPODE_ACKED;
        break;
    case EPODE_WARNING: print("warning: ", event->data.warning.sentence, "\n"); break;
    case EPODE_OFFLINE:
        print("offline: ", event->data.offline.sentence, "\n");
        login->acked = login->acked && event->data.offline.group == EPODE_OFFLINE_STOPPED;
        return false;
    default: break; // EPODE_NONE, or what a newer library may say.
    }
    return true;
}

// As `example.org:5222` or `[2001:db8::1]:5222`.
static uint32_t add_tcp(epode_config *config, char *place, uint32_t tls) {
    char *colon = strrchr(place, ':');
    uint32_t port = colon ? (uint32_t)strtoul(colon + 1, NULL, 10) : 0;
    if (colon) *colon = 0;
    size_t len = strlen(place);
    bool bracketed = len > 1 && *place == '[' && place[len - 1] == ']';
    if (bracketed) place[len - 1] = 0;
    return epode_config_add_tcp(config, epode_text(place + bracketed), port, tls);
}

static uint32_t add_binding(epode_config *config, const char *name) {
    for (uint32_t i = 1; i < sizeof bindings / sizeof *bindings; i++) {
        if (!strcmp(name, bindings[i])) return epode_config_add_channel_binding(config, i);
    }
    return EPODE_VALUE;
}

// One of the options. A code is the configuration's.
static uint32_t set(epode_config *config, epode_host_options *host, struct login *login, int option) {
    switch (option) {
    case CERT: host->certificate_file = optarg; break;
    case KEY: host->key_file = optarg; break;
    case P12: host->pkcs12_file = optarg; break;
    case CA: host->ca_file = optarg; break;
    case INVALID: host->present_invalid = 1; break;
    case STATE: host->state_folder = optarg; break;
    case SERVER: host->name_server = optarg; break;
    case TO: login->to = optarg; break;
    case TEXT: login->text = optarg; break;
    case STAY: login->stay = true; break;
    case COUNT: login->wanted = strtoul(optarg, NULL, 10); break;
    case MECHANISM: return epode_config_add_mechanism(config, epode_text(optarg));
    case LEAST: return epode_config_set_least_mechanism(config, epode_text(optarg));
    case BINDING: return add_binding(config, optarg);
    case TCP: return add_tcp(config, optarg, EPODE_TCP_STARTTLS);
    case DIRECT: return add_tcp(config, optarg, EPODE_TCP_DIRECT_TLS);
    case WS: return epode_config_add_websocket(config, epode_text(optarg));
    case BOSH: return epode_config_add_bosh(config, epode_text(optarg));
    default: break;
    }
    return EPODE_OK;
}

static uint32_t set_secrets(epode_config *config) {
    const char *password = getenv("EPODE_PASSWORD"), *token = getenv("EPODE_ACCESS_TOKEN");
    uint32_t code = token ? epode_config_set_access_token(config, epode_text(token)) : EPODE_OK;
    return !code && password ? epode_config_set_password(config, epode_text(password)) : code;
}

int main(int argc, char **argv) {
    struct login login = {.text = "Hello from C"};
    epode_host_options host = {.struct_size = sizeof host, .pass_phrase = getenv("EPODE_PASS_PHRASE")};
    epode_config *config = NULL;
    int option;
    // Twice: the JID comes last, and the configuration is made of it.
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == HELP) return printf("%s", help) < 0;
        if (option == '?') return EXIT_FAILURE;
    }
    if (argc - optind < 1 || argc - optind > 2) {
        fprintf(stderr, "epode-login: give a JID: see --help\n");
        return EXIT_FAILURE;
    }
    uint32_t code = epode_config_new(epode_text(argv[optind]), &config);
    char *url = argv[optind + 1]; // or NULL
    optind = 1;
    while (!code && (option = getopt_long(argc, argv, "", options, NULL)) != -1) code = set(config, &host, &login, option);
    if (!code && url) code = epode_config_add_bosh(config, epode_text(url));
    if (!code) code = set_secrets(config);
    epode_slice why = {0};
    if (config) epode_config_last_error(config, &why);
    bool broken = failed(code, why);
    if (!broken) code = epode_host_new(config, &host, &login.host);
    epode_config_free(config);
    if (broken || failed(code, epode_host_last_error(NULL))) return EXIT_FAILURE;

    setvbuf(stdout, NULL, _IOLBF, 0); // News are news, in a pipe too.
    running = login.host;
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    epode_output event = {.struct_size = sizeof event};
    code = epode_host_start(login.host);
    while (!code && !(code = epode_host_wait(login.host, -1, &event)) && take(&login, &event)) {
        if (!asked_to_stop) continue;
        asked_to_stop = 0; // First: a signal that comes now is not lost.
        code = epode_host_stop(login.host);
    }
    failed(code, epode_host_last_error(login.host));
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    epode_host_free(login.host);
    return !code && login.acked && (login.to || login.arrived) ? EXIT_SUCCESS : EXIT_FAILURE;
}
