// scenario.h: a host for a test, of what stands on the command line and in the environment.
#ifndef SCENARIO_H
#define SCENARIO_H

#include <epode_host.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void fail(const char *what, epode_slice why) {
    fprintf(stderr, "%s: %.*s\n", what, (int)why.len, (const char *)why.data);
    exit(2);
}

// PLACE is KIND=ADDRESS: tcp=HOST:PORT, direct=HOST:PORT, websocket=URL or bosh=URL.
static inline epode_host *scenario_host(const char *jid, const char *password, const char *place, const char *ca, uint32_t backlog) {
    epode_config *config = NULL;
    uint32_t code = epode_config_new(epode_text(jid), &config);
    const char *address = strchr(place, '=') + 1, *colon = strrchr(address, ':');
    epode_host_options options = {.struct_size = sizeof options, .ca_file = ca, .backlog = backlog};
    epode_slice host = {(const uint8_t *)address, (size_t)(colon - address)};
    uint32_t port = (uint32_t)strtoul(colon + 1, NULL, 10);
    if (!code) code = epode_config_set_password(config, epode_text(password));
    if (!code && !strncmp(place, "tcp=", 4)) code = epode_config_add_tcp(config, host, port, EPODE_TCP_STARTTLS);
    if (!code && !strncmp(place, "direct=", 7)) code = epode_config_add_tcp(config, host, port, EPODE_TCP_DIRECT_TLS);
    if (!code && !strncmp(place, "websocket=", 10)) code = epode_config_add_websocket(config, epode_text(address));
    if (!code && !strncmp(place, "bosh=", 5)) code = epode_config_add_bosh(config, epode_text(address));
    epode_host *made = NULL;
    if (code) fail("configuration", epode_code_sentence(code));
    if (epode_host_new(config, &options, &made)) fail("host", epode_host_last_error(NULL));
    epode_config_free(config);
    return made;
}

static inline void good(epode_host *host, uint32_t code) {
    epode_slice why = epode_host_last_error(host);
    if (code) fail("a call", why.len ? why : epode_code_sentence(code));
}

#endif
