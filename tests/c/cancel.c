// cancel.c: gives up in the middle of a login, after every number of turns, and looks for what was left behind.
//
//   cancel CA TURNS WAIT JID PASSWORD-VARIABLE PLACE
//
// TURNS: up to how many looks at the network; WAIT: milliseconds that each may last. No descriptor and no thread may be left after any of them.
#define _GNU_SOURCE
#include "scenario.h"
#include <dirent.h>

static int entries(const char *folder) {
    int count = 0;
    DIR *open = opendir(folder);
    if (!open) fail("proc", epode_text(folder));
    while (readdir(open)) count++;
    closedir(open);
    return count;
}

int main(int argc, char **argv) {
    if (argc != 7) return 2;
    unsigned long turns = strtoul(argv[2], NULL, 10);
    int wait = atoi(argv[3]), files = 0, threads = 0;
    for (unsigned long n = 0; n <= turns; n++) {
        epode_host *host = scenario_host(argv[4], getenv(argv[5]), argv[6], argv[1], 0);
        good(host, epode_host_start(host));
        epode_output event = {.struct_size = sizeof event};
        for (unsigned long i = 0; i < n; i++) good(host, epode_host_wait(host, wait, &event));
        if (event.kind == EPODE_OFFLINE) fail("it ended by itself", event.data.offline.sentence);
        epode_host_free(host);
        // The first one opens what OpenSSL and libcurl keep for the process.
        if (n == 1) {
            files = entries("/proc/self/fd");
            threads = entries("/proc/self/task");
        }
        if (n > 1 && (entries("/proc/self/fd") != files || entries("/proc/self/task") != threads)) {
            fprintf(stderr, "after %lu turns: %d descriptors where %d were, %d threads where %d were\n", n, entries("/proc/self/fd"), files,
                    entries("/proc/self/task"), threads);
            return 1;
        }
    }
    printf("cancelled %lu times\n", turns + 1);
    return 0;
}
