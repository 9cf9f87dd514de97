// flow.c: one sends numbered messages, another counts them; both in one loop of poll over epode_host_fd.
//
//   flow CA COUNT SIZE SLOW SENDER PASSWORD-VARIABLE READER PASSWORD-VARIABLE PLACE
//
// Each message comes once and in order, or the exit status is not 0. Prints `half` when half of them are there
// and the rest is on its way, and goes on after a line on standard input. With SLOW 1 the reader takes
// nothing until its host has stopped reading; then it prints `paused WAITING`, and takes them after a line on standard input.
#define _GNU_SOURCE
#include "scenario.h"
#include <poll.h>

#define BACKLOG 20

// Messages that may wait for their acknowledgement. As XML they are less than a server reads at once (4 KiB): a connection
// that ends in the middle of more makes Prosody 13 end the session that is resumed next.
#define WINDOW 15

struct flow {
    epode_host *sender, *reader;
    char to[512];
    unsigned long count, size, sent, acked, received, until; // `until`: so many are sent for now
    unsigned long window;
    bool sender_online, slow, taken, full;
    int offline, lost;
};

static void tell(const char *who, const epode_output *event) {
    epode_slice why = {0};
    if (event->kind == EPODE_INTERRUPTED) why = event->data.interrupted.sentence;
    if (event->kind == EPODE_WARNING) why = event->data.warning.sentence;
    if (why.len) printf("%s: %.*s\n", who, (int)why.len, (const char *)why.data);
}

static void send_more(struct flow *flow) {
    char *body = malloc(flow->size + 32);
    while (flow->sender_online && *flow->to && !flow->full && flow->sent < flow->until && flow->sent - flow->acked < flow->window) {
        int len = sprintf(body, "%lu:", flow->sent);
        memset(body + len, 'x', flow->size);
        epode_slice text = {(const uint8_t *)body, (size_t)len + flow->size};
        uint32_t code = epode_send_chat(epode_host_client(flow->sender), epode_host_now(), epode_text(flow->to), text, NULL);
        flow->full = code == EPODE_FULL;
        if (!flow->full) {
            good(flow->sender, code);
            flow->sent++;
        }
    }
    free(body);
}

static void take_sender(struct flow *flow) {
    epode_output event = {.struct_size = sizeof event};
    do {
        good(flow->sender, epode_host_wait(flow->sender, 0, &event));
        if (event.kind == EPODE_ONLINE) flow->sender_online = true;
        tell("sender", &event);
        if (event.kind == EPODE_WRITABLE) flow->full = false;
        if (event.kind == EPODE_DELIVERY && event.data.delivery.stage == EPODE_FAILED) flow->lost++;
        if (event.kind == EPODE_DELIVERY && event.data.delivery.stage == EPODE_ACKED) flow->acked++;
        if (event.kind == EPODE_OFFLINE) {
            flow->offline++;
            if (flow->lost) fail("sender", epode_text("messages failed"));
            if (event.data.offline.group != EPODE_OFFLINE_STOPPED) fail("sender", event.data.offline.sentence);
        }
        send_more(flow);
    } while (event.kind != EPODE_NONE && event.kind != EPODE_OFFLINE);
}

static void arrived(struct flow *flow, const epode_stanza *stanza) {
    if (stanza->kind != EPODE_MESSAGE || !stanza->body.data) return;
    unsigned long number = strtoul((const char *)stanza->body.data, NULL, 10);
    if (number != flow->received) {
        fprintf(stderr, "%d messages failed at the sender; message %lu came where %lu was to come\n", flow->lost, number, flow->received);
        exit(3);
    }
    flow->received++;
}

static void take_reader(struct flow *flow) {
    epode_output event = {.struct_size = sizeof event};
    do {
        good(flow->reader, epode_host_wait(flow->reader, 0, &event));
        if (event.kind == EPODE_ONLINE) {
            if (event.data.online.resumed) puts("resumed");
            // A new session has a new address, to which nothing was sent.
            else if (*flow->to) fail("reader", epode_text("the session was lost"));
            snprintf(flow->to, sizeof flow->to, "%.*s", (int)event.data.online.jid.len, (const char *)event.data.online.jid.data);
        }
        tell("reader", &event);
        if (event.kind == EPODE_STANZA) arrived(flow, &event.data.stanza);
        if (event.kind == EPODE_OFFLINE) {
            flow->offline++;
            if (event.data.offline.group != EPODE_OFFLINE_STOPPED) fail("reader", event.data.offline.sentence);
        }
    } while (event.kind != EPODE_NONE && event.kind != EPODE_OFFLINE && !(flow->slow && *flow->to));
}

// Online, and blind until its host has read as much as it may.
static void be_slow(struct flow *flow) {
    static uint64_t since;
    static size_t before;
    good(flow->reader, epode_host_work(flow->reader, 0));
    size_t waiting = epode_host_waiting(flow->reader);
    if (waiting != before) since = epode_host_now();
    before = waiting;
    if (waiting >= BACKLOG && epode_host_now() - since > 500 && !flow->taken) {
        printf("paused %zu\n", waiting);
        flow->taken = true;
    }
    struct pollfd input = {.fd = 0, .events = POLLIN};
    if (flow->taken && poll(&input, 1, 0) == 1) flow->slow = false;
}

int main(int argc, char **argv) {
    if (argc != 10) return 2;
    struct flow flow = {.count = strtoul(argv[2], NULL, 10), .size = strtoul(argv[3], NULL, 10), .slow = *argv[4] == '1'};
    flow.until = flow.slow ? flow.count : flow.count / 2;
    // BOSH acknowledges by answers, which a server holds for as long as it has nothing to say.
    flow.window = flow.slow && !strncmp(argv[9], "bosh=", 5) ? flow.count : WINDOW;
    setvbuf(stdout, NULL, _IOLBF, 0);
    flow.sender = scenario_host(argv[5], getenv(argv[6]), argv[9], argv[1], 0);
    flow.reader = scenario_host(argv[7], getenv(argv[8]), argv[9], argv[1], BACKLOG);
    good(flow.sender, epode_host_start(flow.sender));
    good(flow.reader, epode_host_start(flow.reader));
    bool stopping = false;
    while (flow.offline < 2) {
        if (flow.slow && *flow.to) be_slow(&flow);
        else take_reader(&flow);
        take_sender(&flow);
        if (flow.received == flow.count && !stopping) {
            stopping = true;
            good(flow.sender, epode_host_stop(flow.sender));
            good(flow.reader, epode_host_stop(flow.reader));
            continue;
        }
        if (flow.received == flow.until && flow.until < flow.count) {
            flow.until = flow.count;
            take_sender(&flow);
            puts("half");
            if (getchar() == EOF) return 2;
            continue;
        }
        struct pollfd both[] = {{.fd = epode_host_fd(flow.sender), .events = POLLIN}, {.fd = epode_host_fd(flow.reader), .events = POLLIN}};
        if (flow.offline < 2) poll(both, 2, flow.slow ? 20 : 10000);
    }
    epode_host_free(flow.sender);
    epode_host_free(flow.reader);
    printf("received %lu\n", flow.received);
    return 0;
}
