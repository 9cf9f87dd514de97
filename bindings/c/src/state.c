// state.c: the folder for what survives the process, one file for each slot, which only the user can read.
#define _GNU_SOURCE
#include "host.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

// More than the client ever stores in a slot; whatever is larger is not its own.
#define MAX_SLOT (64 * 1024 * 1024)

static const char *file_name(uint32_t slot) {
    switch (slot) {
    case EPODE_SLOT_SESSION: return "session";
    case EPODE_SLOT_TOKEN: return "token";
    case EPODE_SLOT_PINS: return "pins";
    default: return NULL;
    }
}

bool state_open(epode_host *host, const char *folder) {
    if (mkdir(folder, 0700) && errno != EEXIST) {
        host_fail(host, EPODE_HOST_STATE, "the state folder %s cannot be made: %s", folder, strerrordesc_np(errno));
        return false;
    }
    struct stat status;
    host->state = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (host->state < 0 || fstat(host->state, &status)) {
        host_fail(host, EPODE_HOST_STATE, "the state folder %s cannot be opened: %s", folder, strerrordesc_np(errno));
        return false;
    }
    // Whoever may put files in there says which session this client goes on with.
    if (status.st_uid == geteuid() && !(status.st_mode & 022)) return true;
    host_fail(host, EPODE_HOST_STATE, "the state folder %s belongs to somebody else, or others can write in it: use one of your own, and chmod 700 it", folder);
    return false;
}

// 0, or an errno. A file that is not there is empty.
static int load(int folder, const char *name, struct bytes *content) {
    int file = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); // A pipe would keep the caller waiting.
    if (file < 0) return errno == ENOENT ? 0 : errno;
    struct stat status;
    uint8_t buffer[16 * 1024];
    int error = fstat(file, &status) ? errno : 0;
    // What is in there is as good as a password.
    if (!error && (status.st_mode & 077)) error = EPERM;
    if (!error && !S_ISREG(status.st_mode)) error = EINVAL;
    for (ssize_t count; !error && (count = read(file, buffer, sizeof buffer));) {
        if (count < 0) error = errno == EINTR ? 0 : errno;
        else bytes_append(content, buffer, (size_t)count);
        if (bytes_len(content) > MAX_SLOT) error = EFBIG;
    }
    explicit_bzero(buffer, sizeof buffer);
    close(file);
    return error;
}

void state_restore(epode_host *host) {
    for (uint32_t slot = EPODE_SLOT_SESSION; slot <= EPODE_SLOT_PINS && !host->code; slot++) {
        struct bytes content = {0};
        int error = load(host->state, file_name(slot), &content);
        if (error) {
            host_fail(host, EPODE_HOST_STATE, error == EPERM ? "others can read the file %s in the state folder, which logs in: chmod 600 it%s"
                                                            : "the file %s in the state folder cannot be read: %s",
                      file_name(slot), error == EPERM ? "" : strerrordesc_np(error));
        } else if (bytes_len(&content)) {
            uint32_t code = epode_restore(host->client, epode_host_now(), slot, slice(content.data, bytes_len(&content)));
            // What cannot be used is as good as none: the client starts afresh.
            if (code < EPODE_SNAPSHOT_CORRUPT || code > EPODE_SNAPSHOT_OTHER) host_check(host, code);
        }
        bytes_free(&content);
    }
}

static int write_all(int file, epode_slice bytes) {
    for (size_t done = 0; done < bytes.len;) {
        ssize_t count = write(file, bytes.data + done, bytes.len - done);
        if (count < 0 && errno != EINTR) return errno;
        if (count > 0) done += (size_t)count;
    }
    return fsync(file) ? errno : 0;
}

static int store(int folder, const char *name, bool append, epode_slice bytes) {
    char draft[16];
    snprintf(draft, sizeof draft, "%s.new", name);
    if (!append && !bytes.len) {
        if (unlinkat(folder, name, 0) && errno != ENOENT) return errno;
        return fsync(folder) ? errno : 0;
    }
    // A leftover of a crash may be anybody's to read: it goes first.
    if (!append && unlinkat(folder, draft, 0) && errno != ENOENT) return errno;
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (append ? O_APPEND : O_EXCL);
    int file = openat(folder, append ? name : draft, flags, 0600);
    if (file < 0) return errno;
    int error = write_all(file, bytes);
    if (close(file) && !error) error = errno;
    // A crash leaves the old bytes or the new ones, and nothing between.
    if (!error && !append && renameat(folder, draft, folder, name)) error = errno;
    if (!error && fsync(folder)) error = errno;
    return error;
}

void state_store(epode_host *host, const epode_output_store *output) {
    const char *name = file_name(output->slot);
    if (host->state < 0 || !name) return; // The configuration of somebody who wants no state.
    int error = store(host->state, name, output->append, output->bytes);
    // What follows would say to the server what nobody knows of after a crash.
    if (error) {
        host_fail(host, EPODE_HOST_STATE, "the session could not be stored (%s), so nothing more was sent: make room for it, and start again",
                  strerrordesc_np(error));
    }
}
