// Plays the golden logs through the C ABI, as a host in C would, and compares every output to the byte: `replay LOG...`.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"

static void differs(const char *what, json_t *expected, json_t *got)
{
    char *left = expected ? json_dumps(expected, JSON_COMPACT) : NULL;
    char *right = got ? json_dumps(got, JSON_COMPACT) : NULL;

    die("%s\n  the log: %s\n  the library: %s", what, left ? left : "nothing", right ? right : "nothing");
}

// All outputs of a turn, each as the log writes it.
static void drain(epode_client *client, json_t *outputs)
{
    epode_output output = { .struct_size = sizeof output };
    uint32_t code;

    while ((code = epode_next(client, &output)) == EPODE_OK && output.kind != EPODE_NONE) {
        json_t *entry = as_entry(&output);

        if (output.kind == EPODE_WRITE || output.kind == EPODE_FRAME) {
            json_t *out = member(entry, output.kind == EPODE_WRITE ? "write" : "frame");
            json_t *bytes = json_object_get(out, "bytes");
            const char *text = json_string_value(bytes ? json_object_get(bytes, "text") : member(out, "text"));

            if (text)
                hidden_written(text);
        }
        json_array_append_new(outputs, entry);
        if (output.kind == EPODE_DERIVE_KEY)
            keep_derivation(client, output.data.derive_key.job);
    }
    if (code != EPODE_OK)
        die("epode_next gives %" PRIu32, code);
}

static json_t *parsed(const char *line)
{
    json_error_t error;
    json_t *entry = json_loads(line, JSON_ALLOW_NUL, &error);

    if (!entry)
        die("no JSON: %s", error.text);
    return entry;
}

static void replay(const char *path)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0, inputs = 0, outputs = 0;
    epode_client *client = NULL;
    json_t *waiting = json_array();

    log_path = path;
    log_line = 0;
    if (!file)
        die("cannot be read");
    while (getline(&line, &room, file) != -1) {
        json_t *entry, *input;

        log_line++;
        if (strspn(line, " \t\r\n") == strlen(line))
            continue;
        entry = parsed(line);
        if (!client) {
            hidden_begin(entry);
            client = new_client(entry);
        } else if ((input = json_object_get(entry, "in"))) {
            uint32_t code;

            if (json_array_size(waiting))
                differs("an output that the log does not have", NULL, json_array_get(waiting, 0));
            code = play(client, number_of(member(entry, "now")), input);
            // A refusal is part of the recorded life; anything else is a mistake of this program's.
            if (code != EPODE_OK && (code < EPODE_ALREADY_STARTED || code > EPODE_REFUSED))
                die("the input gives code %" PRIu32 ": %s", code, (const char *)epode_code_sentence(code).data);
            let_go();
            inputs++;
            drain(client, waiting);
        } else {
            json_t *expected = reduced(member(entry, "out")), *got = json_array_get(waiting, 0);

            if (!got || !same(expected, got))
                differs("not the same output", expected, got);
            json_array_remove(waiting, 0);
            json_decref(expected);
            outputs++;
        }
        json_decref(entry);
    }
    if (json_array_size(waiting))
        differs("an output that the log does not have", NULL, json_array_get(waiting, 0));
    // A log that was cut short would pass otherwise.
    if (inputs < 5 || outputs < 5)
        die("only %zu inputs and %zu outputs", inputs, outputs);
    printf("%s: %zu inputs, %zu outputs\n", path, inputs, outputs);
    forget_derivations();
    epode_client_free(client);
    json_decref(waiting);
    free(line);
    fclose(file);
}

int main(int count, char **arguments)
{
    int at;

    if (epode_abi_version() != EPODE_ABI_VERSION) {
        fprintf(stderr, "replay: the header is of ABI %d, the library of %" PRIu32 "\n", EPODE_ABI_VERSION, epode_abi_version());
        return EXIT_FAILURE;
    }
    if (count < 2) {
        fputs("usage: replay LOG...\n", stderr);
        return EXIT_FAILURE;
    }
    for (at = 1; at < count; at++)
        replay(arguments[at]);
    return EXIT_SUCCESS;
}
