// job.c: threads for what would keep the loop waiting: names, and SCRAM's key.
#define _GNU_SOURCE
#include "host.h"
#include <signal.h>
#include <sys/eventfd.h>

static void *run(void *user) {
    struct job *job = user;
    epode_host *host = job->host;
    job->run(job);
    pthread_mutex_lock(&host->lock);
    job->finished = true;
    pthread_mutex_unlock(&host->lock);
    eventfd_write(host->wake, 1);
    return NULL;
}

// Takes the job, unless it says false.
bool job_start(epode_host *host, struct job *job) {
    sigset_t all, before;
    job->host = host;
    // The application's signals are for the application's threads.
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&job->thread, NULL, run, job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) return false;
    job->next = host->jobs;
    host->jobs = job;
    return true;
}

static void finish(struct job *job, bool tell) {
    pthread_join(job->thread, NULL);
    if (tell && job->owner) job->done(job);
    job->destroy(job);
}

void job_collect(epode_host *host) {
    for (struct job **place = &host->jobs; *place;) {
        struct job *job = *place;
        pthread_mutex_lock(&host->lock);
        bool finished = job->finished;
        pthread_mutex_unlock(&host->lock);
        if (finished) {
            *place = job->next;
            finish(job, true);
            place = &host->jobs; // `done` may have started others.
        } else {
            place = &job->next;
        }
    }
}

void job_forget(epode_host *host, const void *owner) {
    for (struct job *job = host->jobs; job; job = job->next) {
        if (job->owner == owner) job->owner = NULL;
    }
}

// Nobody can be told to stop in the middle of a derivation or of a question: they are waited for.
void job_free_all(epode_host *host) {
    while (host->jobs) {
        struct job *job = host->jobs;
        host->jobs = job->next;
        finish(job, false);
    }
}

struct derivation {
    struct job job;
    epode_derivation *handle;
    uint64_t number;
    uint32_t code;
    epode_slice key;
};

static void derivation_run(struct job *job) {
    struct derivation *derivation = (struct derivation *)job;
    derivation->code = epode_derivation_run(derivation->handle, &derivation->key);
}

static void derivation_done(struct job *job) {
    struct derivation *derivation = (struct derivation *)job;
    host_check(job->host, derivation->code);
    if (!derivation->code) host_check(job->host, epode_derived(job->host->client, epode_host_now(), derivation->number, derivation->key));
}

static void derivation_destroy(struct job *job) {
    struct derivation *derivation = (struct derivation *)job;
    epode_derivation_free(derivation->handle);
    free(derivation);
}

void derive_key(epode_host *host, uint64_t number) {
    struct derivation *derivation = allocated(calloc(1, sizeof *derivation));
    *derivation = (struct derivation){.number = number};
    derivation->job = (struct job){.owner = host, .run = derivation_run, .done = derivation_done, .destroy = derivation_destroy};
    uint32_t code = epode_derivation_new(host->client, &derivation->handle);
    host_check(host, code);
    if (code || !job_start(host, &derivation->job)) {
        if (!code) host_fail(host, EPODE_HOST_SYSTEM, "there is no thread for the derivation of a key: the system has no more of them");
        derivation_destroy(&derivation->job);
    }
}
