// host.c: the loop. Carry out what the client says, wait for the network or a deadline, tell the client.
#define _GNU_SOURCE
#include "host.h"
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 1000

// How often the network is looked at while the application takes events that wait.
#define BUSY_MS 50

// How often the client is told what the wall clock shows.
#define CLOCK_MS 3600000

// Of this thread's last epode_host_new that failed.
static _Thread_local char no_host[512];

static uint32_t new_client(epode_host *host, epode_config *config, const epode_host_options *options);
static bool open_descriptors(epode_host *host);
static bool turn(epode_host *host, uint64_t until, bool taking);
static void work_on_links(epode_host *host, uint64_t now);
static uint64_t next_deadline(epode_host *host);
static bool wait_for_one(epode_host *host, uint64_t until);
static void tell_clock(epode_host *host);

// A write to a connection that is gone must not end the process, and what the application wants of SIGPIPE is its own business.
struct quiet {
    bool pending;
    sigset_t before;
};

static void quiet_begin(struct quiet *quiet) {
    sigset_t pipe, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    quiet->pending = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &quiet->before);
}

static void quiet_end(const struct quiet *quiet) {
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    const struct timespec now = {0};
    while (!quiet->pending && sigtimedwait(&pipe, NULL, &now) == SIGPIPE) {}
    pthread_sigmask(SIG_SETMASK, &quiet->before, NULL);
}

uint64_t epode_host_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_BOOTTIME, &time); // It goes on while the machine sleeps.
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

uint32_t epode_host_new(epode_config *config, const epode_host_options *given, epode_host **out) {
    epode_host_options options = {.struct_size = sizeof options};
    uint32_t code = EPODE_OK;
    epode_host *host = allocated(calloc(1, sizeof *host));
    *host = (epode_host){.epoll = -1, .timer = -1, .wake = -1, .state = -1, .last = &host->first, .reading = true};
    pthread_mutex_init(&host->lock, NULL);
    if (!config || !out) code = EPODE_NULL;
    if (!code && given && given->struct_size != sizeof options) code = EPODE_STRUCT_SIZE;
    if (!code && given) options = *given;
    if (!code && epode_abi_version() != EPODE_ABI_VERSION) code = EPODE_VALUE;
    host->backlog = options.backlog ? options.backlog : BACKLOG;
    if (code) host_fail(host, code, "%s", "");
    else code = new_client(host, config, &options);
    if (!code) {
        *out = host;
        return EPODE_OK;
    }
    epode_slice why = epode_host_last_error(host);
    snprintf(no_host, sizeof no_host, "%.*s", (int)why.len, (const char *)why.data);
    epode_host_free(host);
    if (out) *out = NULL;
    return code;
}

static uint32_t new_client(epode_host *host, epode_config *config, const epode_host_options *options) {
    uint8_t seed[32];
    uint32_t code = epode_config_set_key_derivation(config, EPODE_DERIVE_HOST);
    if (!open_descriptors(host) || !identity_load(host, options) || !identity_set(host, config, &code)) return host->code;
    if (options->state_folder) {
        uint32_t persist = options->persist ? options->persist : EPODE_PERSIST_ON_SUSPEND;
        if (!state_open(host, options->state_folder)) return host->code;
        if (!code) code = epode_config_set_persist(config, persist);
    }
    if (options->name_server && !name_server_good(options->name_server)) {
        host_fail(host, EPODE_VALUE, "the name server \"%s\" is no IPv4 address with a port: write it as 192.0.2.1:53", options->name_server);
        return host->code;
    }
    if (options->name_server) host->name_server = allocated(strdup(options->name_server));
    if (!code && getrandom(seed, sizeof seed, 0) != sizeof seed) abort(); // 32 bytes always come whole: getrandom(2)
    if (!code) code = epode_client_new(config, seed, &host->client);
    explicit_bzero(seed, sizeof seed);
    if (code) {
        epode_slice why = {0};
        epode_config_last_error(config, &why);
        host_fail(host, code, "%.*s", (int)why.len, (const char *)why.data);
    } else if (host->state >= 0) {
        state_restore(host);
    }
    return host->code;
}

static void timer_ready(struct watch *watch, uint32_t events) {
    (void)events;
    uint64_t expired;
    // What is due is found by its own time.
    if (read(watch->fd, &expired, sizeof expired) < 0) return;
}

static void wake_ready(struct watch *watch, uint32_t events) {
    (void)events;
    eventfd_t count;
    eventfd_read(watch->fd, &count);
    job_collect(watch->owner);
}

static bool open_descriptors(epode_host *host) {
    host->epoll = epoll_create1(EPOLL_CLOEXEC);
    host->timer = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    host->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (host->epoll < 0 || host->timer < 0 || host->wake < 0) {
        host_fail(host, EPODE_HOST_SYSTEM, "no descriptor can be made: %s", strerrordesc_np(errno));
        return false;
    }
    host->timer_watch = (struct watch){.fd = host->timer, .ready = timer_ready, .owner = host};
    host->wake_watch = (struct watch){.fd = host->wake, .ready = wake_ready, .owner = host};
    host_watch(host, &host->timer_watch, EPOLLIN);
    host_watch(host, &host->wake_watch, EPOLLIN);
    return true;
}

void epode_host_free(epode_host *host) {
    if (!host) return;
    struct quiet quiet;
    quiet_begin(&quiet);
    link_free_all(host, false);
    if (host->documents) web_free(host->documents);
    quiet_end(&quiet);
    free(host->documents);
    job_free_all(host);
    event_free_all(host);
    epode_client_free(host->client);
    pthread_mutex_destroy(&host->lock);
    if (host->epoll >= 0) close(host->epoll);
    if (host->timer >= 0) close(host->timer);
    if (host->wake >= 0) close(host->wake);
    if (host->state >= 0) close(host->state);
    X509_STORE_free(host->store);
    X509_free(host->certificate);
    EVP_PKEY_free(host->key);
    sk_X509_pop_free(host->chain, X509_free);
    free(host->name_server);
    free(host->sentence);
    free(host);
}

uint32_t epode_host_start(epode_host *host) {
    if (!host) return EPODE_NULL;
    if (host->code) return host->code;
    tell_clock(host);
    return epode_start(host->client, epode_host_now());
}

uint32_t epode_host_stop(epode_host *host) {
    if (!host) return EPODE_NULL;
    return host->code ? host->code : epode_stop(host->client, epode_host_now());
}

// True: a wake was asked for. What is left to do then keeps the descriptor readable.
static bool take_wake(epode_host *host, bool again) {
    if (!atomic_exchange(&host->woken, 0)) return false;
    if (again) eventfd_write(host->wake, 1);
    return true;
}

uint32_t epode_host_wait(epode_host *host, int timeout_ms, epode_output *event) {
    if (!host || !event) return EPODE_NULL;
    if (event->struct_size < sizeof *event) return EPODE_STRUCT_SIZE;
    free(host->given);
    host->given = NULL;
    uint64_t now = epode_host_now(), until = timeout_ms < 0 ? NEVER : now + (uint64_t)timeout_ms;
    // An application that is slow with each event must not keep the server waiting.
    bool look = !host->first || now - host->turned >= BUSY_MS;
    struct quiet quiet;
    quiet_begin(&quiet);
    for (; !host->code; look = true) {
        bool again = look && turn(host, until, true);
        event->kind = EPODE_NONE;
        if (event_take(host, event) || take_wake(host, again)) break;
        // What TLS has decrypted and nobody has taken does not make the descriptor readable: it is taken before the end.
        if (look && !again && epode_host_now() >= until) break;
    }
    quiet_end(&quiet);
    return host->code;
}

uint32_t epode_host_work(epode_host *host, int timeout_ms) {
    if (!host) return EPODE_NULL;
    uint64_t until = timeout_ms < 0 ? NEVER : epode_host_now() + (uint64_t)timeout_ms;
    struct quiet quiet;
    quiet_begin(&quiet);
    while (!host->code) {
        bool again = turn(host, until, false);
        if (take_wake(host, again) || (!again && epode_host_now() >= until)) break;
    }
    quiet_end(&quiet);
    return host->code;
}

size_t epode_host_waiting(const epode_host *host) { return host ? host->events : 0; }

int epode_host_fd(const epode_host *host) { return host ? host->epoll : -1; }

epode_client *epode_host_client(epode_host *host) { return host ? host->client : NULL; }

void epode_host_wake(epode_host *host) {
    if (!host) return;
    int error = errno; // A signal handler leaves it alone.
    atomic_store(&host->woken, 1);
    eventfd_write(host->wake, 1);
    errno = error;
}

epode_slice epode_host_last_error(const epode_host *host) {
    if (!host) return epode_text(no_host);
    epode_slice why = {0};
    if (host->sentence) return epode_text(host->sentence);
    if (!host->client || epode_last_error(host->client, &why) || !why.len) return epode_text("");
    return why;
}

void host_fail(epode_host *host, uint32_t code, const char *format, ...) {
    if (host->code) return; // The first one is the cause.
    va_list values;
    va_start(values, format);
    if (vasprintf(&host->sentence, format, values) < 0) abort();
    va_end(values);
    if (!*host->sentence) {
        epode_slice why = epode_code_sentence(code);
        free(host->sentence);
        host->sentence = copy_text(why);
    }
    host->code = code;
}

// A call that fails here is a mistake in the host, or a panic in the client.
void host_check(epode_host *host, uint32_t code) {
    if (!code) return;
    epode_slice why = {0};
    epode_last_error(host->client, &why);
    host_fail(host, code, "%.*s", (int)why.len, (const char *)why.data);
}

void host_watch(epode_host *host, struct watch *watch, uint32_t events) {
    if (watch->events == events) return;
    struct epoll_event event = {.events = events, .data = {.ptr = watch}};
    int how = !events ? EPOLL_CTL_DEL : watch->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    // libcurl may have closed one already that it then says it is done with.
    if (epoll_ctl(host->epoll, how, watch->fd, &event) && events)
        host_fail(host, EPODE_HOST_SYSTEM, "a connection cannot be waited for: %s", strerrordesc_np(errno));
    watch->events = events;
}

// Carries out everything that the client has to say, in order.
void host_drain(epode_host *host) {
    epode_output output = {.struct_size = sizeof output};
    while (!host->code) {
        host_check(host, epode_next(host->client, &output));
        if (host->code || output.kind == EPODE_NONE) return;
        struct link *link = NULL;
        switch (output.kind) {
        case EPODE_CONNECT: link_open(host, &output.data.connect); break;
        case EPODE_WRITE:
            if ((link = link_find(host, output.data.write.link))) tcp_write(link, output.data.write.bytes);
            break;
        case EPODE_START_TLS:
            if ((link = link_find(host, output.data.start_tls.link))) tcp_start_tls(link, output.data.start_tls.server_name);
            break;
        case EPODE_FRAME:
            if ((link = link_find(host, output.data.frame.link))) websocket_frame(link, output.data.frame.text);
            break;
        case EPODE_POST:
            if ((link = link_find(host, output.data.post.link))) bosh_post(link, &output.data.post);
            break;
        case EPODE_ABANDON:
            if ((link = link_find(host, output.data.abandon.link))) bosh_abandon(link, output.data.abandon.request);
            break;
        case EPODE_CLOSE: link_close(host, output.data.close.link); break;
        case EPODE_RESOLVE: resolve(host, &output.data.resolve); break;
        case EPODE_DERIVE_KEY: derive_key(host, output.data.derive_key.job); break;
        case EPODE_STORE: state_store(host, &output.data.store); break;
        case EPODE_OTHER: break;
        default: // What a newer library may say is news for the application.
            if (output.kind >= EPODE_ONLINE) event_push(host, &output);
            break;
        }
    }
}

static bool any_again(const epode_host *host) {
    bool again = false;
    for (struct link *link = host->links; link; link = link->next) again |= link->again;
    return again;
}

// One look at everything: what is due is done, then one event of the network is waited for, unless there is something to give to an
// application that takes it. True: another turn is due at once.
static bool turn(epode_host *host, uint64_t until, bool taking) {
    host_drain(host);
    host_judge_reading(host);
    work_on_links(host, epode_host_now());
    bool ticked = false;
    uint64_t deadline;
    if (host->documents) {
        web_timer(host->documents, epode_host_now());
        while (!host->code && web_collect(host->documents)) host_drain(host);
    }
    // Connections that libcurl keeps for later have no later: after EPODE_OFFLINE none is open.
    if (host->documents && !host->documents->transfers) {
        web_free(host->documents);
        free(host->documents);
        host->documents = NULL;
    }
    if (host->code) return false;
    // Only after all that has arrived was handed in: whoever was away for long finds answers, and no dead server.
    host_check(host, epode_deadline(host->client, &deadline, NULL));
    if (!host->code && !any_again(host) && deadline <= epode_host_now()) {
        host_check(host, epode_tick(host->client, epode_host_now()));
        host_drain(host);
        ticked = true;
    }
    if (epode_host_now() - host->turned >= CLOCK_MS) tell_clock(host);
    host->turned = epode_host_now();
    if (host->code) return false;
    bool happened = wait_for_one(host, ticked || any_again(host) || (taking && event_ready(host)) ? 0 : until);
    host_drain(host);
    host_judge_reading(host);
    // What happened may have moved the deadline, for which the timer is set in the next turn.
    return happened || any_again(host);
}

static void work_on_links(epode_host *host, uint64_t now) {
    for (struct link *link = host->links; link && !host->code; link = link->next) {
        if (link->dead || (!link->again && link->type->deadline(link) > now && link->close_by > now)) continue;
        link->again = false;
        // A peer that takes nothing does not keep a link that was closed.
        if (link->close_by <= now) link->dead = true;
        else link->type->turn(link, now);
        host_drain(host);
    }
    link_free_all(host, true);
}

// Tells the client when the host stops reading, and when it goes on: not before half of what was too much is taken.
void host_judge_reading(epode_host *host) {
    if (host->code) return;
    size_t room = host->reading ? host->backlog : host->backlog / 2;
    // News of what the application itself did are small, and there are three of each of its stanzas.
    bool reading = epode_wants_read(host->client) && host->stanzas < room + 1 - host->reading && host->events < 10 * room + 10;
    if (reading == host->reading) return;
    host->reading = reading;
    for (struct link *link = host->links; link && !host->code; link = link->next) {
        link->again = true;
        if (!link->closing && !link->dead) host_check(host, epode_reading(host->client, epode_host_now(), link->id, reading));
    }
    host_drain(host);
}

static uint64_t next_deadline(epode_host *host) {
    uint64_t next;
    host_check(host, epode_deadline(host->client, &next, NULL));
    if (host->code) return 0;
    if (host->documents && host->documents->timer_at < next) next = host->documents->timer_at;
    for (struct link *link = host->links; link; link = link->next) {
        uint64_t at = link->type->deadline(link);
        if (at < next) next = at;
        if (link->close_by < next) next = link->close_by;
    }
    return next;
}

// Whether something happened. The timer stands in the same set, so that the application's own loop wakes for it too.
static bool wait_for_one(epode_host *host, uint64_t until) {
    uint64_t at = next_deadline(host), now = epode_host_now();
    struct itimerspec timer = {.it_value = {.tv_sec = (time_t)(at / 1000), .tv_nsec = (long)(at % 1000) * 1000000}};
    if (at == NEVER) timer = (struct itimerspec){0};
    else if (at == 0) timer.it_value.tv_nsec = 1; // 0 would switch it off.
    if (at != host->armed || at <= now) timerfd_settime(host->timer, TFD_TIMER_ABSTIME, &timer, NULL);
    host->armed = at;
    // By the millisecond: one too late rather than one turn too many.
    uint64_t left = until == NEVER ? 60000 : until > now ? until - now : 0;
    // One event: what it leads to may end others.
    struct epoll_event event;
    int count = epoll_wait(host->epoll, &event, 1, left < 60000 ? (int)left : 60000);
    if (count < 1) return false; // EINTR is as good as a wake: the loop looks whether it is over.
    struct watch *watch = event.data.ptr;
    watch->ready(watch, event.events);
    return true;
}

static void tell_clock(epode_host *host) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    uint64_t unix_ms = (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
    host_check(host, epode_clock(host->client, epode_host_now(), unix_ms));
}
