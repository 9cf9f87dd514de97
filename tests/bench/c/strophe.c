// Plays the workload of the benches in libstrophe: `strophe WORKLOAD`. What a runner reads and answers says README.md in the folder above.
//
// Without a socket, what libstrophe does for a stanza is its parser, which makes the stanza, and the functions that an application reads it
// with. The parser is not in the public header, so its few functions are declared here as the static library has them. How a stanza finds
// its handler is left out, since it needs a connection: that is to libstrophe's advantage.
#define _POSIX_C_SOURCE 200809L
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strophe.h>
#include <time.h>

typedef struct _parser_t parser_t;
typedef void (*parser_start_callback)(char *name, char **attributes, void *userdata);
typedef void (*parser_end_callback)(char *name, void *userdata);
typedef void (*parser_stanza_callback)(xmpp_stanza_t *stanza, void *userdata);
parser_t *parser_new(xmpp_ctx_t *context, parser_start_callback start, parser_end_callback end, parser_stanza_callback stanza, void *userdata);
void parser_free(parser_t *parser);
int parser_reset(parser_t *parser);
int parser_feed(parser_t *parser, char *chunk, int length);

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "strophe: %s\n", what);
    exit(EXIT_FAILURE);
}

static json_t *at(json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);

    must(value != NULL, name);
    return value;
}

static size_t seen;

static void started(char *name, char **attributes, void *userdata)
{
    (void)name;
    (void)attributes;
    (void)userdata;
}

static void ended(char *name, void *userdata)
{
    (void)name;
    (void)userdata;
    must(false, "the stream ended");
}

// What an application reads of a message.
static void arrived(xmpp_stanza_t *stanza, void *userdata)
{
    const char *name = xmpp_stanza_get_name(stanza), *from = xmpp_stanza_get_from(stanza);
    char *body = xmpp_message_get_body(stanza);

    (void)userdata;
    if (!from || !body)
        return;
    seen += strlen(name) + strlen(from) + strlen(body);
    xmpp_free(xmpp_stanza_get_context(stanza), body);
}

static void feed(parser_t *parser, const char *bytes, size_t length)
{
    // It takes what may be written to, and does not.
    must(parser_feed(parser, (char *)bytes, (int)length) == 1, "the parser refuses the workload");
}

static double seconds(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int count, char **arguments)
{
    json_t *workload = count == 2 ? json_load_file(arguments[1], 0, NULL) : NULL, *login;
    char *line = NULL;
    size_t room = 0;
    xmpp_ctx_t *context;
    parser_t *parser;

    must(workload != NULL, "usage: strophe WORKLOAD");
    xmpp_initialize();
    context = xmpp_ctx_new(NULL, NULL);
    parser = parser_new(context, started, ended, arrived, NULL);
    // The last stream of the login is the one that stanzas come on.
    login = at(workload, "login");
    must(json_array_size(login) > 3, "the login is another one");
    parser_reset(parser);
    feed(parser, json_string_value(json_array_get(login, 3)), json_string_length(json_array_get(login, 3)));
    puts("ready");
    fflush(stdout);
    while (getline(&line, &room, stdin) != -1) {
        char name[16], size[16], *bytes;
        const char *stanza;
        unsigned long wanted, done;
        size_t at_once, length, copy;
        double began;

        must(sscanf(line, "%15s %15s %lu", name, size, &wanted) == 3, "not a command");
        if (strcmp(name, "nop") == 0) {
            // There is no library to cross into.
            puts("0 0");
            fflush(stdout);
            continue;
        }
        at_once = strcmp(name, "batch") == 0 ? 100 : 1;
        stanza = json_string_value(at(at(at(workload, "sizes"), size), "stanza"));
        length = strlen(stanza) * at_once;
        bytes = malloc(length + 1);
        must(bytes != NULL, "no memory");
        for (copy = 0; copy < at_once; copy++)
            memcpy(bytes + copy * strlen(stanza), stanza, strlen(stanza));
        seen = 0;
        began = seconds();
        for (done = 0; done < wanted; done += at_once)
            feed(parser, bytes, length);
        printf("%.3f %zu\n", (seconds() - began) * 1e9 / (double)wanted, seen);
        fflush(stdout);
        free(bytes);
    }
    free(line);
    parser_free(parser);
    xmpp_ctx_free(context);
    xmpp_shutdown();
    json_decref(workload);
    return EXIT_SUCCESS;
}
