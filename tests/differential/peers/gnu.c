/* GNU SASL as the server: EXTERNAL, ANONYMOUS, PLAIN, DIGEST-MD5, SCRAM-SHA-1 and SCRAM-SHA-256 with and without -PLUS. */
#include <gsasl.h>

#include "peer.h"

static struct request setup;

static void set(Gsasl_session *session, Gsasl_property property, const char *name) {
    const char *value = text(&setup, name);
    if (value) gsasl_property_set(session, property, value);
}

/* The name that the client says has to be the account's; SCRAM and DIGEST-MD5 look the password up by it. */
static int is_account(Gsasl_session *session) {
    const char *authid = gsasl_property_fast(session, GSASL_AUTHID);
    const char *user = text(&setup, "user");
    return authid && user && !strcmp(authid, user);
}

static int callback(Gsasl *library, Gsasl_session *session, Gsasl_property property) {
    const char *value;
    (void)library;
    switch (property) {
    case GSASL_PASSWORD:
        if (!is_account(session) || !text(&setup, "password")) return GSASL_NO_PASSWORD;
        set(session, GSASL_PASSWORD, "password");
        return GSASL_OK;
    case GSASL_REALM:
        set(session, GSASL_REALM, "realm");
        return GSASL_OK;
    case GSASL_SCRAM_ITER:
        set(session, GSASL_SCRAM_ITER, "iterations");
        return GSASL_OK;
    case GSASL_SCRAM_SALT:
        set(session, GSASL_SCRAM_SALT, "salt64");
        return GSASL_OK;
    case GSASL_SCRAM_STOREDKEY:
        if (!is_account(session) || !text(&setup, "stored64")) return GSASL_NO_CALLBACK;
        set(session, GSASL_SCRAM_STOREDKEY, "stored64");
        return GSASL_OK;
    case GSASL_SCRAM_SERVERKEY:
        if (!is_account(session) || !text(&setup, "server64")) return GSASL_NO_CALLBACK;
        set(session, GSASL_SCRAM_SERVERKEY, "server64");
        return GSASL_OK;
    case GSASL_CB_TLS_UNIQUE:
        if (!text(&setup, "unique64")) return GSASL_NO_CB_TLS_UNIQUE;
        set(session, GSASL_CB_TLS_UNIQUE, "unique64");
        return GSASL_OK;
    case GSASL_CB_TLS_EXPORTER:
        if (!text(&setup, "exporter64")) return GSASL_NO_CB_TLS_EXPORTER;
        set(session, GSASL_CB_TLS_EXPORTER, "exporter64");
        return GSASL_OK;
    case GSASL_VALIDATE_EXTERNAL:
        /* RFC 4422 appendix A: no identity, or one that the certificate may act as. */
        value = gsasl_property_fast(session, GSASL_AUTHZID);
        if (!value || !*value || (text(&setup, "authzid") && !strcmp(value, text(&setup, "authzid")))) return GSASL_OK;
        return GSASL_AUTHENTICATION_ERROR;
    case GSASL_VALIDATE_ANONYMOUS:
        return text(&setup, "refuse") ? GSASL_AUTHENTICATION_ERROR : GSASL_OK;
    default:
        return GSASL_NO_CALLBACK;
    }
}

int main(void) {
    Gsasl *library;
    Gsasl_session *session = NULL;
    struct request request = {0};
    if (gsasl_init(&library) != GSASL_OK) give_up("gsasl_init failed");
    gsasl_callback_set(library, callback);
    while (next_request(&request)) {
        char *out = NULL;
        size_t length = 0;
        int result;
        if (!strcmp(request.word, "begin")) {
            if (session) gsasl_finish(session);
            forget(&setup);
            setup = request;
            memset(&request, 0, sizeof request);
            result = gsasl_server_start(library, setup.mechanism, &session);
            if (result != GSASL_OK) {
                session = NULL;
                failed(gsasl_strerror_name(result));
            } else {
                answer("ready", NULL, 0, NULL, NULL);
            }
            continue;
        }
        result = session ? gsasl_step(session, request.data.bytes, request.data.length, &out, &length)
                         : GSASL_MECHANISM_CALLED_TOO_MANY_TIMES;
        if (result == GSASL_OK)
            answer("success", length ? out : NULL, length, gsasl_property_fast(session, GSASL_AUTHID),
                   gsasl_property_fast(session, GSASL_AUTHZID));
        else if (result == GSASL_NEEDS_MORE)
            answer("challenge", out ? out : "", length, NULL, NULL);
        else
            failed(gsasl_strerror_name(result));
        gsasl_free(out);
        forget(&request);
    }
    if (session) gsasl_finish(session);
    gsasl_done(library);
    return 0;
}
