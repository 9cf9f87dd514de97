// Plays the workload of the benches through the C ABI: `cabi WORKLOAD`. What a runner reads and answers says README.md in the folder above.
#define _POSIX_C_SOURCE 200809L
#include <epode.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "cabi: %s\n", what);
    exit(EXIT_FAILURE);
}

static json_t *at(json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);

    must(value != NULL, name);
    return value;
}

static epode_slice text(json_t *object, const char *name)
{
    const char *value = json_string_value(at(object, name));

    must(value != NULL, name);
    return epode_text(value);
}

static uint64_t now, link_id;
static bool is_online;

// One turn of a host; gives how many bytes the events had that an application looks at.
static size_t turn(epode_client *client)
{
    static const size_t kinds[] = { 0, sizeof "message" - 1, sizeof "presence" - 1, sizeof "iq" - 1 };
    epode_output output = { .struct_size = sizeof output };
    uint64_t deadline;
    size_t seen = 0;

    while (epode_next(client, &output) == EPODE_OK && output.kind != EPODE_NONE) {
        if (output.kind == EPODE_STANZA)
            seen += kinds[output.data.stanza.kind] + output.data.stanza.from.len + output.data.stanza.body.len;
        is_online |= output.kind == EPODE_ONLINE;
    }
    must(epode_deadline(client, &deadline, NULL) == EPODE_OK && epode_wants_read(client), "the client does not go on");
    return seen;
}

static epode_client *logged_in(json_t *workload)
{
    json_t *settings = at(workload, "client"), *said;
    const char *digits = json_string_value(at(settings, "seed"));
    epode_link_info info = { .struct_size = sizeof info, .encrypted = 1, .verified = EPODE_VERIFIED_HOST };
    epode_slice none = { NULL, 0 };
    epode_config *config;
    epode_client *client;
    uint8_t seed[32];
    size_t index;

    for (index = 0; index < 32; index++) {
        char pair[3] = { digits[2 * index], digits[2 * index + 1], 0 };

        seed[index] = (uint8_t)strtoul(pair, NULL, 16);
    }
    must(epode_config_new(text(settings, "jid"), &config) == EPODE_OK, "the JID");
    must(epode_config_set_certificate(config, text(settings, "certificate"), none) == EPODE_OK, "the certificate");
    must(epode_config_add_tcp(config, text(settings, "host"), (uint32_t)json_integer_value(at(settings, "port")), EPODE_TCP_DIRECT_TLS) == EPODE_OK,
         "the address");
    must(epode_client_new(config, seed, &client) == EPODE_OK, "the configuration");
    epode_config_free(config);
    now = (uint64_t)json_integer_value(at(workload, "now"));
    link_id = (uint64_t)json_integer_value(at(workload, "link"));
    info.verified_name = text(workload, "verified_name");
    must(epode_start(client, now) == EPODE_OK, "the start");
    turn(client);
    must(epode_connected(client, now, link_id, &info) == EPODE_OK, "the connection");
    turn(client);
    json_array_foreach(at(workload, "login"), index, said) {
        must(epode_received(client, now, link_id, epode_text(json_string_value(said))) == EPODE_OK, "the login");
        turn(client);
    }
    must(is_online, "the login of the workload does not fit");
    return client;
}

static double seconds(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int count, char **arguments)
{
    json_t *workload = count == 2 ? json_load_file(arguments[1], 0, NULL) : NULL;
    char *line = NULL;
    size_t room = 0;
    epode_client *client;

    must(workload != NULL, "usage: cabi WORKLOAD");
    client = logged_in(workload);
    puts("ready");
    fflush(stdout);
    while (getline(&line, &room, stdin) != -1) {
        char name[16], size[16], *bytes;
        unsigned long wanted, done;
        size_t seen = 0, at_once, length, copy;
        double began;
        epode_slice stanza;

        must(sscanf(line, "%15s %15s %lu", name, size, &wanted) == 3, "not a command");
        at_once = strcmp(name, "batch") == 0 ? 100 : 1;
        stanza = text(at(at(workload, "sizes"), size), "stanza");
        length = stanza.len * at_once;
        bytes = malloc(length);
        must(bytes != NULL, "no memory");
        for (copy = 0; copy < at_once; copy++)
            memcpy(bytes + copy * stanza.len, stanza.data, stanza.len);
        began = seconds();
        if (strcmp(name, "nop") == 0) {
            for (done = 0; done < wanted; done++)
                must(epode_wants_read(client), "the client does not go on");
        } else {
            for (done = 0; done < wanted; done += at_once) {
                must(epode_received(client, now, link_id, (epode_slice){ (const uint8_t *)bytes, length }) == EPODE_OK, "the stanzas");
                seen += turn(client);
            }
        }
        printf("%.3f %zu\n", (seconds() - began) * 1e9 / (double)wanted, seen);
        fflush(stdout);
        free(bytes);
    }
    free(line);
    epode_client_free(client);
    json_decref(workload);
    return EXIT_SUCCESS;
}
