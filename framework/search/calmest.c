/* The hang that is easiest to follow: fewest changes from one CTA to another.
 *
 * A state together with the agent that came last is a node; going on with the same agent costs nothing, any
 * other agent costs one. Nodes are visited in order of cost, so the first hang met is one of least cost. */
#include <stdlib.h>
#include <string.h>
#include "explore.h"
#include "visited.h"

struct node {
    struct hl_hash hash;
    uint32_t parent, agent;
};

struct calm {
    struct hl_space *space;
    struct hl_error *error;
    struct hl_visited visited;
    struct node *nodes; /* all that were ever queued, with their states */
    unsigned char *states;
    uint32_t n, capacity, nodes_max;
    uint32_t *queue[2]; /* of this cost, of the next */
    uint32_t queued[2], taken;
};

static struct hl_hash key_of(struct hl_hash hash, uint32_t agent)
{
    return (struct hl_hash){ hash.low + (agent + 1ull) * 0x9e3779b97f4a7c15u, hash.high };
}

static enum hl_status grow(struct calm *c)
{
    const uint32_t capacity = c->capacity ? 2 * c->capacity : 4096;
    struct node *nodes = realloc(c->nodes, capacity * sizeof *nodes);
    if (nodes)
        c->nodes = nodes;
    unsigned char *states = realloc(c->states, (size_t)capacity * c->space->state_bytes);
    if (states)
        c->states = states;
    bool failed = !nodes || !states;
    for (int i = 0; i < 2; i++) {
        uint32_t *queue = realloc(c->queue[i], capacity * sizeof *queue);
        if (queue)
            c->queue[i] = queue;
        failed |= !queue;
    }
    if (failed)
        return hl_fail(c->error, HL_STATUS_MEMORY, "out of memory at %u states", c->n);
    c->capacity = capacity;
    return HL_STATUS_OK;
}

static enum hl_status push(struct calm *c, int queue, struct hl_hash hash, uint32_t parent, uint32_t agent)
{
    if (hl_visited_has(&c->visited, key_of(hash, agent)))
        return HL_STATUS_OK;
    const enum hl_status status = c->n == c->capacity ? grow(c) : HL_STATUS_OK;
    if (status)
        return status;
    hl_space_save(c->space, c->states + (size_t)c->n * c->space->state_bytes);
    c->nodes[c->n] = (struct node){ hash, parent, agent };
    c->queue[queue][c->queued[queue]++] = c->n++;
    return HL_STATUS_OK;
}

/* Visits a node; *ret_hangs: it has no step and has not ended. */
static enum hl_status visit(struct calm *c, uint32_t number, bool *ret_hangs)
{
    struct hl_space *s = c->space;
    const struct node node = c->nodes[number];
    bool is_new, any = false;
    *ret_hangs = false;
    enum hl_status status = hl_visited_add(&c->visited, key_of(node.hash, node.agent), &is_new, c->error);
    if (status || !is_new)
        return status;
    memcpy(s->scratch, c->states + (size_t)number * s->state_bytes, s->state_bytes); /* states may move */
    hl_space_load(s, s->scratch);
    for (uint32_t agent = 0; agent < s->agents && !status; agent++) {
        if (!hl_space_step(s, agent))
            continue;
        any = true;
        status = push(c, agent != node.agent, hl_space_hash_after(s, node.hash), number, agent);
        hl_space_undo(s);
    }
    *ret_hangs = !any && !hl_space_ended(s);
    return status;
}

static enum hl_status trace_back(const struct calm *c, uint32_t number, struct hl_path *ret_path)
{
    uint32_t n = 0;
    for (uint32_t at = number; at; at = c->nodes[at].parent)
        n++;
    uint16_t *agents = calloc(n ? n : 1, sizeof *agents);
    if (!agents)
        return hl_fail(c->error, HL_STATUS_MEMORY, "out of memory for a schedule");
    *ret_path = (struct hl_path){ agents, n, n };
    for (uint32_t at = number; at; at = c->nodes[at].parent)
        agents[--n] = (uint16_t)c->nodes[at].agent;
    return HL_STATUS_OK;
}

static enum hl_status search(struct calm *c, struct hl_path *ret_path)
{
    unsigned char *start = calloc(1, c->space->state_bytes);
    struct hl_hash hash;
    if (!start)
        return hl_fail(c->error, HL_STATUS_MEMORY, "out of memory for a state");
    hl_space_start(c->space, start, &hash);
    free(start);
    enum hl_status status = push(c, 0, hash, 0, UINT32_MAX);
    while (!status && c->n < c->nodes_max) {
        bool hangs;
        if (c->taken == c->queued[0]) {
            uint32_t *const done = c->queue[0];
            if (!c->queued[1])
                return HL_STATUS_OK;
            c->queue[0] = c->queue[1];
            c->queue[1] = done;
            c->queued[0] = c->queued[1];
            c->queued[1] = c->taken = 0;
        }
        const uint32_t number = c->queue[0][c->taken++];
        status = visit(c, number, &hangs);
        if (!status && hangs)
            return trace_back(c, number, ret_path);
    }
    return status;
}

enum hl_status hl_explore_calmest(struct hl_space *space, uint32_t nodes_max, struct hl_path *ret_path,
                                  struct hl_error *error)
{
    struct calm c = { .space = space, .error = error, .nodes_max = nodes_max };
    *ret_path = (struct hl_path){ 0 };
    enum hl_status status = hl_visited_init(&c.visited, error);
    if (!status)
        status = search(&c, ret_path);
    hl_visited_finish(&c.visited);
    free(c.nodes);
    free(c.states);
    free(c.queue[0]);
    free(c.queue[1]);
    return status;
}
