// Plays vectors through the C ABI: `vectors scram.json jid.json`.
//
// Of each SCRAM exchange the key that epode_derivation_* derives (RFC 5802 section 3); of each JID what a client that is configured with it
// says to a server (RFC 7622), or why it cannot be.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "replay.h"

#define HEADER "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' id='1' from='%s'>"
#define SASL "urn:ietf:params:xml:ns:xmpp-sasl"

static const uint8_t seed[32] = "the seed of a vector's client...";
// What the client wrote since the last input, and the last output of another kind that matters.
static char written[16384];
// For which name the server's certificate has to be valid.
static char server_name[2048];
static epode_output last;

static void must(uint32_t code, const char *what)
{
    if (code != EPODE_OK)
        die("%s gives %" PRIu32 ": %s", what, code, (const char *)epode_code_sentence(code).data);
}

// Stops at a DeriveKey, whose slices belong to the client until the next call.
static void drain(epode_client *client)
{
    written[0] = '\0';
    last = (epode_output){ .struct_size = sizeof last };
    for (;;) {
        must(epode_next(client, &last), "epode_next");
        if (last.kind == EPODE_NONE || last.kind == EPODE_DERIVE_KEY)
            return;
        if (last.kind == EPODE_OFFLINE)
            die("offline: %.*s", (int)last.data.offline.sentence.len, (const char *)last.data.offline.sentence.data);
        if (last.kind == EPODE_CONNECT)
            snprintf(server_name, sizeof server_name, "%.*s", (int)last.data.connect.server_name.len,
                     (const char *)last.data.connect.server_name.data);
        if (last.kind == EPODE_WRITE)
            snprintf(written + strlen(written), sizeof written - strlen(written), "%.*s", (int)last.data.write.bytes.len,
                     (const char *)last.data.write.bytes.data);
    }
}

static void says(epode_client *client, const char *text)
{
    must(epode_received(client, 1000, 1, epode_text(text)), "epode_received");
    drain(client);
}

// A client of this configuration, whose TLS is up.
static epode_client *begun(epode_config *config)
{
    epode_link_info info = { .struct_size = sizeof info, .encrypted = 1, .verified = EPODE_VERIFIED_HOST };
    epode_client *client;
    uint32_t code;

    must(epode_config_add_tcp(config, epode_text("xmpp.example.net"), 5223, EPODE_TCP_DIRECT_TLS), "epode_config_add_tcp");
    code = epode_client_new(config, seed, &client);
    if (code != EPODE_OK) {
        epode_slice sentence;

        must(epode_config_last_error(config, &sentence), "epode_config_last_error");
        die("no client: %.*s", (int)sentence.len, (const char *)sentence.data);
    }
    epode_config_free(config);
    must(epode_start(client, 1000), "epode_start");
    drain(client);
    info.verified_name = epode_text(server_name);
    must(epode_connected(client, 1000, 1, &info), "epode_connected");
    drain(client);
    return client;
}

static void opens(epode_client *client, const char *domain, const char *features)
{
    char text[4096];

    snprintf(text, sizeof text, HEADER "<stream:features>%s</stream:features>", domain, features);
    says(client, text);
}

static void hex_is(const uint8_t *bytes, json_t *expected, const char *what)
{
    const char *digits = json_string_value(expected);
    size_t at;

    for (at = 0; digits[2 * at]; at++) {
        char pair[3];

        snprintf(pair, sizeof pair, "%02x", bytes[at]);
        if (strncmp(pair, digits + 2 * at, 2) != 0)
            die("%s is another one", what);
    }
}

static void scram(json_t *exchange)
{
    static const char *const names[] = { "", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-384", "SCRAM-SHA-512", NULL };
    static const size_t sizes[] = { 0, 20, 32, 48, 64 };
    const char *name = json_string_value(member(exchange, "mechanism")), *plus = strstr(name, "-PLUS");
    const char *first = json_string_value(member(exchange, "server_first")), *salt = strstr(first, ",s=") + 3, *counted = strstr(first, ",i=") + 3;
    char mechanism[32], text[4096], message[1024], said[512] = "";
    unsigned char salted[64], bytes[256];
    epode_config *config;
    epode_client *client;
    epode_derivation *derivation;
    epode_slice key, again;
    uint8_t *kept;
    uint32_t hash;
    size_t at;
    char *response;

    snprintf(mechanism, sizeof mechanism, "%.*s", plus ? (int)(plus - name) : (int)strlen(name), name);
    hash = place(mechanism, names);
    must(epode_config_new(epode_text("user@example.org"), &config), "epode_config_new");
    must(epode_config_set_password(config, text_of(member(exchange, "password"))), "epode_config_set_password");
    must(epode_config_set_key_derivation(config, EPODE_DERIVE_HOST), "epode_config_set_key_derivation");
    client = begun(config);
    snprintf(text, sizeof text, "<mechanisms xmlns='" SASL "'><mechanism>%s</mechanism></mechanisms>", mechanism);
    opens(client, "example.org", text);
    response = strstr(written, "<auth ");
    if (!response || !(response = strchr(response, '>')))
        die("the client does not begin with %s", mechanism);
    EVP_DecodeBlock((unsigned char *)said, (unsigned char *)response + 1, (int)strcspn(response + 1, "<"));
    if (!(response = strstr(said, ",r=")))
        die("no nonce");
    // The vector's salt and count, for the nonce of this client.
    snprintf(message, sizeof message, "%sserver,s=%.*s,i=%.*s", response + 1, (int)strcspn(salt, ","), salt, (int)strcspn(counted, ","), counted);
    EVP_EncodeBlock((unsigned char *)said, (unsigned char *)message, (int)strlen(message));
    snprintf(text, sizeof text, "<challenge xmlns='" SASL "'>%s</challenge>", said);
    says(client, text);

    if (last.kind != EPODE_DERIVE_KEY || last.data.derive_key.hash != hash || last.data.derive_key.iterations != (uint32_t)atoi(counted))
        die("no derivation by %s and %d iterations", mechanism, atoi(counted));
    EVP_DecodeBlock(bytes, (const unsigned char *)salt, (int)strcspn(salt, ","));
    if (memcmp(bytes, last.data.derive_key.salt.data, last.data.derive_key.salt.len) != 0)
        die("another salt");
    must(epode_derivation_new(client, &derivation), "epode_derivation_new");
    must(epode_derivation_run(derivation, &key), "epode_derivation_run");
    if (key.len < 2 * sizes[hash])
        die("a key that is too short");
    hex_is(key.data + key.len - 2 * sizes[hash], member(exchange, "client_key"), "the client's key");
    hex_is(key.data + key.len - sizes[hash], member(exchange, "server_key"), "the server's key");
    if (!(kept = malloc(key.len)))
        die("out of memory");
    memcpy(kept, key.data, key.len);
    // A platform's own PBKDF2 comes to the same.
    for (at = 0; at < sizes[hash]; at++) {
        char pair[3] = { 0 };

        memcpy(pair, json_string_value(member(exchange, "salted_password")) + 2 * at, 2);
        salted[at] = (unsigned char)strtoul(pair, NULL, 16);
    }
    must(epode_derivation_with_salted_password(derivation, (epode_slice){ salted, sizes[hash] }, &again), "epode_derivation_with_salted_password");
    if (again.len != key.len || memcmp(again.data, kept, again.len) != 0)
        die("the salted password leads to another key");
    must(epode_derived(client, 1000, last.data.derive_key.job, (epode_slice){ kept, again.len }), "epode_derived");
    drain(client);
    if (!strstr(written, "<response "))
        die("the client does not go on with the key");
    free(kept);
    epode_derivation_free(derivation);
    epode_client_free(client);
}

static void contains(const char *format, const char *value)
{
    char text[8192];

    snprintf(text, sizeof text, format, value);
    if (!strstr(written, text))
        die("the client does not say %s, but: %s", text, written);
}

// The parts of the vector's `out`, which are what the client has to say.
static void valid_jid(const char *in, const char *out)
{
    char bare[4096], *domain = bare, *at;
    const char *resource = strchr(out, '/');
    bool has_account;
    epode_config *config;
    epode_client *client;

    snprintf(bare, sizeof bare, "%.*s", (int)(resource ? resource - out : (ptrdiff_t)strlen(out)), out);
    has_account = (at = strchr(bare, '@')) != NULL;
    if (has_account)
        domain = at + 1;
    must(epode_config_new(epode_text(in), &config), in);
    if (!has_account) {
        must(epode_config_set_no_credentials(config), "epode_config_set_no_credentials");
        client = begun(config);
        contains(" to='%s'", domain);
        epode_client_free(client);
        return;
    }
    must(epode_config_set_certificate(config, epode_text("label"), (epode_slice){ NULL, 0 }), "epode_config_set_certificate");
    client = begun(config);
    contains(" to='%s'", domain);
    contains(" from='%s'", bare);
    opens(client, domain, "<mechanisms xmlns='" SASL "'><mechanism>EXTERNAL</mechanism></mechanisms>");
    says(client, "<success xmlns='" SASL "'/>");
    opens(client, domain, "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>");
    if (resource)
        contains("<resource>%s</resource>", resource + 1);
    else
        contains("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>%s", "");
    epode_client_free(client);
}

static void invalid_jid(epode_slice in)
{
    epode_config *config = (epode_config *)1;
    uint32_t code = epode_config_new(in, &config);

    if (code != EPODE_JID || config)
        die("%.*s gives code %" PRIu32, (int)in.len, (const char *)in.data, code);
}

static char *repeated(const char *text, size_t times)
{
    char *made = malloc(strlen(text) * times + 1), *at = made;

    if (!made)
        die("out of memory");
    while (times--)
        at = stpcpy(at, text);
    return made;
}

static void length(json_t *row)
{
    static const char *const parts[] = { "local", "domain", "resource", NULL };
    static const char *const formats[] = { "%s@example.org", "x@%s", "x@example.org/%s" };
    char *part = repeated(json_string_value(member(row, "repeat")), number_of(member(row, "times")));
    const char *format = formats[place(json_string_value(member(row, "part")), parts)];
    size_t room = strlen(part) + 32;
    char *jid = malloc(room);
    epode_config *config;

    if (!jid)
        die("out of memory");
    snprintf(jid, room, format, part);
    if (flag_of(member(row, "valid"))) {
        must(epode_config_new(epode_text(jid), &config), "a long part");
        epode_config_free(config);
    } else {
        invalid_jid(epode_text(jid));
    }
    free(jid);
    free(part);
}

static json_t *read_vectors(const char *path)
{
    json_error_t error;
    json_t *file = json_load_file(path, JSON_ALLOW_NUL, &error);

    log_path = path;
    log_line = 0;
    if (!file)
        die("%s", error.text);
    return file;
}

int main(int count, char **arguments)
{
    json_t *file, *row;
    size_t at, rows = 0;

    if (count != 3) {
        fputs("usage: vectors scram.json jid.json\n", stderr);
        return EXIT_FAILURE;
    }
    file = read_vectors(arguments[1]);
    json_array_foreach(member(file, "exchanges"), at, row) {
        log_line = at + 1;
        scram(row);
        rows++;
    }
    printf("%s: %zu keys\n", log_path, rows);
    if (rows < 10)
        die("only %zu exchanges", rows);
    json_decref(file);
    file = read_vectors(arguments[2]);
    rows = 0;
    json_array_foreach(member(file, "valid"), at, row) {
        log_line = at + 1;
        valid_jid(json_string_value(member(row, "in")), json_string_value(member(row, "out")));
        rows++;
    }
    json_array_foreach(member(file, "invalid"), at, row) {
        log_line = at + 1;
        invalid_jid(text_of(member(row, "in")));
        rows++;
    }
    json_array_foreach(member(file, "lengths"), at, row) {
        log_line = at + 1;
        length(row);
        rows++;
    }
    printf("%s: %zu addresses\n", log_path, rows);
    if (rows < 80)
        die("only %zu addresses", rows);
    json_decref(file);
    return EXIT_SUCCESS;
}
