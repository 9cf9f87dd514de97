// TLS by OpenSSL: client certificates, trust, handshakes that do not wait, and what they showed.
#define _GNU_SOURCE // timegm
#include "CEpodeLinux.h"
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

struct epode_identity {
    X509 *leaf;
    EVP_PKEY *key;
    STACK_OF(X509) * chain;
};

// ---- identities

static void say(char *why, size_t size, const char *text) {
    snprintf(why, size, "%s", text);
    ERR_clear_error();
}

static int give_password(char *buffer, int size, int writing, void *password) {
    (void)writing;
    // Without one, OpenSSL would ask on the terminal.
    size_t length = password ? strlen(password) : 0;
    if (length > (size_t)size) return -1;
    memcpy(buffer, password ? password : "", length);
    return (int)length;
}

// Takes over what it is given, which may be NULL.
static epode_identity *whole(X509 *leaf, EVP_PKEY *key, STACK_OF(X509) * chain, char *why, size_t why_size) {
    epode_identity *identity = leaf && key ? calloc(1, sizeof *identity) : NULL;
    if (!leaf) say(why, why_size, "there is no certificate in it");
    else if (!key) say(why, why_size, "there is no private key in it, or its password is wrong");
    else if (X509_check_private_key(leaf, key) != 1) {
        say(why, why_size, "the private key does not belong to the certificate: give the two that were made together");
        free(identity);
        identity = NULL;
    }
    if (!identity) {
        X509_free(leaf);
        EVP_PKEY_free(key);
        OSSL_STACK_OF_X509_free(chain);
        return NULL;
    }
    *identity = (epode_identity){leaf, key, chain};
    ERR_clear_error();
    return identity;
}

epode_identity *epode_identity_from_pem(const uint8_t *certificate, size_t certificate_size, const uint8_t *key, size_t key_size,
                                        const char *password, char *why, size_t why_size) {
    BIO *certificates = BIO_new_mem_buf(certificate, (int)certificate_size), *keys = BIO_new_mem_buf(key, (int)key_size);
    STACK_OF(X509) *chain = sk_X509_new_null();
    X509 *leaf = NULL;
    EVP_PKEY *private_key = NULL;
    if (certificates && keys && chain) {
        leaf = PEM_read_bio_X509(certificates, NULL, give_password, NULL);
        X509 *next;
        while (leaf && (next = PEM_read_bio_X509(certificates, NULL, give_password, NULL))) sk_X509_push(chain, next);
        private_key = PEM_read_bio_PrivateKey(keys, NULL, give_password, (void *)password);
    }
    BIO_free(certificates);
    BIO_free(keys);
    return whole(leaf, private_key, chain, why, why_size);
}

epode_identity *epode_identity_from_pkcs12(const uint8_t *bytes, size_t size, const char *password, char *why, size_t why_size) {
    PKCS12 *file = d2i_PKCS12(NULL, &bytes, (long)size);
    X509 *leaf = NULL;
    EVP_PKEY *key = NULL;
    STACK_OF(X509) *chain = NULL;
    if (!file) {
        say(why, why_size, "it is no PKCS#12");
        return NULL;
    }
    if (!PKCS12_verify_mac(file, password, -1)) {
        say(why, why_size, "the password is wrong, or the file is damaged");
        PKCS12_free(file);
        return NULL;
    }
    int read = PKCS12_parse(file, password, &key, &leaf, &chain);
    PKCS12_free(file);
    if (!read) {
        say(why, why_size, "it is encrypted in a way that OpenSSL does not read here: write it anew with a current program");
        return NULL;
    }
    return whole(leaf, key, chain, why, why_size);
}

void epode_identity_free(epode_identity *identity) {
    if (!identity) return;
    X509_free(identity->leaf);
    EVP_PKEY_free(identity->key);
    OSSL_STACK_OF_X509_free(identity->chain);
    free(identity);
}

size_t epode_identity_leaf(const epode_identity *identity, uint8_t *der) {
    int size = i2d_X509(identity->leaf, der ? &der : NULL);
    return size > 0 ? (size_t)size : 0;
}

static int64_t unix_time(const ASN1_TIME *time) {
    struct tm parts;
    if (!ASN1_TIME_to_tm(time, &parts)) return 0;
    return timegm(&parts);
}

int64_t epode_identity_valid_from(const epode_identity *identity) { return unix_time(X509_get0_notBefore(identity->leaf)); }

int64_t epode_identity_valid_until(const epode_identity *identity) { return unix_time(X509_get0_notAfter(identity->leaf)); }

bool epode_identity_is_for_clients(const epode_identity *identity) {
    uint32_t usage = X509_get_extended_key_usage(identity->leaf);
    // All bits are set where the extension is missing: then it is for everything.
    return usage == UINT32_MAX || (usage & (XKU_SSL_CLIENT | XKU_ANYEKU)) != 0;
}

// ---- trust

X509_STORE *epode_trust(const uint8_t *pem, size_t size, char *why, size_t why_size) {
    X509_STORE *store = X509_STORE_new();
    if (!store) return NULL;
    if (!pem) {
        // Those that OpenSSL was built with, and not what the environment says.
        X509_STORE_load_file(store, X509_get_default_cert_file());
        X509_STORE_load_path(store, X509_get_default_cert_dir());
        ERR_clear_error();
        return store;
    }
    BIO *bytes = BIO_new_mem_buf(pem, (int)size);
    int count = 0;
    X509 *authority;
    while (bytes && (authority = PEM_read_bio_X509(bytes, NULL, give_password, NULL))) {
        count += X509_STORE_add_cert(store, authority);
        X509_free(authority);
    }
    BIO_free(bytes);
    ERR_clear_error();
    if (count) return store;
    X509_STORE_free(store);
    say(why, why_size, "there is no certificate in PEM in it");
    return NULL;
}

const char *epode_rejection(long code) {
    switch (code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "it has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "it is not valid yet; check the clock of this machine";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return "none of the authorities that are trusted here has signed it";
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return "its signature is wrong, or its authority only has the same name as one that is trusted here";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return "it is for another name than the server's";
    case X509_V_ERR_INVALID_PURPOSE:
        return "it is not meant for servers";
    case X509_V_ERR_CERT_REVOKED:
        return "it was revoked";
    default:
        return X509_verify_cert_error_string(code);
    }
}

// ---- contexts

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int asked_index;

static void make_index(void) { asked_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL); }

// Called when the server asks for a certificate. The one identity is presented whatever authorities the server names: the user chose it.
static int asked(SSL *tls, void *identity) {
    const epode_identity *mine = identity;
    SSL_set_ex_data(tls, asked_index, tls);
    if (mine && SSL_use_cert_and_key(tls, mine->leaf, mine->key, mine->chain, 1) != 1) ERR_clear_error();
    return 1;
}

void epode_tls_prepare(SSL_CTX *context, X509_STORE *trust, const epode_identity *identity) {
    pthread_once(&once, make_index);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set1_cert_store(context, trust);
    // A resumed connection does not say whether a certificate was asked for.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_cert_cb(context, asked, (void *)identity);
}

static bool is_address(const char *name) {
    unsigned char address[16];
    return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

SSL *epode_tls_new(int socket, X509_STORE *trust, const epode_identity *identity, const char *server_name, const char *alpn) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context) return NULL;
    epode_tls_prepare(context, trust, identity);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL *tls = SSL_new(context);
    SSL_CTX_free(context);
    bool ready = tls && SSL_set_fd(tls, socket) == 1;
    if (ready && is_address(server_name)) {
        ready = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), server_name) == 1;
    } else if (ready) {
        SSL_set_hostflags(tls, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
        ready = SSL_set1_host(tls, server_name) == 1 && SSL_set_tlsext_host_name(tls, server_name) == 1;
    }
    if (ready && alpn) {
        uint8_t list[32];
        size_t size = strlen(alpn);
        ready = size < sizeof list;
        if (ready) {
            list[0] = (uint8_t)size;
            memcpy(list + 1, alpn, size);
            // 0 is success here.
            ready = SSL_set_alpn_protos(tls, list, (unsigned)size + 1) == 0;
        }
    }
    if (ready) {
        SSL_set_connect_state(tls);
        return tls;
    }
    SSL_free(tls);
    ERR_clear_error();
    return NULL;
}

// ---- steps

static epode_step broken(int error) {
    epode_step step = {.outcome = EPODE_RESET};
    if (error && error != EPIPE && error != ECONNRESET && error != ECONNABORTED) {
        step.outcome = EPODE_FAILED;
        snprintf(step.why, sizeof step.why, "the connection failed: %s", strerror(error));
    }
    return step;
}

static epode_step plain(ssize_t result, epode_outcome waits) {
    if (result >= 0) return (epode_step){.count = (size_t)result};
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return (epode_step){.outcome = waits};
    return broken(errno);
}

epode_step epode_plain_read(int socket, uint8_t *bytes, size_t size) {
    epode_step step = plain(recv(socket, bytes, size, 0), EPODE_WANTS_READ);
    if (step.outcome == EPODE_DONE && step.count == 0) step.outcome = EPODE_CLOSED;
    return step;
}

epode_step epode_plain_write(int socket, const uint8_t *bytes, size_t size) {
    return plain(send(socket, bytes, size, MSG_NOSIGNAL), EPODE_WANTS_WRITE);
}

static epode_step outcome(SSL *tls, int result, size_t count) {
    epode_step step = {.count = count};
    if (result == 1) return step;
    int system_error = errno;
    switch (SSL_get_error(tls, result)) {
    case SSL_ERROR_WANT_READ:
        step.outcome = EPODE_WANTS_READ;
        return step;
    case SSL_ERROR_WANT_WRITE:
        step.outcome = EPODE_WANTS_WRITE;
        return step;
    case SSL_ERROR_ZERO_RETURN:
        step.outcome = EPODE_CLOSED;
        return step;
    case SSL_ERROR_SYSCALL:
        ERR_clear_error();
        return broken(system_error);
    default:
        break;
    }
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_REASON(error);
    step.outcome = EPODE_FAILED;
    if (ERR_GET_LIB(error) == ERR_LIB_SSL) {
        if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
            step.outcome = EPODE_REJECTED;
            snprintf(step.why, sizeof step.why, "%s", epode_rejection(SSL_get_verify_result(tls)));
        } else if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
            step.outcome = EPODE_RESET;
        } else if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST || reason == SSL_R_PACKET_LENGTH_TOO_LONG) {
            step.outcome = EPODE_NOT_TLS;
        } else if (reason > SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + 255) {
            step.outcome = EPODE_ALERT;
            step.alert = (uint8_t)(reason - SSL_AD_REASON_OFFSET);
        }
    }
    if (step.outcome == EPODE_FAILED) {
        const char *text = ERR_reason_error_string(error);
        snprintf(step.why, sizeof step.why, "TLS failed: %s", text ? text : "nobody says why");
    }
    ERR_clear_error();
    return step;
}

epode_step epode_tls_handshake(SSL *tls) {
    ERR_clear_error();
    errno = 0;
    return outcome(tls, SSL_do_handshake(tls), 0);
}

epode_step epode_tls_read(SSL *tls, uint8_t *bytes, size_t size) {
    size_t count = 0;
    ERR_clear_error();
    errno = 0;
    int result = SSL_read_ex(tls, bytes, size, &count);
    return outcome(tls, result, count);
}

epode_step epode_tls_write(SSL *tls, const uint8_t *bytes, size_t size) {
    size_t count = 0;
    ERR_clear_error();
    errno = 0;
    int result = SSL_write_ex(tls, bytes, size, &count);
    return outcome(tls, result, count);
}

// ---- facts

// RFC 5929 §4.1: the hash of the certificate, by the hash function of its signature; none where that has none, Ed25519 for example.
static size_t end_point(X509 *certificate, uint8_t *value, size_t room) {
    int hash = NID_undef;
    unsigned size = 0;
    if (!X509_get_signature_info(certificate, &hash, NULL, NULL, NULL) || hash == NID_undef) return 0;
    if (hash == NID_md5 || hash == NID_sha1 || hash == NID_md5_sha1) hash = NID_sha256;
    const EVP_MD *algorithm = EVP_get_digestbynid(hash);
    if (!algorithm || (size_t)EVP_MD_get_size(algorithm) > room || !X509_digest(certificate, algorithm, value, &size)) return 0;
    return size;
}

void epode_tls_facts(SSL *tls, epode_facts *facts) {
    static const char label[] = "EXPORTER-Channel-Binding";
    memset(facts, 0, sizeof *facts);
    facts->version = (uint16_t)SSL_version(tls);
    facts->certificate_requested = SSL_get_ex_data(tls, asked_index) != NULL;
    X509 *certificate = SSL_get0_peer_certificate(tls);
    if (certificate) {
        unsigned size = 0;
        facts->has_certificate = X509_digest(certificate, EVP_sha256(), facts->certificate_sha256, &size) == 1;
        facts->end_point_size = end_point(certificate, facts->end_point, sizeof facts->end_point);
    }
    bool is_newest = facts->version >= TLS1_3_VERSION;
    // RFC 9266 §4.2: below TLS 1.3 the values are only the connection's own with the extended master secret.
    if (is_newest || SSL_get_extms_support(tls) == 1) {
        // RFC 9266 §2: the context is there, and empty.
        if (SSL_export_keying_material(tls, facts->exporter, sizeof facts->exporter, label, sizeof label - 1, (const uint8_t *)"", 0, 1) == 1)
            facts->exporter_size = sizeof facts->exporter;
        // RFC 5929 §3.1: the first Finished message, which is the client's where nothing is resumed.
        if (!is_newest) facts->unique_size = SSL_get_finished(tls, facts->unique, sizeof facts->unique);
        if (facts->unique_size > sizeof facts->unique) facts->unique_size = 0;
    }
    const uint8_t *alpn = NULL;
    unsigned size = 0;
    SSL_get0_alpn_selected(tls, &alpn, &size);
    if (alpn && size < sizeof facts->alpn) memcpy(facts->alpn, alpn, size);
    ERR_clear_error();
}
