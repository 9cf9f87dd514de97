// What an installed epode has to be able to do, in C11 and in C++17: `program VERSION`.
//
// Checks versions, and the rule of struct_size with structs of another size than the library's: a host may be older or newer than it.
#include <epode.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "program: line %d: not so: %s\n", __LINE__, #condition); \
            exit(EXIT_FAILURE); \
        } \
    } while (0)

// The sizes of the first version of each struct, which every library takes. They never change: programs that were built with it have them.
#define FIRST_OUTPUT 176
#define FIRST_LINK_INFO 64
#define FIRST_TLS_FACTS 40
#define FIRST_ATTACH 96
// What a later version might add.
#define LATER 64

static epode_config *configured(void)
{
    epode_slice none;
    epode_config *config;

    memset(&none, 0, sizeof none);
    MUST(epode_config_new(epode_text("user@example.org"), &config) == EPODE_OK);
    MUST(epode_config_set_certificate(config, epode_text("user"), none) == EPODE_OK);
    MUST(epode_config_add_tcp(config, epode_text("xmpp.example.net"), 5223, EPODE_TCP_DIRECT_TLS) == EPODE_OK);
    return config;
}

// A client that waits for its link.
static epode_client *started(epode_config *config)
{
    uint8_t seed[32];
    epode_client *client;

    memset(seed, 7, sizeof seed);
    MUST(epode_client_new(config, seed, &client) == EPODE_OK);
    MUST(epode_start(client, 1000) == EPODE_OK);
    return client;
}

// One output into a struct of `size` bytes; nothing behind them is touched.
static epode_output next_of_size(epode_client *client, size_t size)
{
    union {
        epode_output output;
        unsigned char bytes[sizeof(epode_output) + LATER];
    } room;
    uint32_t struct_size = (uint32_t)size;
    size_t at;

    memset(&room, 0xa5, sizeof room);
    memcpy(&room, &struct_size, sizeof struct_size);
    MUST(epode_next(client, &room.output) == EPODE_OK);
    MUST(room.output.struct_size == struct_size);
    for (at = size < sizeof room.output ? size : sizeof room.output; at < sizeof room; at++)
        MUST(room.bytes[at] == 0xa5);
    return room.output;
}

static uint32_t link_of_size(epode_client *client, size_t size)
{
    union {
        epode_link_info info;
        unsigned char bytes[sizeof(epode_link_info) + LATER];
    } room;

    // What a newer host sets besides does not matter; what an older one does not have is not read.
    memset(&room, size > sizeof room.info ? 0xa5 : 0, sizeof room);
    memset(&room, 0, size < sizeof room.info ? size : sizeof room.info);
    if (size < sizeof room.info)
        memset(room.bytes + size, 0xa5, sizeof room - size);
    room.info.struct_size = (uint32_t)size;
    room.info.encrypted = 1;
    room.info.verified = EPODE_VERIFIED_HOST;
    room.info.verified_name = epode_text("example.org");
    return epode_connected(client, 1000, 1, &room.info);
}

static void sizes(void)
{
    static const size_t outputs[] = { FIRST_OUTPUT, sizeof(epode_output), sizeof(epode_output) + LATER };
    static const size_t links[] = { FIRST_LINK_INFO, sizeof(epode_link_info), sizeof(epode_link_info) + LATER };
    epode_config *config = configured();
    epode_output output;
    epode_bosh_attach attach;
    epode_tls_facts facts;
    size_t at;

    for (at = 0; at < 3; at++) {
        epode_client *client = started(config);

        output = next_of_size(client, outputs[at]);
        MUST(output.kind == EPODE_CONNECT && output.data.connect.link == 1 && output.data.connect.port == 5223);
        MUST(output.data.connect.host.len == strlen("xmpp.example.net"));
        MUST(link_of_size(client, FIRST_LINK_INFO - 1) == EPODE_STRUCT_SIZE);
        MUST(link_of_size(client, 0) == EPODE_STRUCT_SIZE);
        MUST(link_of_size(client, links[at]) == EPODE_OK);
        // One that does not fit is not lost.
        memset(&output, 0, sizeof output);
        output.struct_size = FIRST_OUTPUT - 1;
        MUST(epode_next(client, &output) == EPODE_STRUCT_SIZE);
        output = next_of_size(client, outputs[at]);
        MUST(output.kind == EPODE_WRITE && output.data.write.bytes.len > 0);
        epode_client_free(client);
    }

    memset(&attach, 0, sizeof attach);
    attach.struct_size = FIRST_ATTACH - 1;
    MUST(epode_config_set_bosh_attach(config, &attach) == EPODE_STRUCT_SIZE);
    {
        epode_client *client = started(config);

        memset(&facts, 0, sizeof facts);
        facts.struct_size = FIRST_TLS_FACTS - 1;
        MUST(epode_responded(client, 1000, 1, 1, 200, epode_text(""), &facts) == EPODE_STRUCT_SIZE);
        epode_client_free(client);
    }
    epode_config_free(config);
}

int main(int count, char **arguments)
{
    epode_slice sentence = epode_code_sentence(EPODE_JID);
    epode_config *config;

    // A host compares the two before anything else.
    MUST(epode_abi_version() == EPODE_ABI_VERSION);
    MUST(count == 2);
    MUST(epode_config_new(epode_text("@"), &config) == EPODE_JID && config == NULL);
    MUST(sentence.len > 0);
    sizes();
    epode_client_free(NULL);
    epode_config_free(NULL);
    epode_derivation_free(NULL);
    printf("epode's ABI is version %" PRIu32 ", %s: %.*s\n", epode_abi_version(), arguments[1], (int)sentence.len, (const char *)sentence.data);
    return EXIT_SUCCESS;
}
