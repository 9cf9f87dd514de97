// upgrade.h: the opening handshake of a WebSocket (RFC 6455 section 4.1), without any I/O.
#ifndef EPODE_HOST_UPGRADE_H
#define EPODE_HOST_UPGRADE_H

#include "host.h"

struct upgrade {
    char *request;         // to be sent
    char accept[32];       // what the answer has to say: base64 of SHA-1
    char subprotocol[32];  // what the server selected; the client judges it
};

// Where the URL leads: `*host` is libcurl's. False: nowhere.
bool upgrade_prepare(struct upgrade *upgrade, const char *url, char **host, uint32_t *port, bool *tls);
// 0: the answer is good, and is gone from `in`; STREAM_AGAIN: it is not whole yet; STREAM_FAILED.
int upgrade_judge(struct upgrade *upgrade, struct bytes *in, struct failure *failure);
void upgrade_free(struct upgrade *upgrade);

#endif
