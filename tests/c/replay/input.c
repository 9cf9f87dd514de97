// Hands the inputs of a log in, each by its function.
#include <stdlib.h>
#include <string.h>

#include "replay.h"

typedef struct failure {
    uint32_t code, alert;
    epode_slice reason;
} failure;

static failure failure_of(json_t *value)
{
    static const char *const kinds[] = { "", "dns", "refused", "timeout", "reset", "tls_alert", "certificate_rejected", "http", "other", NULL };
    json_t *fields;
    failure failed = { .code = place(variant(value, &fields), kinds) };

    if (failed.code == EPODE_FAILURE_TLS_ALERT)
        failed.alert = (uint32_t)number_of(fields);
    else if (failed.code > EPODE_FAILURE_TLS_ALERT)
        failed.reason = text_of(member(fields, "reason"));
    return failed;
}

static uint32_t connected(epode_client *client, uint64_t now, uint64_t link, json_t *info)
{
    static const char *const names[] = { "encrypted", "verified", "tls_version", "client_certificate_requested", "client_certificate", "alpn",
                                         "subprotocol", "channel_bindings", NULL };
    static const char *const verified[] = { "no", "host", "platform", NULL };
    json_t *fields, *bindings = json_object_get(info, "channel_bindings");
    epode_link_info facts = { .struct_size = sizeof facts };

    only(info, names);
    hidden_binding(info);
    facts.encrypted = flag_of(member(info, "encrypted"));
    facts.verified = place(variant(member(info, "verified"), &fields), verified);
    if (fields)
        facts.verified_name = text_of(member(fields, "name"));
    facts.tls_version = text_of(json_object_get(info, "tls_version"));
    facts.client_certificate_requested = known_of(json_object_get(info, "client_certificate_requested"));
    facts.client_certificate = bytes_of(json_object_get(info, "client_certificate"));
    facts.alpn = text_of(json_object_get(info, "alpn"));
    facts.subprotocol = text_of(json_object_get(info, "subprotocol"));
    facts.tls_exporter = bytes_of(json_object_get(bindings, "tls_exporter"));
    facts.tls_unique = bytes_of(json_object_get(bindings, "tls_unique"));
    facts.tls_server_end_point = bytes_of(json_object_get(bindings, "tls_server_end_point"));
    return epode_connected(client, now, link, &facts);
}

static uint32_t responded(epode_client *client, uint64_t now, json_t *fields)
{
    static const char *const names[] = { "version", "server_certificate_sha256", "client_certificate_requested", NULL };
    json_t *tls = json_object_get(fields, "tls");
    epode_tls_facts facts = { .struct_size = sizeof facts };

    if (tls) {
        only(tls, names);
        facts.tls_version = text_of(json_object_get(tls, "version"));
        facts.server_certificate_sha256 = bytes_of(json_object_get(tls, "server_certificate_sha256"));
        facts.client_certificate_requested = known_of(json_object_get(tls, "client_certificate_requested"));
    }
    return epode_responded(client, now, number_of(member(fields, "link")), number_of(member(fields, "request")),
                           (uint32_t)number_of(member(fields, "status")), bytes_of(member(fields, "body")), tls ? &facts : NULL);
}

static uint32_t resolved(epode_client *client, uint64_t now, json_t *fields)
{
    static const char *const kinds[] = { "records", "document", "failed", NULL };
    uint64_t query = number_of(member(fields, "query"));
    epode_srv_record records[64] = { 0 };
    json_t *answer, *record;
    failure failed;
    size_t at;

    switch (place(variant(member(fields, "answer"), &answer), kinds)) {
    case 0:
        if (json_array_size(answer) > sizeof records / sizeof *records)
            die("too many records");
        json_array_foreach(answer, at, record) {
            records[at].priority = (uint16_t)number_of(member(record, "priority"));
            records[at].weight = (uint16_t)number_of(member(record, "weight"));
            records[at].port = (uint16_t)number_of(member(record, "port"));
            records[at].target = text_of(member(record, "target"));
        }
        return epode_resolved_records(client, now, query, records, json_array_size(answer));
    case 1:
        return epode_resolved_document(client, now, query, bytes_of(answer));
    default:
        failed = failure_of(answer);
        return epode_resolved_failed(client, now, query, failed.code, failed.alert, failed.reason);
    }
}

static uint32_t respond(epode_client *client, uint64_t now, json_t *fields)
{
    static const char *const kinds[] = { "Ok", "Err", NULL };
    static const char *const types[] = { "", "auth", "cancel", "continue", "modify", "wait", NULL };
    uint64_t token = number_of(member(fields, "token"));
    json_t *result;

    if (place(variant(member(fields, "result"), &result), kinds) == 0)
        return epode_respond(client, now, token, text_of(result));
    return epode_respond_error(client, now, token, place(json_string_value(member(result, "kind")), types),
                               text_of(member(result, "condition")), text_of(json_object_get(result, "text")));
}

static uint32_t received(epode_client *client, uint64_t now, json_t *fields)
{
    epode_slice bytes = bytes_of(member(fields, "bytes"));
    const char *text = json_string_value(json_object_get(member(fields, "bytes"), "text"));
    char *with_proofs = text ? hidden_received(text) : NULL;
    uint32_t code;

    code = epode_received(client, now, number_of(member(fields, "link")), with_proofs ? epode_text(with_proofs) : bytes);
    free(with_proofs);
    return code;
}

// Derivations that wait for their `derived`.
static struct { uint64_t job; epode_derivation *derivation; } jobs[16];

void keep_derivation(epode_client *client, uint64_t job)
{
    size_t at;

    for (at = 0; at < sizeof jobs / sizeof *jobs; at++)
        if (!jobs[at].derivation) {
            jobs[at].job = job;
            if (epode_derivation_new(client, &jobs[at].derivation) != EPODE_OK)
                die("no derivation");
            return;
        }
    die("too many derivations");
}

void forget_derivations(void)
{
    size_t at;

    for (at = 0; at < sizeof jobs / sizeof *jobs; at++) {
        epode_derivation_free(jobs[at].derivation);
        jobs[at].derivation = NULL;
    }
}

static uint32_t derived(epode_client *client, uint64_t now, json_t *fields)
{
    uint64_t job = number_of(member(fields, "job"));
    epode_slice expected = bytes_of(member(member(fields, "key"), "bytes")), key;
    size_t at;

    for (at = 0; at < sizeof jobs / sizeof *jobs; at++)
        if (jobs[at].derivation && jobs[at].job == job) {
            if (epode_derivation_run(jobs[at].derivation, &key) != EPODE_OK || key.len != expected.len ||
                memcmp(key.data, expected.data, key.len) != 0)
                die("another key is derived");
            return epode_derived(client, now, job, key);
        }
    die("no such derivation");
}

static uint32_t provide(epode_client *client, uint64_t now, json_t *fields)
{
    epode_config *config;
    uint32_t code;

    if (epode_config_new(epode_text(log_account), &config) != EPODE_OK)
        die("no configuration for the new credentials");
    set_credentials(config, member(fields, "credentials"));
    code = epode_provide(client, now, config);
    epode_config_free(config);
    return code;
}

uint32_t play(epode_client *client, uint64_t now, json_t *input)
{
    static const char *const kinds[] = { "start", "stop", "tick", "restore", "clock", "resolved", "connected", "received", "written",
                                         "responded", "failed", "ended", "reading", "network", "foreground", "pause", "handled", "task",
                                         "send", "request", "respond", "cancel",
                                         "derived", "provide", NULL };
    static const char *const slots[] = { "", "session", "token", "pins", NULL }, *const networks[] = { "", "up", "down", "changed", NULL };
    json_t *fields, *timeout;
    failure failed;
    uint64_t token = 0, link;

    switch (place(variant(input, &fields), kinds)) {
    case 0:
        return epode_start(client, now);
    case 1:
        return epode_stop(client, now);
    case 2:
        return epode_tick(client, now);
    case 3:
        return epode_restore(client, now, place(json_string_value(member(fields, "slot")), slots),
                             bytes_of(member(member(fields, "bytes"), "secret")));
    case 4:
        return epode_clock(client, now, number_of(member(fields, "unix_ms")));
    case 5:
        return resolved(client, now, fields);
    case 6:
        return connected(client, now, number_of(member(fields, "link")), member(fields, "info"));
    case 7:
        return received(client, now, fields);
    case 8:
        return epode_written(client, now, number_of(member(fields, "link")), number_of(member(fields, "bytes")));
    case 9:
        return responded(client, now, fields);
    case 10:
        failed = failure_of(member(fields, "reason"));
        link = number_of(member(fields, "link"));
        return epode_failed(client, now, link, json_object_get(fields, "request") ? number_of(member(fields, "request")) : 0, failed.code,
                            failed.alert, failed.reason);
    case 11:
        return epode_ended(client, now, number_of(member(fields, "link")));
    case 12:
        return epode_reading(client, now, number_of(member(fields, "link")), flag_of(member(fields, "reading")));
    case 13:
        return epode_network(client, now, place(json_string_value(fields), networks));
    case 14:
        return epode_foreground(client, now, flag_of(fields));
    case 15:
        return epode_pause(client, now, (uint32_t)number_of(member(fields, "seconds")));
    case 16:
        return epode_handled(client, now, number_of(member(fields, "token")));
    case 17:
        return epode_task(client, now, text_of(json_object_get(fields, "payload")));
    case 18:
        return epode_send(client, now, text_of(member(fields, "stanza")), &token);
    case 19:
        timeout = json_object_get(fields, "timeout");
        return epode_request(client, now, text_of(member(fields, "iq")), json_is_integer(timeout) ? number_of(timeout) : 0, &token);
    case 20:
        return respond(client, now, fields);
    case 21:
        return epode_cancel(client, now, number_of(member(fields, "token")));
    case 22:
        return derived(client, now, fields);
    default:
        return provide(client, now, fields);
    }
}
