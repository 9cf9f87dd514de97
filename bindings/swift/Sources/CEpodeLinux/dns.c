// SRV records by the resolver of the C library.
#define _GNU_SOURCE // the resolver's types
#include "CEpodeLinux.h"
#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>
#include <netdb.h>
#include <string.h>

int epode_services_in(const uint8_t *answer, size_t size, epode_service *services, int room) {
    ns_msg message;
    int count = 0;
    if (ns_initparse(answer, (int)size, &message) < 0) return -1;
    for (int i = 0; i < ns_msg_count(message, ns_s_an) && count < room; i++) {
        ns_rr record;
        if (ns_parserr(&message, ns_s_an, i, &record) < 0) return -1;
        // An alias on the way to the records is none of them.
        if (ns_rr_type(record) != ns_t_srv || ns_rr_class(record) != ns_c_in) continue;
        // RFC 2782: priority, weight, port, and a name.
        if (ns_rr_rdlen(record) < 7) return -1;
        const uint8_t *data = ns_rr_rdata(record);
        epode_service *service = &services[count];
        service->priority = (uint16_t)(data[0] << 8 | data[1]);
        service->weight = (uint16_t)(data[2] << 8 | data[3]);
        service->port = (uint16_t)(data[4] << 8 | data[5]);
        if (ns_name_uncompress(ns_msg_base(message), ns_msg_end(message), data + 6, service->target, sizeof service->target) < 0) return -1;
        // The root has no text of its own.
        if (!service->target[0]) strcpy(service->target, ".");
        count++;
    }
    return count;
}

int epode_services(const char *name, epode_service *services, int room) {
    struct __res_state state;
    uint8_t answer[16384];
    memset(&state, 0, sizeof state);
    if (res_ninit(&state) != 0) return -1;
    state.retrans = 2;
    state.retry = 2;
    int size = res_nquery(&state, name, ns_c_in, ns_t_srv, answer, sizeof answer);
    int error = state.res_h_errno;
    res_nclose(&state);
    if (size < 0) return error == HOST_NOT_FOUND || error == NO_DATA ? 0 : -1;
    return epode_services_in(answer, (size_t)size < sizeof answer ? (size_t)size : sizeof answer, services, room);
}
