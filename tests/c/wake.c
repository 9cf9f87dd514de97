// Wakes a host in the middle of its work, each time that something arrives: `wake CA JID PASSWORD-VARIABLE PLACE`.
//
// An application with a loop of its own takes EPODE_NONE for the end of the work; whatever is left has to show at the descriptor.
#include "scenario.h"
#include <poll.h>

static epode_host *host;

// The linker puts this one before the library's own.
uint32_t __real_epode_received(epode_client *client, uint64_t now_ms, uint64_t link, epode_slice bytes);
uint32_t __wrap_epode_received(epode_client *client, uint64_t now_ms, uint64_t link, epode_slice bytes);

uint32_t __wrap_epode_received(epode_client *client, uint64_t now_ms, uint64_t link, epode_slice bytes) {
    epode_host_wake(host);
    return __real_epode_received(client, now_ms, link, bytes);
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    epode_output event = {.struct_size = sizeof event};
    host = scenario_host(argv[2], getenv(argv[3]), argv[4], argv[1], 0);
    good(host, epode_host_start(host));
    do {
        do {
            good(host, epode_host_wait(host, 0, &event));
            if (event.kind == EPODE_ONLINE) good(host, epode_host_stop(host));
        } while (event.kind != EPODE_NONE && event.kind != EPODE_OFFLINE);
        struct pollfd readable = {.fd = epode_host_fd(host), .events = POLLIN};
        // A login at a server of this machine never waits so long: the client itself would wake up later, and give up.
        if (event.kind == EPODE_NONE && poll(&readable, 1, 20000) < 1) fail("the descriptor", epode_text("it is not readable, and there is work left"));
    } while (event.kind != EPODE_OFFLINE);
    if (event.data.offline.group != EPODE_OFFLINE_STOPPED) fail("offline", event.data.offline.sentence);
    epode_host_free(host);
    puts("woken, and online");
    return 0;
}
