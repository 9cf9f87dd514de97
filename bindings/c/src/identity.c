// identity.c: the authorities, the client certificate and its key, from files.
#define _GNU_SOURCE
#include "host.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <stdio.h>

// What the client calls the one certificate that the host presents.
#define LABEL "certificate"

static bool wrong(epode_host *host, const char *file, const char *what) {
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    host_fail(host, EPODE_HOST_TLS, "%s: %s%s%s", file, what, why ? ": " : "", why ? why : "");
    ERR_clear_error();
    return false;
}

// OpenSSL would ask on the terminal where there is no pass phrase.
static int pass_phrase(char *buffer, int size, int writing, void *given) {
    (void)writing;
    size_t len = given ? strlen(given) : 0;
    if (!given || len > (size_t)size) return -1;
    memcpy(buffer, given, len);
    return (int)len;
}

static bool load_authorities(epode_host *host, const char *file) {
    host->store = allocated(X509_STORE_new());
    if (!file) {
        // One of the two is enough. X509_STORE_set_default_paths would let SSL_CERT_FILE and SSL_CERT_DIR of the environment say who is trusted.
        int there = X509_STORE_load_file(host->store, X509_get_default_cert_file());
        there |= X509_STORE_load_path(host->store, X509_get_default_cert_dir());
        if (!there) return wrong(host, "the system", "its authorities cannot be read");
        ERR_clear_error();
        return true;
    }
    return X509_STORE_load_file(host->store, file) || wrong(host, file, "there is no certificate of an authority in it (PEM)");
}

static bool load_pem(epode_host *host, const epode_host_options *options) {
    const char *key_file = options->key_file ? options->key_file : options->certificate_file;
    BIO *bio = BIO_new_file(options->certificate_file, "r");
    if (!bio) return wrong(host, options->certificate_file, "it cannot be opened");
    host->certificate = PEM_read_bio_X509(bio, NULL, pass_phrase, NULL);
    host->chain = allocated(sk_X509_new_null());
    for (X509 *next; host->certificate && (next = PEM_read_bio_X509(bio, NULL, pass_phrase, NULL));) sk_X509_push(host->chain, next);
    BIO_free(bio);
    if (!host->certificate) return wrong(host, options->certificate_file, "there is no certificate in it (PEM)");
    ERR_clear_error(); // The end of the file is one.
    bio = BIO_new_file(key_file, "r");
    if (!bio) return wrong(host, key_file, "it cannot be opened");
    host->key = PEM_read_bio_PrivateKey(bio, NULL, pass_phrase, (void *)options->pass_phrase);
    BIO_free(bio);
    return host->key || wrong(host, key_file, "there is no private key in it (PEM) that the pass phrase opens");
}

static bool load_pkcs12(epode_host *host, const epode_host_options *options) {
    const char *file = options->pkcs12_file;
    BIO *bio = BIO_new_file(file, "rb");
    if (!bio) return wrong(host, file, "it cannot be opened");
    PKCS12 *pkcs12 = d2i_PKCS12_bio(bio, NULL);
    BIO_free(bio);
    if (!pkcs12) return wrong(host, file, "it is no PKCS#12 file");
    int parsed = PKCS12_parse(pkcs12, options->pass_phrase, &host->key, &host->certificate, &host->chain);
    PKCS12_free(pkcs12);
    if (!parsed) return wrong(host, file, "it cannot be read: is the pass phrase right?");
    return (host->key && host->certificate) || wrong(host, file, "it has no certificate with a private key");
}

// A server would refuse such a certificate, often without a word: better to hear it here.
static bool usable(epode_host *host, const epode_host_options *options, const char *file) {
    if (!X509_check_private_key(host->certificate, host->key)) {
        ERR_clear_error();
        return wrong(host, file, "the private key does not belong to the certificate: give the two that were made together");
    }
    // What OpenSSL's security level forbids, a short key for example, it would not present, and say so to nobody.
    SSL_CTX *context = allocated(SSL_CTX_new(TLS_client_method()));
    bool presentable = SSL_CTX_use_cert_and_key(context, host->certificate, host->key, host->chain, 1);
    SSL_CTX_free(context);
    if (!presentable) return wrong(host, file, "OpenSSL does not present this certificate");
    ERR_clear_error();
    if (options->present_invalid) return true;
    if (X509_cmp_current_time(X509_get0_notBefore(host->certificate)) > 0)
        return wrong(host, file, "the client certificate is not valid yet: check the clock of this machine");
    if (X509_cmp_current_time(X509_get0_notAfter(host->certificate)) < 0)
        return wrong(host, file, "the client certificate has expired: a new one is needed");
    // RFC 5280 section 4.2.1.12: a certificate that says what it is for is for nothing else.
    if ((X509_get_extension_flags(host->certificate) & EXFLAG_XKUSAGE) && !(X509_get_extended_key_usage(host->certificate) & XKU_SSL_CLIENT))
        return wrong(host, file, "the client certificate is not meant for logging in: its extended key usage lacks clientAuth");
    return true;
}

bool identity_load(epode_host *host, const epode_host_options *options) {
    ERR_clear_error();
    if (!load_authorities(host, options->ca_file)) return false;
    if (options->pkcs12_file) return load_pkcs12(host, options) && usable(host, options, options->pkcs12_file);
    if (options->certificate_file) return load_pem(host, options) && usable(host, options, options->certificate_file);
    return true;
}

// The client sees the certificate, and never the key.
bool identity_set(epode_host *host, epode_config *config, uint32_t *code) {
    if (!host->certificate || *code) return true;
    unsigned char *der = NULL;
    int len = i2d_X509(host->certificate, &der);
    if (len < 0) return wrong(host, "the client certificate", "it cannot be encoded");
    *code = epode_config_set_certificate(config, epode_text(LABEL), slice(der, (size_t)len));
    OPENSSL_free(der);
    return true;
}
