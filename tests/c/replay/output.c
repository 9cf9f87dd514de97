// Writes outputs as the log does, and compares them with it.
#include <inttypes.h>
#include <string.h>

#include "replay.h"

static const char *const endpoints[] = { "", "bosh", "tcp", "websocket", NULL };
static const char *const slots[] = { "", "session", "token", "pins", NULL };

static const char *name_of(uint32_t number, const char *const names[], const char *what)
{
    uint32_t at;

    for (at = 0; names[at]; at++)
        if (at == number && *names[at])
            return names[at];
    die("%s has no name for %" PRIu32, what, number);
}

static json_t *text(epode_slice slice)
{
    json_t *made;

    if (!slice.data)
        return NULL;
    made = json_stringn((const char *)slice.data, slice.len);
    if (!made)
        die("a text is not UTF-8");
    return made;
}

// What is absent is left out, as the log does it.
static void put(json_t *object, const char *name, json_t *value)
{
    if (value)
        json_object_set_new(object, name, value);
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *wrap(const char *name, json_t *fields)
{
    return json_pack("{so}", name, fields);
}

static json_t *connect_entry(const epode_output_connect *connect)
{
    static const char *const begins[] = { "", "direct", "starttls", NULL };
    json_t *fields = json_object(), *place_of = json_object();

    if (connect->endpoint == EPODE_ENDPOINT_TCP) {
        put(place_of, "host", text(connect->host));
        put(place_of, "port", number(connect->port));
        put(place_of, "tls", json_string(name_of(connect->tls, begins, "TLS")));
        if (connect->url.data)
            die("TCP has no URL");
    } else {
        put(place_of, "url", text(connect->url));
        if (connect->host.data || connect->port || connect->tls)
            die("a URL has no host and port beside it");
    }
    put(fields, "link", number(connect->link));
    put(fields, "endpoint", wrap(name_of(connect->endpoint, endpoints, "an endpoint"), place_of));
    put(fields, "server_name", text(connect->server_name));
    put(fields, "identity", text(connect->identity));
    put(fields, "max_message", number(connect->max_message));
    return wrap("connect", fields);
}

static json_t *resolve_entry(const epode_output_resolve *resolve)
{
    json_t *fields = json_object(), *question = json_object();

    if (resolve->question == EPODE_QUESTION_SRV) {
        put(question, "name", text(resolve->name));
    } else {
        put(question, "url", text(resolve->url));
        put(question, "max_bytes", number(resolve->max_bytes));
    }
    put(fields, "query", number(resolve->query));
    put(fields, "question", wrap(resolve->question == EPODE_QUESTION_SRV ? "srv" : "document", question));
    put(fields, "deadline", number(resolve->deadline_ms));
    return wrap("resolve", fields);
}

static json_t *derivation_entry(const epode_output_derive_key *job)
{
    static const char *const hashes[] = { "", "sha1", "sha256", "sha384", "sha512", NULL };
    json_t *fields = json_object();

    put(fields, "hash", json_string(name_of(job->hash, hashes, "a hash")));
    put(fields, "salt", as_bytes(job->salt));
    put(fields, "iterations", number(job->iterations));
    put(fields, "password", text(job->password));
    return fields;
}

// The stanza as the log writes it; what the library took out of it must stand in it.
static json_t *stanza_entry(const epode_stanza *stanza)
{
    static const char *const names[] = { "", "<message", "<presence", "<iq", NULL };
    const char *name = name_of(stanza->kind, names, "a stanza");

    if (!stanza->xml.data || stanza->xml.len < strlen(name) || memcmp(stanza->xml.data, name, strlen(name)) != 0)
        die("the kind of a stanza is not that of its XML");
    return text(stanza->xml);
}

static json_t *online_entry(const epode_output_online *online)
{
    static const char *const proofs[] = { "none", "verified", "absent", NULL };
    static const char *const bindings[] = { "", "tls-exporter", "tls-unique", "tls-server-end-point", NULL };
    static const char *const profiles[] = { "", "sasl1", "sasl2", NULL };
    json_t *fields = json_object();

    if (online->server_proof != (online->proof == EPODE_PROOF_VERIFIED))
        die("server_proof and proof do not agree");
    put(fields, "jid", text(online->jid));
    put(fields, "mechanism", text(online->mechanism));
    put(fields, "server_proof", json_string(name_of(online->proof, proofs, "the proof")));
    if (online->channel_binding != EPODE_BINDING_NONE)
        put(fields, "channel_binding", json_string(name_of(online->channel_binding, bindings, "the binding")));
    if (online->profile != EPODE_SASL_NONE)
        put(fields, "profile", json_string(name_of(online->profile, profiles, "the profile")));
    put(fields, "resumed", json_boolean(online->resumed));
    if (online->client_certificate_requested != EPODE_UNKNOWN)
        put(fields, "client_certificate_requested", json_boolean(online->client_certificate_requested == EPODE_YES));
    put(fields, "round_trips", number(online->round_trips));
    put(fields, "transport", json_string(name_of(online->transport, endpoints, "the transport")));
    return wrap("online", fields);
}

// Why something ended, as numbers; that there is a sentence is checked here.
static json_t *reason_entry(uint32_t group, uint32_t login, epode_slice condition, epode_slice sentence)
{
    json_t *fields = json_object();

    if (!sentence.len)
        die("a reason has no sentence");
    put(fields, "group", number(group));
    put(fields, "login", number(login));
    put(fields, "condition", text(condition));
    return fields;
}

static json_t *done_entry(const epode_output_iq_done *done)
{
    static const char *const outcomes[] = { "", "", "error", "timeout", "disconnected", "cancelled", NULL };
    static const char *const types[] = { "", "auth", "cancel", "continue", "modify", "wait", NULL };
    json_t *fields = json_object(), *result = json_object(), *error;

    if (done->outcome == EPODE_IQ_RESULT) {
        put(result, "Ok", stanza_entry(&done->iq));
    } else if (done->outcome == EPODE_IQ_ERROR) {
        error = json_object();
        put(error, "kind", json_string(name_of(done->error_type, types, "an error")));
        put(error, "condition", text(done->condition));
        put(error, "text", text(done->text));
        put(result, "Err", wrap("error", error));
    } else {
        put(result, "Err", json_string(name_of(done->outcome, outcomes, "an outcome")));
    }
    put(fields, "token", number(done->token));
    put(fields, "result", result);
    return wrap("iq_done", fields);
}

static json_t *event(const epode_output *output)
{
    static const char *const stages[] = { "", "queued", "sent", "acked", "failed", NULL };
    const epode_output_data *data = &output->data;
    json_t *fields = json_object();

    switch (output->kind) {
    case EPODE_ONLINE:
        json_decref(fields);
        return online_entry(&data->online);
    case EPODE_OFFLINE:
        put(fields, "reason", reason_entry(data->offline.group, data->offline.login, data->offline.condition, data->offline.sentence));
        return wrap("offline", fields);
    case EPODE_INTERRUPTED:
        put(fields, "reason", reason_entry(data->interrupted.group, 0, data->interrupted.condition, data->interrupted.sentence));
        if (data->interrupted.retry_at_ms != UINT64_MAX)
            put(fields, "retry_at", number(data->interrupted.retry_at_ms));
        put(fields, "resumable", json_boolean(data->interrupted.resumable));
        return wrap("interrupted", fields);
    case EPODE_STANZA:
        put(fields, "stanza", stanza_entry(&data->stanza));
        if (data->stanza.token)
            put(fields, "token", number(data->stanza.token));
        return wrap("stanza", fields);
    case EPODE_REQUEST:
        put(fields, "token", number(data->request.token));
        put(fields, "iq", stanza_entry(&data->request.iq));
        return wrap("request", fields);
    case EPODE_IQ_DONE:
        json_decref(fields);
        return done_entry(&data->iq_done);
    case EPODE_DELIVERY:
        put(fields, "token", number(data->delivery.token));
        put(fields, "stage", json_string(name_of(data->delivery.stage, stages, "a stage")));
        return wrap("delivery", fields);
    case EPODE_WRITABLE:
        json_decref(fields);
        return json_string("writable");
    case EPODE_WARNING:
        if (!data->warning.sentence.len)
            die("a warning has no sentence");
        put(fields, "code", number(data->warning.code));
        return wrap("warning", fields);
    case EPODE_OFFERED:
        put(fields, "features", text(data->offered.features));
        put(fields, "transport", json_string(name_of(data->offered.transport, endpoints, "the transport")));
        put(fields, "encrypted", json_boolean(data->offered.encrypted));
        return wrap("offered", fields);
    case EPODE_TASK:
        put(fields, "task", text(data->task.task));
        put(fields, "payload", text(data->task.payload));
        put(fields, "text", text(data->task.text));
        return wrap("task", fields);
    default:
        die("an output of kind %" PRIu32, output->kind);
    }
}

json_t *as_entry(const epode_output *output)
{
    const epode_output_data *data = &output->data;
    json_t *fields = json_object();

    switch (output->kind) {
    case EPODE_CONNECT:
        json_decref(fields);
        return connect_entry(&data->connect);
    case EPODE_RESOLVE:
        json_decref(fields);
        return resolve_entry(&data->resolve);
    case EPODE_POST:
        put(fields, "link", number(data->post.link));
        put(fields, "request", number(data->post.request));
        put(fields, "body", as_bytes(data->post.body));
        put(fields, "deadline", number(data->post.deadline_ms));
        return wrap("post", fields);
    case EPODE_ABANDON:
        put(fields, "link", number(data->abandon.link));
        put(fields, "request", number(data->abandon.request));
        return wrap("abandon", fields);
    case EPODE_CLOSE:
        put(fields, "link", number(data->close.link));
        return wrap("close", fields);
    case EPODE_STORE:
        put(fields, "slot", json_string(name_of(data->store.slot, slots, "a slot")));
        put(fields, "append", json_boolean(data->store.append));
        put(fields, "bytes", wrap("secret", as_bytes(data->store.bytes)));
        return wrap("store", fields);
    case EPODE_DERIVE_KEY:
        put(fields, "job", number(data->derive_key.job));
        put(fields, "derivation", derivation_entry(&data->derive_key));
        return wrap("derive_key", fields);
    case EPODE_WRITE:
        put(fields, "link", number(data->write.link));
        put(fields, "bytes", as_bytes(data->write.bytes));
        return wrap("write", fields);
    case EPODE_FRAME:
        put(fields, "link", number(data->frame.link));
        put(fields, "text", text(data->frame.text));
        return wrap("frame", fields);
    case EPODE_START_TLS:
        put(fields, "link", number(data->start_tls.link));
        put(fields, "server_name", text(data->start_tls.server_name));
        return wrap("start_tls", fields);
    default:
        json_decref(fields);
        return wrap("event", event(output));
    }
}

static json_t *reduced_reason(json_t *reason)
{
    static const char *const groups[] = { "", "stopped", "connection", "tls", "login", "incompatible", "misbehaved", "ended", NULL };
    static const char *const logins[] = { "", "refused", "unknown_answer", "no_mechanism", "mechanism", "token_refused", "downgrade",
                                          "channel_binding", "tasks", "no_token", "registration", "unexpected_identity", "bind_refused", NULL };
    json_t *fields, *detail = NULL, *made = json_object(), *condition, *error;
    uint32_t group = place(variant(reason, &fields), groups), login = 0;

    if (group == EPODE_OFFLINE_LOGIN) {
        login = place(variant(fields, &detail), logins);
        error = json_object_get(detail, "error");
        if (login == EPODE_LOGIN_MECHANISM && error) {
            json_t *rest;
            const char *name = variant(error, &rest);

            if (strcmp(name, "key_does_not_fit") == 0)
                login = EPODE_LOGIN_KEY_DOES_NOT_FIT;
            else if (strcmp(name, "offer_changed") == 0 || strcmp(name, "offer_unproved") == 0)
                login = EPODE_LOGIN_OFFER;
        }
        if (login == EPODE_LOGIN_BIND_REFUSED)
            detail = error;
    }
    condition = json_object_get(group == EPODE_OFFLINE_ENDED ? fields : detail, "condition");
    put(made, "group", number(group));
    put(made, "login", number(login));
    if (condition && !json_is_null(condition))
        json_object_set(made, "condition", condition);
    return made;
}

static json_t *reduced_warning(json_t *warning)
{
    static const char *const names[] = { "", "certificate_without_name", "certificate_names_others", "certificate_name_type",
                                         "certificate_names_several", "certificate_unreadable", "resent", "hurried", "dropped", "not_resumed",
                                         "redirected", "no_stream_management", "token_refused", "token_unusable", "token_ignored", "upgraded",
                                         NULL };
    json_t *fields;

    return wrap("code", number(place(variant(warning, &fields), names)));
}

json_t *reduced(json_t *entry)
{
    json_t *made = json_deep_copy(entry), *happened = json_object_get(made, "event"), *fields;
    const char *name;

    if (!happened)
        return made;
    name = variant(happened, &fields);
    if (strcmp(name, "offline") == 0 || strcmp(name, "interrupted") == 0)
        json_object_set_new(fields, "reason", reduced_reason(member(fields, "reason")));
    else if (strcmp(name, "warning") == 0)
        json_object_set_new(happened, name, reduced_warning(fields));
    return made;
}

// Whether two texts are the same but for what the first one hides.
static bool same_text(const char *expected, const char *got)
{
    while (*expected) {
        size_t hidden = placeholder(expected);

        if (hidden) {
            if (strnlen(got, hidden) != hidden)
                return false;
            expected += hidden;
            got += hidden;
        } else if (*expected++ != *got++) {
            return false;
        }
    }
    return !*got;
}

bool same(json_t *expected, json_t *got)
{
    const char *key;
    json_t *value, *other;

    if (json_is_string(expected) && json_is_string(got) && json_string_length(expected) == strlen(json_string_value(expected)))
        return json_string_length(expected) == json_string_length(got) && same_text(json_string_value(expected), json_string_value(got));
    if (!json_is_object(expected) || !json_is_object(got))
        return json_equal(expected, got);
    json_object_foreach(expected, key, value)
        if (!(other = json_object_get(got, key)) || !same(value, other))
            return false;
    return json_object_size(expected) == json_object_size(got);
}
