/* Cyrus SASL as the server: EXTERNAL, ANONYMOUS, PLAIN, DIGEST-MD5, SCRAM with SHA-1, -256, -384 and -512, with and without -PLUS. */
#include <sasl/sasl.h>
#include <sasl/saslplug.h>

#include "peer.h"

static struct request setup;

static int option(void *context, const char *plugin, const char *name, const char **result, unsigned *length) {
    (void)context;
    (void)plugin;
    *result = NULL;
    if (!strcmp(name, "auxprop_plugin")) *result = "memory";
    if (!strcmp(name, "pwcheck_method")) *result = "auxprop";
    if (!strcmp(name, "scram_iteration_counter")) *result = text(&setup, "iterations");
    if (!*result) return SASL_FAIL;
    if (length) *length = (unsigned)strlen(*result);
    return SASL_OK;
}

static int quiet(void *context, int level, const char *message) {
    (void)context;
    if (getenv("EPODE_PEER_LOG")) fprintf(stderr, "cyrus %d: %s\n", level, message);
    return SASL_OK;
}

/* EXTERNAL: whom the certificate may act as. All else: itself. */
static int may_act_as(sasl_conn_t *connection, void *context, const char *requested, unsigned requested_length,
                      const char *authenticated, unsigned authenticated_length, const char *realm, unsigned realm_length,
                      struct propctx *properties) {
    const struct value *authzid = find(&setup, "authzid");
    (void)connection;
    (void)context;
    (void)realm;
    (void)realm_length;
    (void)properties;
    if (requested_length == authenticated_length && !memcmp(requested, authenticated, requested_length)) return SASL_OK;
    if (authzid && authzid->length == requested_length && !memcmp(requested, authzid->bytes, requested_length)) return SASL_OK;
    return SASL_NOAUTHZ;
}

static sasl_callback_t callbacks[] = {
    {SASL_CB_GETOPT, (int (*)(void))option, NULL},
    {SASL_CB_LOG, (int (*)(void))quiet, NULL},
    {SASL_CB_PROXY_POLICY, (int (*)(void))may_act_as, NULL},
    {SASL_CB_LIST_END, NULL, NULL},
};

/* The one account that there is. */
static int lookup(void *context, sasl_server_params_t *parameters, unsigned flags, const char *user, unsigned length) {
    const struct propval *wanted = parameters->utils->prop_get(parameters->propctx);
    const struct value *account = find(&setup, "user");
    const struct value *password = find(&setup, "password");
    (void)context;
    /* EXTERNAL and ANONYMOUS: no password is looked up, and everybody is there. */
    if (!password) return SASL_OK;
    if (!wanted || !account) return SASL_NOUSER;
    /* DIGEST-MD5 asks for name@realm. */
    if (length < account->length || memcmp(user, account->bytes, account->length)) return SASL_NOUSER;
    if (length > account->length && user[account->length] != '@') return SASL_NOUSER;
    for (; wanted->name; wanted++) {
        const char *name = wanted->name;
        if (*name == '*') {
            if (flags & SASL_AUXPROP_AUTHZID) continue;
            name++;
        } else if (!(flags & SASL_AUXPROP_AUTHZID)) {
            continue;
        }
        if (!strcmp(name, SASL_AUX_PASSWORD_PROP))
            parameters->utils->prop_set(parameters->propctx, wanted->name, password->bytes, (int)password->length);
    }
    return SASL_OK;
}

static sasl_auxprop_plug_t memory = {0, 0, NULL, NULL, lookup, "memory", NULL};

static int memory_init(const sasl_utils_t *utils, int maximum, int *version, sasl_auxprop_plug_t **plugin, const char *name) {
    (void)utils;
    (void)name;
    if (maximum < SASL_AUXPROP_PLUG_VERSION) return SASL_BADVERS;
    *version = SASL_AUXPROP_PLUG_VERSION;
    *plugin = &memory;
    return SASL_OK;
}

static sasl_channel_binding_t binding;

static sasl_conn_t *start(void) {
    sasl_conn_t *connection = NULL;
    sasl_security_properties_t security = {0, 0, 0, 0, NULL, NULL};
    const char *realm = text(&setup, "realm");
    if (sasl_server_new("xmpp", text(&setup, "host"), realm, NULL, NULL, callbacks, SASL_SUCCESS_DATA, &connection) != SASL_OK)
        give_up("sasl_server_new failed");
    if (text(&setup, "refuse")) security.security_flags = SASL_SEC_NOANONYMOUS;
    sasl_setprop(connection, SASL_SEC_PROPS, &security);
    if (text(&setup, "external")) sasl_setprop(connection, SASL_AUTH_EXTERNAL, text(&setup, "external"));
    if (find(&setup, "cb-data")) {
        binding.name = text(&setup, "cb-type");
        binding.critical = 0;
        binding.data = (const unsigned char *)find(&setup, "cb-data")->bytes;
        binding.len = find(&setup, "cb-data")->length;
        sasl_setprop(connection, SASL_CHANNEL_BINDING, &binding);
    }
    return connection;
}

int main(void) {
    sasl_conn_t *connection = NULL;
    struct request request = {0};
    int started = 0;
    if (sasl_auxprop_add_plugin("memory", memory_init) != SASL_OK) give_up("sasl_auxprop_add_plugin failed");
    if (sasl_server_init(callbacks, "epode") != SASL_OK) give_up("sasl_server_init failed");
    while (next_request(&request)) {
        const char *out = NULL;
        unsigned length = 0;
        int result;
        if (!strcmp(request.word, "begin")) {
            if (connection) sasl_dispose(&connection);
            forget(&setup);
            setup = request;
            memset(&request, 0, sizeof request);
            connection = start();
            started = 0;
            answer("ready", NULL, 0, NULL, NULL);
            continue;
        }
        if (!connection) give_up("step before begin");
        if (started)
            result = sasl_server_step(connection, request.data.bytes, (unsigned)request.data.length, &out, &length);
        else
            result = sasl_server_start(connection, setup.mechanism, request.data.bytes, (unsigned)request.data.length, &out, &length);
        started = 1;
        if (result == SASL_OK) {
            const void *user = NULL, *authzid = NULL;
            sasl_getprop(connection, SASL_AUTHUSER, &user);
            sasl_getprop(connection, SASL_USERNAME, &authzid);
            answer("success", length ? out : NULL, length, user, authzid);
        } else if (result == SASL_CONTINUE) {
            answer("challenge", out ? out : "", length, NULL, NULL);
        } else {
            failed(sasl_errstring(result, NULL, NULL));
        }
        forget(&request);
    }
    if (connection) sasl_dispose(&connection);
    sasl_done();
    return 0;
}
