// tls.c: how TLS is set up, what a connection shows, and what a broken one means.
#define _GNU_SOURCE
#include "host.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

// Called when the server asks for a client certificate, and only then.
static int asked(SSL *ssl, void *seen) {
    (void)ssl;
    ((struct seen *)seen)->asked = true;
    return 1;
}

static void watch_handshake(const SSL *ssl, int where, int value) {
    struct seen *seen = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    if (!seen) return;
    if (where & SSL_CB_HANDSHAKE_DONE) seen->version = SSL_version(ssl);
    int alert = value & 0xff;
    // Before TLS 1.3 there are warnings, after which both go on: of a server name that is not known, for example.
    if (value >> 8 != SSL3_AL_FATAL) return;
    // RFC 8446 section 6.1: these two end a connection, and are no failure.
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && alert != SSL_AD_CLOSE_NOTIFY && alert != SSL_AD_USER_CANCELLED) seen->alert = alert;
}

static int verify(X509_STORE_CTX *context, void *user) {
    struct seen *seen = user;
    uint8_t digest[32];
    unsigned int len = sizeof digest;
    int verified = X509_verify_cert(context);
    X509 *leaf = X509_STORE_CTX_get0_cert(context);
    seen->verify_error = verified > 0 ? X509_V_OK : X509_STORE_CTX_get_error(context);
    if (verified <= 0) return 0;
    if (!leaf || !X509_digest(leaf, EVP_sha256(), digest, &len)) return 0;
    // XEP-0124 section 17.1: one session, one certificate. Nothing is sent to whoever shows another one.
    if (seen->pinned && seen->leaf_known && memcmp(seen->leaf, digest, sizeof digest)) {
        seen->changed = true;
        X509_STORE_CTX_set_error(context, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    memcpy(seen->leaf, digest, sizeof digest);
    return seen->leaf_known = true;
}

void tls_configure(SSL_CTX *context, const epode_host *host, bool present, struct seen *seen) {
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    // A resumed connection cannot say whether a certificate was asked for, and the server may judge by that connection.
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set1_cert_store(context, host->store);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(context, verify, seen);
    SSL_CTX_set_app_data(context, seen);
    // libcurl has set one where the environment has SSLKEYLOGFILE, which hands every secret to a file.
    SSL_CTX_set_keylog_callback(context, NULL);
    SSL_CTX_set_info_callback(context, watch_handshake);
    SSL_CTX_set_cert_cb(context, asked, seen);
    // Whatever authorities the server names: the user chose it, and servers name too few.
    if (present && host->certificate) SSL_CTX_use_cert_and_key(context, host->certificate, host->key, host->chain, 1);
    ERR_clear_error();
}

// Whether it was one of the two ends that refused the other's certificate or handshake.
bool tls_judged(struct failure *failure, const struct seen *seen) {
    if (seen->changed) {
        set_failure(failure, EPODE_FAILURE_CERTIFICATE_REJECTED,
                    "it changed in the middle of the session, so nothing was sent to whoever showed the new one");
    } else if (seen->verify_error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY || seen->verify_error == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN) {
        set_failure(failure, EPODE_FAILURE_CERTIFICATE_REJECTED, "none of the authorities that are trusted here has signed it");
    } else if (seen->verify_error == X509_V_ERR_HOSTNAME_MISMATCH || seen->verify_error == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        set_failure(failure, EPODE_FAILURE_CERTIFICATE_REJECTED, "it is for another name than the server's");
    } else if (seen->verify_error != X509_V_OK) {
        set_failure(failure, EPODE_FAILURE_CERTIFICATE_REJECTED, "%s", X509_verify_cert_error_string(seen->verify_error));
    } else if (seen->alert) {
        set_failure(failure, EPODE_FAILURE_TLS_ALERT, "%s", "");
        failure->alert = (uint32_t)seen->alert;
    } else {
        return false;
    }
    return true;
}

// What a call of OpenSSL that gave `result` means; errno is still its own.
void tls_failure(struct failure *failure, const struct seen *seen, const SSL *ssl, int result) {
    int error = errno, kind = SSL_get_error(ssl, result);
    unsigned long reason = ERR_peek_last_error();
    if (tls_judged(failure, seen)) {
    } else if (kind == SSL_ERROR_SYSCALL) {
        set_errno(failure, error);
    } else if (ERR_GET_REASON(reason) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        set_failure(failure, EPODE_FAILURE_RESET, "%s", "");
    } else if (ERR_GET_REASON(reason) == SSL_R_WRONG_VERSION_NUMBER || ERR_GET_REASON(reason) == SSL_R_PACKET_LENGTH_TOO_LONG) {
        set_failure(failure, EPODE_FAILURE_OTHER, "the server does not speak TLS at this port: is it the right one?");
    } else {
        const char *why = ERR_reason_error_string(reason);
        set_failure(failure, EPODE_FAILURE_OTHER, "TLS failed: %s", why ? why : "for an unknown reason");
    }
    ERR_clear_error();
}

// RFC 5929 section 4.1: the hash of the server's certificate, by the hash function of its signature.
static size_t end_point(const X509 *certificate, uint8_t *digest) {
    int hash = NID_undef, key = NID_undef;
    uint32_t flags = 0;
    unsigned int len = 0;
    if (!X509_get_signature_info((X509 *)certificate, &hash, &key, NULL, &flags)) return 0;
    // None, or more than one, as with Ed25519, or with RSASSA-PSS where the mask's hash differs: not defined.
    if (hash == NID_undef || (key == EVP_PKEY_RSA_PSS && !(flags & X509_SIG_INFO_TLS))) return 0;
    if (hash == NID_md5 || hash == NID_sha1 || hash == NID_md5_sha1) hash = NID_sha256;
    const EVP_MD *function = EVP_get_digestbynid(hash);
    return function && X509_digest(certificate, function, digest, &len) ? len : 0;
}

// What is known once the handshake is done.
void tls_facts(SSL *ssl, const struct link *link, const struct seen *seen, const char *name, struct facts *facts, epode_link_info *info) {
    static const char label[] = "EXPORTER-Channel-Binding"; // RFC 9266 section 4.1
    *facts = (struct facts){.certificate = NULL};
    *info = (epode_link_info){.struct_size = sizeof *info, .encrypted = 1, .verified = EPODE_VERIFIED_HOST, .verified_name = epode_text(name)};
    info->client_certificate_requested = seen->asked ? EPODE_YES : EPODE_NO;
    const char *version = SSL_get_version(ssl); // As TLSv1.3.
    snprintf(facts->version, sizeof facts->version, "%s", strncmp(version, "TLSv", 4) ? version : version + 4);
    info->tls_version = epode_text(facts->version);
    const unsigned char *alpn = NULL;
    unsigned int len = 0;
    SSL_get0_alpn_selected(ssl, &alpn, &len);
    if (len && len < sizeof facts->alpn) {
        memcpy(facts->alpn, alpn, len);
        info->alpn = slice(facts->alpn, len);
    }
    if (link->present && link->host->certificate) {
        int size = i2d_X509(link->host->certificate, &facts->certificate);
        if (size > 0) info->client_certificate = slice(facts->certificate, (size_t)size);
    }
    bool tls13 = SSL_version(ssl) >= TLS1_3_VERSION;
    // RFC 9266 section 4.2, RFC 7627 section 6.2: before TLS 1.3 only where the extended master secret was negotiated.
    bool unique = tls13 || SSL_get_extms_support(ssl) == 1;
    // RFC 9266 section 2: 32 bytes, and a context that is there and empty.
    if (unique && SSL_export_keying_material(ssl, facts->exporter, sizeof facts->exporter, label, sizeof label - 1, (const uint8_t *)"", 0, 1) == 1)
        info->tls_exporter = slice(facts->exporter, sizeof facts->exporter);
    // RFC 5929 section 3: the first Finished of the handshake. It is the client's, as no session is resumed; TLS 1.3 has no such value.
    if (unique && !tls13 && !SSL_session_reused(ssl)) {
        size_t size = SSL_get_finished(ssl, facts->unique, sizeof facts->unique);
        if (size && size <= sizeof facts->unique) info->tls_unique = slice(facts->unique, size);
    }
    X509 *server = SSL_get0_peer_certificate(ssl);
    size_t size = server ? end_point(server, facts->end_point) : 0;
    if (size) info->tls_server_end_point = slice(facts->end_point, size);
    ERR_clear_error();
}
