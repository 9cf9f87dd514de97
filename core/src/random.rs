//! An HMAC-DRBG over the host's seed.
