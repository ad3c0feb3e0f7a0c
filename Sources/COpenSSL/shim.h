/* OpenSSL, what Swift cannot import of it (macros), and a BIO over two buffers. Prefix hf_. */
#pragma once
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

/* TLS 1.3 and nothing else, no resumption: each connection shows its certificate. */
static inline int hf_ctx_configure(SSL_CTX *context) {
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  /* A stranger's certificates are kept in memory before they are looked at. */
  SSL_CTX_set_max_cert_list(context, 16 << 10);
  return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) && SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION)
    && SSL_CTX_set_num_tickets(context, 0) && SSL_CTX_set1_groups_list(context, "X25519:P-256");
}

static inline EVP_PKEY *hf_generate_p256(void) { return EVP_EC_gen("P-256"); }

static inline int hf_is_p256(const EVP_PKEY *key) {
  char name[32];
  size_t count = 0;
  return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, name, sizeof name, &count) == 1
    && strcmp(name, "prime256v1") == 0;
}

/* HKDF (RFC 5869) with SHA-256. Returns 1 when all of `out` is written. */
static inline int hf_hkdf_sha256(
  const unsigned char *secret, size_t secret_count, const unsigned char *salt, size_t salt_count,
  const unsigned char *info, size_t info_count, unsigned char *out, size_t out_count) {
  EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
  EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
  EVP_KDF_free(kdf);
  OSSL_PARAM params[] = {
    OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret, secret_count),
    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, salt_count),
    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, info_count),
    OSSL_PARAM_construct_end(),
  };
  int done = context != NULL && EVP_KDF_derive(context, out, out_count, params) == 1;
  EVP_KDF_CTX_free(context);
  return done;
}

/* An extension of a certificate that signs itself. */
static inline int hf_add_extension(X509 *certificate, int nid, const char *value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
  X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
  if (extension == NULL) return 0;
  int done = X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
  return done;
}

/* What OpenSSL would have asked the terminal for: an encrypted key must fail instead. */
static inline int hf_no_password(char *buffer, int size, int writing, void *data) {
  (void)buffer, (void)size, (void)writing, (void)data;
  return -1;
}

static inline long hf_memory_bio_data(BIO *bio, char **bytes) { return BIO_get_mem_data(bio, bytes); }

/* Ciphertext on both sides of a session. `in` is lent by whoever read it from the socket; `out` is ours. */
typedef struct {
  const unsigned char *in;
  size_t in_count;
  unsigned char *out;
  size_t out_start, out_end, out_capacity;
} hf_tls_buffers;

static inline int hf_buffers_read(BIO *bio, char *bytes, size_t count, size_t *done) {
  hf_tls_buffers *buffers = (hf_tls_buffers *)BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (buffers->in_count == 0) {
    BIO_set_retry_read(bio);
    return 0;
  }
  *done = count < buffers->in_count ? count : buffers->in_count;
  memcpy(bytes, buffers->in, *done);
  buffers->in += *done;
  buffers->in_count -= *done;
  return 1;
}

static inline int hf_buffers_write(BIO *bio, const char *bytes, size_t count, size_t *done) {
  hf_tls_buffers *buffers = (hf_tls_buffers *)BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (buffers->out_start == buffers->out_end) buffers->out_start = buffers->out_end = 0;
  if (buffers->out_end + count > buffers->out_capacity) {
    size_t capacity = 2 * (buffers->out_end + count);
    unsigned char *larger = (unsigned char *)realloc(buffers->out, capacity);
    if (larger == NULL) return 0;
    buffers->out = larger;
    buffers->out_capacity = capacity;
  }
  memcpy(buffers->out + buffers->out_end, bytes, count);
  buffers->out_end += count;
  *done = count;
  return 1;
}

static inline long hf_buffers_ctrl(BIO *bio, int command, long number, void *pointer) {
  (void)bio, (void)number, (void)pointer;
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

/* Made once and never freed. */
static inline BIO_METHOD *hf_buffers_method(void) {
  BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "buffers");
  if (method == NULL) return NULL;
  if (BIO_meth_set_read_ex(method, hf_buffers_read) && BIO_meth_set_write_ex(method, hf_buffers_write)
      && BIO_meth_set_ctrl(method, hf_buffers_ctrl))
    return method;
  BIO_meth_free(method);
  return NULL;
}

/* `buffers` outlives the session. */
static inline int hf_attach(SSL *session, BIO_METHOD *method, hf_tls_buffers *buffers) {
  BIO *bio = BIO_new(method);
  if (bio == NULL) return 0;
  BIO_set_data(bio, buffers);
  BIO_set_init(bio, 1);
  SSL_set_bio(session, bio, bio); /* takes the one reference */
  return 1;
}
