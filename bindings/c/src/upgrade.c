// upgrade.c: the opening handshake of a WebSocket (RFC 6455 section 4): strict, bounded, and for the subprotocol `xmpp` (RFC 7395).
#define _GNU_SOURCE
#include "upgrade.h"
#include <curl/curl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <strings.h>
#include <sys/random.h>

// The head of the answer: more than any server says.
#define MAX_HEAD (16 * 1024)

// RFC 6455 section 1.3: appended to the key, so that only a WebSocket server answers as it should.
static const char suffix[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

static bool where(const char *text, char **host, char **port, char **path, char **query, char **scheme) {
    CURLU *url = allocated(curl_url());
    // libcurl need not know the scheme; ports are ours then.
    bool good = !curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) && !curl_url_get(url, CURLUPART_SCHEME, scheme, 0) &&
                !curl_url_get(url, CURLUPART_HOST, host, 0) && !curl_url_get(url, CURLUPART_PATH, path, 0);
    if (good && curl_url_get(url, CURLUPART_PORT, port, 0)) *port = NULL;
    if (good && curl_url_get(url, CURLUPART_QUERY, query, 0)) *query = NULL;
    curl_url_cleanup(url);
    return good;
}

bool upgrade_prepare(struct upgrade *upgrade, const char *url, char **host, uint32_t *port, bool *tls) {
    char *number = NULL, *path = NULL, *query = NULL, *scheme = NULL;
    uint8_t nonce[16], digest[EVP_MAX_MD_SIZE];
    char key[32], both[80];
    bool good = where(url, host, &number, &path, &query, &scheme) && (!strcasecmp(scheme, "wss") || !strcasecmp(scheme, "ws"));
    if (good) {
        unsigned int len = 0;
        *tls = !strcasecmp(scheme, "wss");
        *port = number ? (uint32_t)strtoul(number, NULL, 10) : *tls ? 443 : 80;
        // RFC 6455 section 4.1: 16 bytes, drawn at random for each connection.
        if (getrandom(nonce, sizeof nonce, 0) != sizeof nonce) abort();
        EVP_EncodeBlock((uint8_t *)key, nonce, sizeof nonce);
        snprintf(both, sizeof both, "%s%s", key, suffix);
        if (!EVP_Digest(both, strlen(both), digest, &len, EVP_sha1(), NULL) || len != 20) abort();
        EVP_EncodeBlock((uint8_t *)upgrade->accept, digest, 20);
        const char *form = "GET %s%s%s HTTP/1.1\r\nHost: %s%s%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                           "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n";
        if (asprintf(&upgrade->request, form, path, query ? "?" : "", query ? query : "", *host, number ? ":" : "", number ? number : "", key) < 0)
            abort();
        size_t bare = strlen(*host);
        // An IPv6 address stands in brackets there.
        if (**host == '[') memmove(*host, *host + 1, bare), (*host)[bare - 2] = 0;
    }
    curl_free(number);
    curl_free(path);
    curl_free(query);
    curl_free(scheme);
    return good;
}

// RFC 9110 section 5.6.1: whether a list has the word.
static bool lists(const char *value, const char *word) {
    size_t len = strlen(word);
    while (*value) {
        value += strspn(value, " \t,");
        size_t next = strcspn(value, " \t,");
        if (next == len && !strncasecmp(value, word, len)) return true;
        value += next;
    }
    return false;
}

static int wrong(struct failure *failure, const char *reason) {
    set_failure(failure, EPODE_FAILURE_HTTP, "%s", reason);
    return STREAM_FAILED;
}

// What was seen in the fields of the answer.
struct fields {
    bool upgrades, connects, accepted;
};

// One line `Name: value`, without its end. NULL, or what is wrong with it.
static const char *field(struct upgrade *upgrade, struct fields *fields, char *line) {
    char *colon = strchr(line, ':');
    // RFC 9112 section 5: no white space before the colon, and none at the beginning (folded lines are obsolete).
    if (!colon || colon == line || strcspn(line, " \t") < (size_t)(colon - line)) return "what the server sent is no HTTP/1.1 answer";
    *colon = 0;
    char *value = colon + 1 + strspn(colon + 1, " \t");
    for (size_t len = strlen(value); len && (value[len - 1] == ' ' || value[len - 1] == '\t'); len--) value[len - 1] = 0;
    if (!strcasecmp(line, "Upgrade")) fields->upgrades |= lists(value, "websocket");
    if (!strcasecmp(line, "Connection")) fields->connects |= lists(value, "upgrade");
    if (!strcasecmp(line, "Sec-WebSocket-Accept")) {
        if (fields->accepted || strcmp(value, upgrade->accept)) return "it is the answer to another request than this one";
        fields->accepted = true;
    }
    // RFC 6455 section 9.1: none was asked for.
    if (!strcasecmp(line, "Sec-WebSocket-Extensions")) return "it uses WebSocket extensions that were not asked for";
    if (!strcasecmp(line, "Sec-WebSocket-Protocol")) {
        // RFC 6455 section 4.1: one that was asked for, once.
        bool printable = true; // RFC 9110 section 5.6.2: a token. The client takes no text that is not UTF-8.
        for (const char *c = value; *c; c++) printable = printable && (unsigned char)*c > ' ' && (unsigned char)*c < 0x7f;
        if (*upgrade->subprotocol || !printable || strlen(value) >= sizeof upgrade->subprotocol)
            return "it selects a subprotocol that was not asked for";
        strcpy(upgrade->subprotocol, value);
    }
    return NULL;
}

int upgrade_judge(struct upgrade *upgrade, struct bytes *in, struct failure *failure) {
    static const char end[] = "\r\n\r\n";
    const char *not_http = "what the server sent is no HTTP/1.1 answer", *why = NULL;
    const uint8_t *begin = in->data + in->begin, *found = memmem(begin, bytes_len(in), end, sizeof end - 1);
    if (bytes_len(in) >= 5 && memcmp(begin, "HTTP/", 5)) return wrong(failure, not_http);
    if (!found) return bytes_len(in) < MAX_HEAD ? STREAM_AGAIN : wrong(failure, "the head of its answer is larger than allowed");
    size_t len = (size_t)(found - begin) + 2;
    if (len > MAX_HEAD) return wrong(failure, "the head of its answer is larger than allowed");
    if (memchr(begin, 0, len)) return wrong(failure, not_http);
    char *head = copy_text(slice(begin, len)), *line = head, *status = head;
    struct fields fields = {0};
    int code = 0, read = 0;
    for (int i = 0; *line && !why; i++) {
        char *next = strstr(line, "\r\n"); // There is one: the head ends with it.
        *next = 0;
        if (strpbrk(line, "\r\n")) why = not_http;
        else if (i > 0) why = field(upgrade, &fields, line);
        else if (sscanf(status, "HTTP/1.1 %3d%n", &code, &read) != 1 || read != 12 || (status[read] && status[read] != ' ')) why = not_http;
        line = next + 2;
    }
    free(head);
    if (!why && code != 101) {
        set_failure(failure, EPODE_FAILURE_HTTP, "its status is %d, and not the 101 of a WebSocket", code);
        return STREAM_FAILED;
    }
    if (!why && (!fields.upgrades || !fields.connects)) why = "it switches to another protocol than WebSocket";
    if (!why && !fields.accepted) why = "it is the answer to another request than this one";
    if (why) return wrong(failure, why);
    bytes_consume(in, len + 2);
    return 0;
}

void upgrade_free(struct upgrade *upgrade) { free(upgrade->request); }
