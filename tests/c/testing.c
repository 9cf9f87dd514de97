// Bugs on purpose, with the library that tests/c/sanitize builds: `testing panic`, `testing read OFFSET`, `testing leak`.
//
// Only that library has these functions: they are in no header, and in no library that ships.
#include <epode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint32_t epode_testing_panic(epode_client *client);
uint8_t epode_testing_read(size_t at);
void epode_testing_leak(void);

#define MUST(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "testing: line %d: not so: %s\n", __LINE__, #condition); \
            exit(EXIT_FAILURE); \
        } \
    } while (0)

static epode_client *started(void)
{
    static const uint8_t seed[32] = { 1 };
    epode_config *config;
    epode_client *client;

    MUST(epode_config_new(epode_text("user@example.org"), &config) == EPODE_OK);
    MUST(epode_config_set_password(config, epode_text("pencil")) == EPODE_OK);
    MUST(epode_client_new(config, seed, &client) == EPODE_OK);
    epode_config_free(config);
    MUST(epode_start(client, 1000) == EPODE_OK);
    return client;
}

// What a host sees of a bug of the library's: the call, one last output, silence; and nothing on standard error.
static void panics(void)
{
    epode_client *client = started(), *other = started();
    epode_output output = { 0 };
    epode_slice sentence;
    uint64_t at = 1;

    output.struct_size = sizeof output;
    MUST(epode_testing_panic(client) == EPODE_PANIC);
    MUST(epode_deadline(client, &at, NULL) == EPODE_OK && at == 0);
    MUST(epode_next(client, &output) == EPODE_OK && output.kind == EPODE_OFFLINE);
    MUST(output.data.offline.group == EPODE_OFFLINE_INTERNAL);
    sentence = output.data.offline.sentence;
    printf("%.*s\n", (int)sentence.len, (const char *)sentence.data);
    MUST(sentence.len > 0 && memchr(sentence.data, ':', sentence.len) != NULL);
    MUST(epode_next(client, &output) == EPODE_OK && output.kind == EPODE_NONE);
    MUST(epode_next(client, &output) == EPODE_OK && output.kind == EPODE_NONE);
    MUST(epode_deadline(client, &at, &sentence) == EPODE_OK && at == UINT64_MAX && sentence.data == NULL);
    MUST(epode_start(client, 2000) == EPODE_PANIC && epode_tick(client, 2000) == EPODE_PANIC && epode_stop(client, 2000) == EPODE_PANIC);
    MUST(!epode_wants_read(client));
    // Another client never notices.
    MUST(epode_next(other, &output) == EPODE_OK && output.kind == EPODE_RESOLVE);
    MUST(epode_stop(other, 2000) == EPODE_OK);
    epode_client_free(other);
    epode_client_free(client);
}

int main(int count, char **arguments)
{
    if (count == 2 && strcmp(arguments[1], "panic") == 0)
        panics();
    else if (count == 3 && strcmp(arguments[1], "read") == 0)
        MUST(epode_testing_read((size_t)atoi(arguments[2])) == 7);
    else if (count == 2 && strcmp(arguments[1], "leak") == 0)
        epode_testing_leak();
    else
        return 2;
    return EXIT_SUCCESS;
}
