// Makes the client that the first line of a log describes.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"

char log_account[3072];
// The configuration that is being made.
static epode_config *config;

static void must(uint32_t code)
{
    epode_slice sentence = epode_code_sentence(code);

    if (code == EPODE_OK)
        return;
    epode_config_last_error(config, &sentence);
    die("the configuration: code %" PRIu32 ": %.*s", code, (int)sentence.len, (const char *)sentence.data);
}

// What stands for "never" is null in the log.
static uint64_t unless_never(json_t *value)
{
    return json_is_null(value) || !value ? UINT64_MAX : number_of(value);
}

static uint64_t unless_null(json_t *value)
{
    return json_is_null(value) || !value ? 0 : number_of(value);
}

static uint32_t small(json_t *value)
{
    return (uint32_t)number_of(value);
}

static void attach(json_t *fields)
{
    static const char *const names[] = { "sid", "jid", "next_rid", "wait", "hold", "requests", "inactivity", "polling", "maxpause", "acknowledges",
                                         "keys", NULL };
    json_t *keys = json_object_get(fields, "keys");
    epode_bosh_attach attach = { .struct_size = sizeof attach };

    only(fields, names);
    attach.sid = bytes_of(member(member(fields, "sid"), "secret"));
    attach.jid = text_of(member(fields, "jid"));
    attach.next_rid = number_of(member(fields, "next_rid"));
    attach.wait = small(member(fields, "wait"));
    attach.hold = small(member(fields, "hold"));
    attach.requests = small(member(fields, "requests"));
    attach.inactivity = (uint32_t)unless_null(json_object_get(fields, "inactivity"));
    attach.polling = (uint32_t)unless_null(json_object_get(fields, "polling"));
    attach.maxpause = (uint32_t)unless_null(json_object_get(fields, "maxpause"));
    attach.acknowledges = flag_of(member(fields, "acknowledges"));
    if (keys) {
        attach.key_seed = bytes_of(member(member(keys, "seed"), "secret"));
        attach.next_key = small(member(keys, "next"));
    }
    must(epode_config_set_bosh_attach(config, &attach));
    let_go();
}

static void bosh(json_t *fields)
{
    static const char *const names[] = { "url", "wait", "hold", "ack", "first_rid", "max_requests", "key_sequence", "attach", NULL };
    json_t *value;

    only(fields, names);
    must(epode_config_add_bosh(config, text_of(member(fields, "url"))));
    must(epode_config_set_bosh_wait(config, small(member(fields, "wait"))));
    must(epode_config_set_bosh_hold(config, small(member(fields, "hold"))));
    must(epode_config_set_bosh_ack(config, flag_of(member(fields, "ack"))));
    must(epode_config_set_bosh_max_requests(config, small(member(fields, "max_requests"))));
    must(epode_config_set_bosh_first_rid(config, unless_null(json_object_get(fields, "first_rid"))));
    if ((value = json_object_get(fields, "key_sequence")))
        must(epode_config_set_bosh_key_sequence(config, flag_of(value)));
    if ((value = json_object_get(fields, "attach")) && !json_is_null(value))
        attach(value);
}

static void transports(json_t *list)
{
    static const char *const kinds[] = { "bosh", "websocket", "tcp", "discover", NULL };
    static const char *const begins[] = { "direct", "starttls", NULL };
    json_t *entry, *fields;
    size_t at;

    json_array_foreach(list, at, entry) {
        switch (place(variant(entry, &fields), kinds)) {
        case 0:
            bosh(fields);
            break;
        case 1:
            must(epode_config_add_websocket(config, text_of(member(fields, "url"))));
            break;
        case 2:
            must(epode_config_add_tcp(config, text_of(member(fields, "host")), small(member(fields, "port")),
                                      EPODE_TCP_DIRECT_TLS + place(json_string_value(member(fields, "tls")), begins)));
            break;
        default:
            must(epode_config_add_discovery(config, flag_of(member(fields, "tcp")), flag_of(member(fields, "websocket")),
                                            flag_of(member(fields, "bosh"))));
        }
    }
}

// Where a log is masked, a secret is the word `secret`: what is made up stands for it.
static epode_slice secret_of(json_t *value)
{
    const char *text = json_string_value(value);

    return text && strcmp(text, "secret") == 0 ? epode_text(hidden_password) : text_of(value);
}

void set_credentials(epode_config *into, json_t *value)
{
    static const char *const kinds[] = { "nothing", "certificate", "password", "certificate_and_password", "access_token",
                                         "kept_token", "anonymous", "new_account", "scram_key", NULL };
    epode_slice none = { NULL, 0 };
    epode_config *outer = config;
    json_t *fields;

    config = into;
    switch (place(variant(value, &fields), kinds)) {
    case 0:
        must(epode_config_set_no_credentials(config));
        break;
    case 1:
        must(epode_config_set_certificate(config, text_of(member(fields, "identity")), bytes_of(member(fields, "der"))));
        break;
    case 2:
        must(epode_config_set_password(config, secret_of(member(fields, "password"))));
        break;
    case 3:
        must(epode_config_set_certificate(config, text_of(member(fields, "identity")), none));
        must(epode_config_set_password(config, secret_of(member(fields, "password"))));
        break;
    case 4:
        must(epode_config_set_access_token(config, secret_of(member(fields, "token"))));
        break;
    case 5:
        must(epode_config_set_kept_token(config));
        break;
    case 6:
        must(epode_config_set_anonymous(config));
        break;
    case 7:
        must(epode_config_set_new_account(config, secret_of(member(fields, "password"))));
        break;
    default:
        must(epode_config_set_scram_key(config, bytes_of(member(member(fields, "key"), "bytes"))));
    }
    let_go();
    config = outer;
}

static void mechanisms(json_t *policy)
{
    static const char *const names[] = { "allow_plain", "digest_md5", "least", "scram", "sasl2", "pipeline", "pin", "pin_channel_binding",
                                         "allow_missing_ht_server_proof", "upgrade", "channel_bindings", "only", NULL };
    static const char *const bindings[] = { "", "tls-exporter", "tls-unique", "tls-server-end-point", NULL };
    json_t *digest = json_object_get(policy, "digest_md5"), *scram = member(policy, "scram"), *entry;
    bool is_allowed = json_is_object(digest);
    size_t at;

    only(policy, names);
    must(epode_config_set_allow_plain(config, flag_of(member(policy, "allow_plain"))));
    must(epode_config_set_digest_md5(config, is_allowed, text_of(is_allowed ? json_object_get(digest, "realm") : NULL),
                                     is_allowed && flag_of(member(digest, "always_utf8"))));
    must(epode_config_set_least_mechanism(config, text_of(json_object_get(policy, "least"))));
    must(epode_config_set_scram_iterations(config, small(member(scram, "min")), small(member(scram, "max"))));
    must(epode_config_set_sasl2(config, flag_of(member(policy, "sasl2"))));
    must(epode_config_set_pipeline(config, flag_of(member(policy, "pipeline"))));
    must(epode_config_set_pin(config, flag_of(member(policy, "pin")), flag_of(member(policy, "pin_channel_binding"))));
    must(epode_config_set_allow_missing_ht_server_proof(config, flag_of(member(policy, "allow_missing_ht_server_proof"))));
    must(epode_config_set_upgrade(config, flag_of(member(policy, "upgrade"))));
    json_array_foreach(json_object_get(policy, "channel_bindings"), at, entry)
        must(epode_config_add_channel_binding(config, place(json_string_value(entry), bindings)));
    json_array_foreach(json_object_get(policy, "only"), at, entry)
        must(epode_config_add_mechanism(config, text_of(entry)));
}

static void numbered(json_t *object, const char *const names[], uint32_t (*set)(epode_config *, uint32_t, uint64_t))
{
    const char *key;
    json_t *value;

    // The numbers of the ABI begin with 1, in the order of the log.
    json_object_foreach(object, key, value)
        must(set(config, place(key, names) + 1, number_of(value)));
}

static void life(json_t *settings)
{
    static const char *const when[] = { "after_online", "never", "always", NULL };
    json_t *reconnect = member(settings, "reconnect"), *management = member(settings, "stream_management");
    json_t *liveness = member(settings, "liveness");

    must(epode_config_set_reconnect(config, place(json_string_value(member(reconnect, "when")), when)));
    must(epode_config_set_reconnect_delays(config, number_of(member(reconnect, "first")), number_of(member(reconnect, "second")),
                                           number_of(member(reconnect, "longest")),
                                           (uint32_t)unless_null(json_object_get(reconnect, "attempts"))));
    must(epode_config_set_stream_management(config, flag_of(member(management, "enabled")), flag_of(member(management, "resume")),
                                            (uint32_t)unless_null(json_object_get(management, "max"))));
    must(epode_config_set_acknowledgement_requests(config, small(member(management, "request_after")),
                                                   number_of(member(management, "request_when_quiet"))));
    must(epode_config_set_resend_uncertain(config, flag_of(member(management, "resend_uncertain"))));
    must(epode_config_set_liveness(config, unless_never(json_object_get(liveness, "ask_after")),
                                   number_of(member(liveness, "answer_within")),
                                   unless_never(json_object_get(liveness, "keep_alive_after"))));
}

static void seed_of(json_t *header, uint8_t seed[32])
{
    const char *digits = json_string_value(member(header, "seed_is_secret"));
    size_t at;

    if (!digits || strlen(digits) != 64)
        die("the seed is not 64 digits");
    for (at = 0; at < 32; at++) {
        char pair[3] = { digits[2 * at], digits[2 * at + 1], 0 }, *end;

        seed[at] = (uint8_t)strtoul(pair, &end, 16);
        if (*end)
            die("the seed is not hexadecimal");
    }
}

epode_client *new_client(json_t *header)
{
    static const char *const names[] = { "jid", "credentials", "transports", "authzid", "tls", "mechanisms", "limits", "timeouts", "reconnect",
                                         "stream_management", "liveness", "persist", "acknowledge", "user_agent", "fast", "bind",
                                         "key_derivation", "tasks", "language", "answered_namespaces", NULL };
    static const char *const limits[] = { "element_before_login", "element", "bosh_body", "depth", "attributes", "namespaces",
                                          "attribute_value", "outbound_stanza", "outbound_queue", "inbound_queue", "pending_requests",
                                          "unacknowledged", NULL };
    static const char *const timeouts[] = { "connect", "negotiation", "close", "iq", "discovery", "fallback", NULL };
    static const char *const authzid[] = { "auto", "always", "never", NULL }, *const tls[] = { "required", "allow_plaintext", NULL };
    static const char *const persist[] = { "off", "on_suspend", "every_turn", NULL };
    static const char *const acknowledge[] = { "automatic", "manual", NULL };
    static const char *const fast[] = { "use", "off", "invalidate", NULL }, *const who[] = { "inline", "host", NULL };
    json_t *settings = member(header, "config"), *value, *entry;
    epode_client *client;
    uint8_t seed[32];
    size_t at;

    if (number_of(member(header, "epode")) != 1)
        die("the log is of another version");
    only(settings, names);
    snprintf(log_account, sizeof log_account, "%s", json_string_value(member(settings, "jid")));
    must(epode_config_new(text_of(member(settings, "jid")), &config));
    transports(member(settings, "transports"));
    set_credentials(config, member(settings, "credentials"));
    if ((value = json_object_get(settings, "mechanisms")))
        mechanisms(value);
    numbered(member(settings, "limits"), limits, epode_config_set_limit);
    // What is as usual is left out.
    numbered(json_object_get(settings, "timeouts"), timeouts, epode_config_set_timeout);
    life(settings);
    must(epode_config_set_authzid(config, place(json_string_value(member(settings, "authzid")), authzid)));
    must(epode_config_set_tls(config, place(json_string_value(member(settings, "tls")), tls)));
    must(epode_config_set_persist(config, place(json_string_value(member(settings, "persist")), persist)));
    must(epode_config_set_acknowledge(config, place(json_string_value(member(settings, "acknowledge")), acknowledge)));
    if ((value = json_object_get(settings, "user_agent")))
        must(epode_config_set_user_agent(config, text_of(json_object_get(value, "id")), text_of(json_object_get(value, "software")),
                                         text_of(json_object_get(value, "device"))));
    if ((value = json_object_get(settings, "bind")))
        must(epode_config_set_bind(config, text_of(member(value, "tag")), flag_of(member(value, "carbons"))));
    must(epode_config_set_fast(config, place(json_string_value(member(settings, "fast")), fast)));
    must(epode_config_set_key_derivation(config, place(json_string_value(member(settings, "key_derivation")), who)));
    must(epode_config_set_language(config, text_of(member(settings, "language"))));
    json_array_foreach(member(settings, "tasks"), at, entry)
        must(epode_config_add_task(config, text_of(entry)));
    json_array_foreach(member(settings, "answered_namespaces"), at, entry)
        must(epode_config_answer(config, text_of(entry)));
    seed_of(header, seed);
    must(epode_client_new(config, seed, &client));
    epode_config_free(config);
    config = NULL;
    return client;
}
