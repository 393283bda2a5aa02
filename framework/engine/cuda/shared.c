/* Bytes between the engine and its runner; see shared.h. */
#include "shared.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

uint64_t hl_monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* One pass over all parts: copies them out, in, or only counts. */
struct pack {
    unsigned char *bytes; /* NULL: only count */
    uint64_t at;
    bool out; /* from the program into `bytes` */
};

static void part(struct pack *p, void *data, size_t size)
{
    if (p->bytes && size) {
        if (p->out)
            memcpy(p->bytes + p->at, data, size);
        else
            memcpy(data, p->bytes + p->at, size);
    }
    p->at += size;
}

static void parts(struct pack *pack, struct hl_program *p)
{
    part(pack, p->blocks, p->n_blocks * sizeof *p->blocks);
    for (int rank = 0; rank < p->ranks; rank++) {
        part(pack, p->rank[rank].ops, p->rank[rank].n_ops * sizeof *p->rank[rank].ops);
        part(pack, p->graphs[rank], p->n_graphs * sizeof *p->graphs[rank]);
    }
}

void *hl_program_pack(const struct hl_config *config, const struct hl_program *program, uint64_t *ret_bytes)
{
    struct hl_program copy = *program;
    struct hl_config config_copy = *config;
    struct pack pack = { .out = true };
    parts(&pack, &copy);
    *ret_bytes = pack.at + sizeof config_copy + sizeof copy;
    pack = (struct pack){ .bytes = malloc(*ret_bytes), .out = true };
    if (!pack.bytes)
        return NULL;
    part(&pack, &config_copy, sizeof config_copy);
    part(&pack, &copy, sizeof copy);
    parts(&pack, &copy);
    return pack.bytes;
}

/* Gives the copy memory of its own in place of the other process's pointers. */
static bool allocate_parts(struct hl_program *p)
{
    bool ok = (p->blocks = calloc(p->n_blocks + 1u, sizeof *p->blocks)) != NULL;
    for (int rank = 0; rank < HL_RANKS_MAX; rank++) {
        p->rank[rank].ops = NULL;
        p->graphs[rank] = NULL;
    }
    p->labels = NULL;
    p->n_labels = 0;
    for (int rank = 0; rank < p->ranks; rank++) {
        p->rank[rank].ops = calloc(p->rank[rank].n_ops + 1u, sizeof *p->rank[rank].ops);
        p->graphs[rank] = calloc(p->n_graphs + 1u, sizeof *p->graphs[rank]);
        ok = ok && p->rank[rank].ops && p->graphs[rank];
    }
    return ok;
}

struct hl_program *hl_program_unpack(const void *bytes, struct hl_config *ret_config)
{
    struct pack pack = { .bytes = (unsigned char *)bytes };
    struct hl_program *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    part(&pack, ret_config, sizeof *ret_config);
    part(&pack, p, sizeof *p);
    if (!allocate_parts(p)) {
        hl_program_destroy(p);
        return NULL;
    }
    parts(&pack, p);
    return p;
}

int hl_transfer(int fd, void *data, uint64_t bytes, int timeout_ms, bool out)
{
    const uint64_t until_ns = hl_monotonic_ns() + (uint64_t)timeout_ms * 1000000u;
    for (uint64_t done = 0; done < bytes;) {
        char *at = (char *)data + done;
        const ssize_t n = out ? send(fd, at, bytes - done, MSG_NOSIGNAL | MSG_DONTWAIT)
                              : recv(fd, at, bytes - done, MSG_DONTWAIT);
        if (n > 0) {
            done += (uint64_t)n;
            continue;
        }
        if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
            return -1;
        const uint64_t now_ns = hl_monotonic_ns();
        if (timeout_ms >= 0 && now_ns >= until_ns)
            return -1;
        struct pollfd wait = { .fd = fd, .events = out ? POLLOUT : POLLIN };
        poll(&wait, 1, timeout_ms < 0 ? -1 : (int)((until_ns - now_ns) / 1000000u) + 1);
    }
    return 0;
}

bool hl_answer(int fd, enum hl_status status, const struct hl_error *error, const uint32_t *words,
               uint32_t count)
{
    struct hl_reply reply = { .status = status, .count = status ? 0 : count };
    if (status)
        snprintf(reply.message, sizeof reply.message, "%.255s", error->message);
    return hl_transfer(fd, &reply, sizeof reply, -1, true) == 0 &&
           (reply.count == 0 || hl_transfer(fd, (void *)words, reply.count * 4ull, -1, true) == 0);
}
