/* What the peers in C share: the lines that the tests speak with a peer (see README.md), and hexadecimal. */
#ifndef PEER_H
#define PEER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FIELDS 24

struct value {
    char *bytes; /* a NUL follows the last one */
    size_t length;
};

struct field {
    char name[32];
    struct value value;
};

/* One line: a word, then for `begin` a mechanism and fields. */
struct request {
    char *line;
    char *word;
    char *mechanism;
    struct value data; /* of `step`; bytes is NULL where there is no message at all */
    struct field fields[MAX_FIELDS];
    int count;
};

static void give_up(const char *why) {
    fprintf(stderr, "peer: %s\n", why);
    exit(2);
}

static struct value from_hex(const char *text) {
    struct value value;
    size_t i;
    value.length = strlen(text) / 2;
    value.bytes = malloc(value.length + 1);
    if (!value.bytes) give_up("no memory");
    for (i = 0; i < value.length; i++) {
        unsigned int byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1) give_up("not hexadecimal");
        value.bytes[i] = (char)byte;
    }
    value.bytes[value.length] = '\0';
    return value;
}

static void print_hex(const char *bytes, size_t length) {
    size_t i;
    for (i = 0; i < length; i++) printf("%02x", (unsigned char)bytes[i]);
}

static void forget(struct request *request) {
    int i;
    for (i = 0; i < request->count; i++) free(request->fields[i].value.bytes);
    free(request->data.bytes);
    free(request->line);
    memset(request, 0, sizeof *request);
}

/* The next line, or 0 at the end. */
static int next_request(struct request *request) {
    size_t room = 0;
    ssize_t length;
    char *word;
    request->line = NULL;
    length = getline(&request->line, &room, stdin);
    if (length <= 0) {
        free(request->line);
        request->line = NULL;
        return 0;
    }
    request->word = strtok(request->line, " \n");
    if (!request->word) give_up("an empty line");
    if (!strcmp(request->word, "begin")) {
        request->mechanism = strtok(NULL, " \n");
        while ((word = strtok(NULL, " \n"))) {
            char *equals = strchr(word, '=');
            struct field *field = &request->fields[request->count];
            if (!equals || request->count == MAX_FIELDS) give_up("a bad field");
            *equals = '\0';
            snprintf(field->name, sizeof field->name, "%s", word);
            field->value = from_hex(equals + 1);
            request->count++;
        }
    } else if (!strcmp(request->word, "step")) {
        word = strtok(NULL, " \n");
        if (word && strcmp(word, "-")) request->data = from_hex(strcmp(word, "=") ? word : "");
    } else {
        give_up("an unknown word");
    }
    return 1;
}

static const struct value *find(const struct request *request, const char *name) {
    int i;
    for (i = 0; i < request->count; i++)
        if (!strcmp(request->fields[i].name, name)) return &request->fields[i].value;
    return NULL;
}

static const char *text(const struct request *request, const char *name) {
    const struct value *value = find(request, name);
    return value ? value->bytes : NULL;
}

/* `challenge HEX`, `success HEX|-`, then who was seen. Empty data is written as `=`. */
static void answer(const char *word, const char *bytes, size_t length, const char *user, const char *authzid) {
    printf("%s ", word);
    if (!bytes)
        printf("-");
    else if (!length)
        printf("=");
    else
        print_hex(bytes, length);
    if (user) {
        printf(" user=");
        print_hex(user, strlen(user));
    }
    if (authzid) {
        printf(" authzid=");
        print_hex(authzid, strlen(authzid));
    }
    printf("\n");
    fflush(stdout);
}

static void failed(const char *why) {
    printf("failure ");
    print_hex(why, strlen(why));
    printf("\n");
    fflush(stdout);
}

#endif
