// Reads values of the log's JSON as the C ABI takes them.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "replay.h"

const char *log_path = "-";
size_t log_line;

noreturn void die(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fprintf(stderr, "replay: %s:%zu: ", log_path, log_line);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

// Decoded bytes of the present input.
static unsigned char *held[16];
static size_t held_count;

json_t *need(json_t *value, const char *name)
{
    if (!value)
        die("\"%s\" is missing", name);
    return value;
}

json_t *member(json_t *object, const char *name)
{
    return need(json_object_get(object, name), name);
}

const char *variant(json_t *value, json_t **fields)
{
    void *first;

    *fields = NULL;
    if (json_is_string(value))
        return json_string_value(value);
    if (json_object_size(value) != 1)
        die("not a variant");
    first = json_object_iter(value);
    *fields = json_object_iter_value(first);
    return json_object_iter_key(first);
}

void only(json_t *object, const char *const names[])
{
    const char *key;
    json_t *value;

    if (!json_is_object(object))
        die("not an object");
    json_object_foreach(object, key, value)
        place(key, names);
}

uint32_t place(const char *text, const char *const names[])
{
    uint32_t at;

    if (!text)
        die("a text is missing");
    for (at = 0; names[at]; at++)
        if (strcmp(names[at], text) == 0)
            return at;
    die("this replay does not know \"%s\"", text);
}

epode_slice text_of(json_t *value)
{
    epode_slice slice = { NULL, 0 };

    if (!value || json_is_null(value))
        return slice;
    if (!json_is_string(value))
        die("not a text");
    slice.data = (const uint8_t *)json_string_value(value);
    slice.len = json_string_length(value);
    return slice;
}

uint64_t number_of(json_t *value)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        die("not a number");
    return (uint64_t)json_integer_value(value);
}

bool flag_of(json_t *value)
{
    if (!json_is_boolean(value))
        die("neither true nor false");
    return json_is_true(value);
}

uint32_t known_of(json_t *value)
{
    if (!value || json_is_null(value))
        return EPODE_UNKNOWN;
    return flag_of(value) ? EPODE_YES : EPODE_NO;
}

epode_slice bytes_of(json_t *value)
{
    static const char *const kinds[] = { "text", "base64", NULL };
    epode_slice slice = { NULL, 0 };
    json_t *fields;
    size_t length, padding = 0;
    const char *text;

    if (!value || json_is_null(value))
        return slice;
    if (place(variant(value, &fields), kinds) == 0)
        return text_of(fields);
    text = json_string_value(fields);
    length = strlen(text);
    if (held_count == sizeof held / sizeof *held)
        die("too many bytes in one input");
    while (padding < length && text[length - padding - 1] == '=')
        padding++;
    held[held_count] = malloc(length / 4 * 3 + 1);
    if (!held[held_count] || EVP_DecodeBlock(held[held_count], (const unsigned char *)text, (int)length) < 0)
        die("not base64");
    slice.data = held[held_count++];
    slice.len = length / 4 * 3 - padding;
    return slice;
}

void let_go(void)
{
    while (held_count)
        free(held[--held_count]);
}

json_t *as_bytes(epode_slice bytes)
{
    // As the log does: text where they are UTF-8.
    json_t *text = json_stringn((const char *)(bytes.data ? bytes.data : (const uint8_t *)""), bytes.len), *coded;
    char *base64;

    if (text)
        return json_pack("{so}", "text", text);
    base64 = malloc((bytes.len + 2) / 3 * 4 + 1);
    if (!base64)
        die("out of memory");
    EVP_EncodeBlock((unsigned char *)base64, bytes.data, (int)bytes.len);
    coded = json_pack("{ss}", "base64", base64);
    free(base64);
    return coded;
}
