// What Swift cannot call by itself: variadic functions and macros of libcurl and OpenSSL.
#pragma once
#include <curl/curl.h>
#include <openssl/ssl.h>
