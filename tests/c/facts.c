// facts.c: which channel bindings the host gives to the client, seen where it gives them: linked with --wrap=epode_connected.
//
//   facts CA JID PASSWORD-VARIABLE PLACE
//
// Prints a line `VERSION BINDING..` for the connection that the login is done on.
#include "scenario.h"

uint32_t __real_epode_connected(epode_client *client, uint64_t now_ms, uint64_t link, const epode_link_info *info);
uint32_t __wrap_epode_connected(epode_client *client, uint64_t now_ms, uint64_t link, const epode_link_info *info);

uint32_t __wrap_epode_connected(epode_client *client, uint64_t now_ms, uint64_t link, const epode_link_info *info) {
    if (info->encrypted) {
        printf("%.*s", (int)info->tls_version.len, (const char *)info->tls_version.data);
        if (info->tls_exporter.data) printf(" tls-exporter");
        if (info->tls_unique.data) printf(" tls-unique");
        if (info->tls_server_end_point.data) printf(" tls-server-end-point");
        printf("\n");
    }
    return __real_epode_connected(client, now_ms, link, info);
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    epode_host *host = scenario_host(argv[2], getenv(argv[3]), argv[4], argv[1], 0);
    epode_output event = {.struct_size = sizeof event};
    bool online = false;
    good(host, epode_host_start(host));
    while (event.kind != EPODE_OFFLINE) {
        good(host, epode_host_wait(host, -1, &event));
        if (event.kind != EPODE_ONLINE) continue;
        online = true;
        good(host, epode_host_stop(host));
    }
    epode_host_free(host);
    return online ? 0 : 1;
}
