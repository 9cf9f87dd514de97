// echo.c: answers every chat message with its own text. EPODE_PASSWORD=... echo JID [CA-FILE [HOST:PORT of direct TLS]]
#include <epode_host.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int complain(epode_slice why) {
    fprintf(stderr, "echo: %.*s\n", (int)why.len, (const char *)why.data);
    return EXIT_FAILURE;
}

int main(int argc, char **argv) {
    const char *password = getenv("EPODE_PASSWORD");
    epode_config *config = NULL;
    if (argc < 2 || !password || epode_config_new(epode_text(argv[1]), &config)) return complain(epode_text("give a JID, and EPODE_PASSWORD"));
    epode_config_set_password(config, epode_text(password));
    char *port = argc > 3 ? strrchr(argv[3], ':') : NULL;
    if (port) epode_config_add_tcp(config, (epode_slice){(uint8_t *)argv[3], port - argv[3]}, strtoul(port + 1, NULL, 10), EPODE_TCP_DIRECT_TLS);

    epode_host_options options = {.struct_size = sizeof options, .ca_file = argc > 2 ? argv[2] : NULL};
    epode_host *host = NULL;
    uint32_t code = epode_host_new(config, &options, &host);
    epode_config_free(config);
    if (code) return complain(epode_host_last_error(NULL));

    epode_output event = {.struct_size = sizeof event};
    for (epode_host_start(host); !(code = epode_host_wait(host, -1, &event)) && event.kind != EPODE_OFFLINE;) {
        const epode_stanza *stanza = &event.data.stanza;
        epode_client *client = epode_host_client(host);
        if (event.kind == EPODE_ONLINE) epode_send(client, epode_host_now(), epode_text("<presence xmlns='jabber:client'/>"), NULL);
        // Not an error, or two bots would answer each other's for ever.
        bool chat = event.kind == EPODE_STANZA && stanza->kind == EPODE_MESSAGE && stanza->type.len == 4 && !memcmp(stanza->type.data, "chat", 4);
        if (chat && stanza->body.data) epode_send_chat(client, epode_host_now(), stanza->from, stanza->body, NULL);
    }
    complain(code ? epode_host_last_error(host) : event.data.offline.sentence);
    epode_host_free(host);
    return EXIT_FAILURE;
}
