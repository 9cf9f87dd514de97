// memory.c: buffers, texts, and the sentences of failures.
#define _GNU_SOURCE
#include "host.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void *allocated(void *memory) {
    if (!memory) abort();
    return memory;
}

char *copy_text(epode_slice text) { return allocated(strndup(text.len ? (const char *)text.data : "", text.len)); }

epode_slice slice(const void *data, size_t len) { return (epode_slice){.data = data, .len = len}; }

size_t bytes_len(const struct bytes *bytes) { return bytes->end - bytes->begin; }

void bytes_append(struct bytes *bytes, const void *data, size_t len) {
    if (!len) return;
    if (len > bytes->capacity - bytes->end) {
        // A new buffer, and not realloc: what is left behind is overwritten.
        struct bytes grown = {.end = bytes_len(bytes), .capacity = 2 * (bytes_len(bytes) + len)};
        grown.data = allocated(malloc(grown.capacity));
        if (grown.end) memcpy(grown.data, bytes->data + bytes->begin, grown.end);
        bytes_free(bytes);
        *bytes = grown;
    }
    memcpy(bytes->data + bytes->end, data, len);
    bytes->end += len;
}

void bytes_consume(struct bytes *bytes, size_t len) {
    bytes->begin += len;
    // An empty one is given back: a link that is quiet costs nothing.
    if (bytes->begin == bytes->end) bytes_free(bytes);
}

void bytes_free(struct bytes *bytes) {
    if (bytes->data) explicit_bzero(bytes->data, bytes->capacity);
    free(bytes->data);
    *bytes = (struct bytes){0};
}

void set_failure(struct failure *failure, uint32_t kind, const char *format, ...) {
    va_list values;
    va_start(values, format);
    *failure = (struct failure){.kind = kind};
    vsnprintf(failure->reason, sizeof failure->reason, format, values);
    va_end(values);
}

void set_errno(struct failure *failure, int error) {
    switch (error) {
    case ECONNREFUSED: set_failure(failure, EPODE_FAILURE_REFUSED, "%s", ""); break;
    case ETIMEDOUT: set_failure(failure, EPODE_FAILURE_TIMEOUT, "%s", ""); break;
    case 0: // OpenSSL says so where the peer went without a word.
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE: set_failure(failure, EPODE_FAILURE_RESET, "%s", ""); break;
    case EHOSTUNREACH:
    case ENETUNREACH:
        set_failure(failure, EPODE_FAILURE_OTHER, "there is no route to the server: is this machine on the network?");
        break;
    default: set_failure(failure, EPODE_FAILURE_OTHER, "the connection failed: %s", strerrordesc_np(error)); break;
    }
}
