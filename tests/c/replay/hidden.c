// Gives back what a log hides: a password is made up, and the proofs that the server has to give follow from it (RFC 5802, XEP-0484).
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "replay.h"

const char hidden_password[] = "made up";

// What was said in the present exchange, decoded.
static char mechanism[32], client_first[512], server_first[512], client_final[1024];
static char token[256];
static json_t *bindings;

void hidden_begin(json_t *header)
{
    (void)header;
    mechanism[0] = client_first[0] = server_first[0] = client_final[0] = token[0] = '\0';
    json_decref(bindings);
    bindings = NULL;
}

void hidden_binding(json_t *info)
{
    json_decref(bindings);
    bindings = json_incref(json_object_get(info, "channel_bindings"));
}

size_t placeholder(const char *text)
{
    static const char *const labels[] = { "*password*", "*access-token*", "*client-proof*", "*server-proof*", "*salted-password*", "*login-token*",
                                          "*task-data*", "*channel-binding*", "*session-id*", "*resumption-id*", "*kept-session*", NULL };
    size_t at;

    if (*text != '*')
        return 0;
    for (at = 0; labels[at]; at++) {
        size_t length = strlen(labels[at]);

        if (strncmp(text, labels[at], length) == 0)
            return length + strspn(text + length, "*");
    }
    return 0;
}

static void decode(const char *text, size_t length, char *into, size_t room)
{
    unsigned char *bytes = malloc(length / 4 * 3 + 4);
    int decoded = bytes ? EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)length) : -1;

    // Logs without anything hidden have messages that are no base64, for the client to refuse.
    if (decoded < 0 || (size_t)decoded >= room)
        decoded = 0;
    else
        memcpy(into, bytes, (size_t)decoded);
    // Padding decodes to zeros.
    into[decoded] = '\0';
    free(bytes);
}

// What stands between a tag that begins with `tag` and the next one, decoded; false if there is no such tag.
static bool content(const char *text, const char *tag, char *into, size_t room)
{
    const char *at = strstr(text, tag), *end;

    if (!at || !(at = strchr(at, '>')) || !(end = strchr(at, '<')))
        return false;
    if (!placeholder(at + 1))
        decode(at + 1, (size_t)(end - at - 1), into, room);
    return true;
}

void hidden_written(const char *text)
{
    const char *named = strstr(text, "mechanism='");

    if (named && (strstr(text, "<auth ") || strstr(text, "<authenticate "))) {
        named += strlen("mechanism='");
        snprintf(mechanism, sizeof mechanism, "%.*s", (int)strcspn(named, "'"), named);
        if (strncmp(mechanism, "SCRAM-", 6) == 0 && !content(text, "<initial-response", client_first, sizeof client_first))
            content(text, "<auth ", client_first, sizeof client_first);
    }
    content(text, "<response", client_final, sizeof client_final);
}

static const EVP_MD *digest_of(const char *name)
{
    static const struct { const char *name; const EVP_MD *(*digest)(void); } known[] = {
        { "SCRAM-SHA-1", EVP_sha1 }, { "SCRAM-SHA-256", EVP_sha256 }, { "SCRAM-SHA-384", EVP_sha384 }, { "SCRAM-SHA-512", EVP_sha512 },
    };
    size_t at, length = strlen(name);

    if (length > 5 && strcmp(name + length - 5, "-PLUS") == 0)
        length -= 5;
    for (at = 0; at < sizeof known / sizeof *known; at++)
        if (strlen(known[at].name) == length && strncmp(known[at].name, name, length) == 0)
            return known[at].digest();
    die("this replay cannot be a server of %s", name);
}

// RFC 5802 section 3: the server's signature, as the message that carries it.
static void scram_proof(char *into, size_t room)
{
    const EVP_MD *digest = digest_of(mechanism);
    unsigned char salted[EVP_MAX_MD_SIZE], key[EVP_MAX_MD_SIZE], signature[EVP_MAX_MD_SIZE];
    char salt[256], all[2048], coded[128];
    const char *bare = strchr(client_first, ','), *salted_by = strstr(server_first, ",s="), *counted = strstr(server_first, ",i=");
    const char *proof = strstr(client_final, ",p=");
    int size = EVP_MD_get_size(digest), padding = 0, length;

    if (!bare || !(bare = strchr(bare + 1, ',')) || !salted_by || !counted || !proof)
        die("a proof before the exchange is over");
    salted_by += 3;
    length = (int)strcspn(salted_by, ",");
    decode(salted_by, (size_t)length, salt, sizeof salt);
    while (padding < length && salted_by[length - padding - 1] == '=')
        padding++;
    PKCS5_PBKDF2_HMAC(hidden_password, -1, (const unsigned char *)salt, length / 4 * 3 - padding, atoi(counted + 3), digest, size, salted);
    HMAC(digest, salted, size, (const unsigned char *)"Server Key", 10, key, NULL);
    snprintf(all, sizeof all, "%s,%s,%.*s", bare + 1, server_first, (int)(proof - client_final), client_final);
    HMAC(digest, key, size, (const unsigned char *)all, strlen(all), signature, NULL);
    EVP_EncodeBlock((unsigned char *)coded, signature, size);
    snprintf(all, sizeof all, "v=%s", coded);
    if (strlen(all) / 3 * 4 + 5 > room)
        die("a proof is too long");
    EVP_EncodeBlock((unsigned char *)into, (const unsigned char *)all, (int)strlen(all));
}

// draft-schmaus-kitten-sasl-ht-09 section 3.2: the server knows the token too.
static void token_proof(char *into)
{
    static const char *const kinds[] = { "NONE", "EXPR", "UNIQ", "ENDP", NULL };
    static const char *const names[] = { "", "tls_exporter", "tls_unique", "tls_server_end_point" };
    epode_slice bound = { NULL, 0 };
    unsigned char message[512] = "Responder", proof[EVP_MAX_MD_SIZE];
    uint32_t kind = place(mechanism + strlen("HT-SHA-256-"), kinds);

    if (kind)
        bound = bytes_of(json_object_get(bindings, names[kind]));
    if (bound.len > sizeof message - 9)
        die("a channel binding is too long");
    if (bound.len)
        memcpy(message + 9, bound.data, bound.len);
    HMAC(EVP_sha256(), token, (int)strlen(token), message, 9 + bound.len, proof, NULL);
    EVP_EncodeBlock((unsigned char *)into, proof, 32);
}

char *hidden_received(const char *text)
{
    static const char *const labels[] = { "*server-proof*", "*login-token*", NULL };
    char *made, *at, proof[256];

    content(text, "<challenge", server_first, sizeof server_first);
    made = strdup(text);
    if (!made)
        die("out of memory");
    for (at = made; *at; at++) {
        size_t length = placeholder(at);

        if (!length)
            continue;
        if (strncmp(at, labels[0], strlen(labels[0])) == 0) {
            if (strncmp(mechanism, "HT-SHA-256-", 11) == 0)
                token_proof(proof);
            else
                scram_proof(proof, sizeof proof);
            if (strlen(proof) != length)
                die("the server's proof does not fit where it was");
            memcpy(at, proof, length);
        } else if (strncmp(at, labels[1], strlen(labels[1])) == 0) {
            if (length >= sizeof token)
                die("a token is too long");
            memset(at, 't', length);
            memset(token, 't', length);
            token[length] = '\0';
        } else {
            die("this replay does not know what is hidden here: %.20s", at);
        }
        at += length - 1;
    }
    if (strcmp(made, text) != 0)
        return made;
    free(made);
    return NULL;
}
