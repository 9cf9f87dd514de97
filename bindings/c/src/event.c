// event.c: events that wait for the application, each with its own copy of what its slices point to.
#include "host.h"

// The most slices that one kind of output has: a request with its stanza.
#define MAX_SLICES 12

struct slices {
    epode_slice *at[MAX_SLICES];
    size_t count;
};

static void add(struct slices *slices, epode_slice *slice) {
    if (slice->data) slices->at[slices->count++] = slice;
}

static void add_stanza(struct slices *slices, epode_stanza *stanza) {
    add(slices, &stanza->id);
    add(slices, &stanza->from);
    add(slices, &stanza->to);
    add(slices, &stanza->type);
    add(slices, &stanza->body);
    add(slices, &stanza->xml);
}

static struct slices slices_of(epode_output *output) {
    struct slices slices = {.count = 0};
    epode_output_data *data = &output->data;
    switch (output->kind) {
    case EPODE_ONLINE:
        add(&slices, &data->online.jid);
        add(&slices, &data->online.mechanism);
        break;
    case EPODE_OFFLINE:
        add(&slices, &data->offline.sentence);
        add(&slices, &data->offline.condition);
        add(&slices, &data->offline.status);
        add(&slices, &data->offline.scope);
        add(&slices, &data->offline.openid_configuration);
        break;
    case EPODE_STANZA: add_stanza(&slices, &data->stanza); break;
    case EPODE_REQUEST: add_stanza(&slices, &data->request.iq); break;
    case EPODE_IQ_DONE:
        add(&slices, &data->iq_done.sentence);
        add(&slices, &data->iq_done.condition);
        add(&slices, &data->iq_done.text);
        add_stanza(&slices, &data->iq_done.iq);
        break;
    case EPODE_WARNING: add(&slices, &data->warning.sentence); break;
    case EPODE_INTERRUPTED:
        add(&slices, &data->interrupted.sentence);
        add(&slices, &data->interrupted.condition);
        break;
    case EPODE_OFFERED: add(&slices, &data->offered.features); break;
    case EPODE_TASK:
        add(&slices, &data->task.task);
        add(&slices, &data->task.payload);
        add(&slices, &data->task.text);
        break;
    default: break; // EPODE_DELIVERY and EPODE_WRITABLE have none.
    }
    return slices;
}

static bool from_others(const struct event *event) {
    return event->output.kind == EPODE_STANZA || event->output.kind == EPODE_REQUEST;
}

void event_push(epode_host *host, const epode_output *output) {
    epode_output shallow = *output;
    struct slices slices = slices_of(&shallow);
    size_t len = 0;
    for (size_t i = 0; i < slices.count; i++) len += slices.at[i]->len;
    struct event *event = allocated(malloc(sizeof *event + len));
    uint8_t *end = event->data;
    for (size_t i = 0; i < slices.count; i++) {
        // An empty slice is not NULL, and stays so.
        memcpy(end, slices.at[i]->data, slices.at[i]->len);
        slices.at[i]->data = end;
        end += slices.at[i]->len;
    }
    event->output = shallow;
    event->next = NULL;
    *host->last = event;
    host->last = &event->next;
    host->events++;
    host->stanzas += from_others(event);
}

// The last word is only given when nothing is open any more.
bool event_ready(const epode_host *host) { return host->first && (host->first->output.kind != EPODE_OFFLINE || !host->links); }

bool event_take(epode_host *host, epode_output *output) {
    struct event *event = host->first;
    if (!event_ready(host)) return false;
    host->first = event->next;
    if (!host->first) host->last = &host->first;
    host->events--;
    host->stanzas -= from_others(event);
    host->given = event;
    uint32_t size = output->struct_size; // The application's own.
    *output = event->output;
    output->struct_size = size;
    return true;
}

void event_free_all(epode_host *host) {
    while (host->first) {
        struct event *event = host->first;
        host->first = event->next;
        free(event);
    }
    host->last = &host->first;
    host->events = host->stanzas = 0;
    free(host->given);
    host->given = NULL;
}
