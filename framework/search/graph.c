/* Makes the graph, breadth first; see graph.h. States themselves are kept until their steps are taken. */
#include "graph.h"
#include <stdlib.h>
#include <string.h>

/* Open addressing with linear probing, at most half full. */
struct numbered {
    struct hl_hash hash;
    uint32_t number; /* and one more; 0: free */
};

struct maker {
    struct hl_space *space;
    struct hl_error *error;
    struct hl_graph graph;
    struct numbered *table;
    uint64_t table_size;
    struct hl_hash *hashes; /* [state] */
    unsigned char *states;  /* a ring: of those whose steps are not taken, state i at i modulo its size */
    uint32_t ring;
};

static enum hl_status out_of_memory(const struct maker *m)
{
    return hl_fail(m->error, HL_STATUS_MEMORY, "out of memory for a graph of %u states", m->graph.n);
}

static void *state_at(const struct maker *m, uint32_t number)
{
    return m->states + (size_t)(number % m->ring) * m->space->state_bytes;
}

static struct numbered *find(struct numbered *table, uint64_t size, struct hl_hash h)
{
    uint64_t i = (uint64_t)((unsigned __int128)h.high * size >> 64);
    while (table[i].number && (table[i].hash.low != h.low || table[i].hash.high != h.high))
        i = i + 1 == size ? 0 : i + 1;
    return &table[i];
}

static bool grow_table(struct maker *m)
{
    const uint64_t size = m->table_size ? 2 * m->table_size : 1 << 14;
    struct numbered *table = calloc(size, sizeof *table);
    if (!table)
        return false;
    for (uint64_t i = 0; i < m->table_size; i++)
        if (m->table[i].number)
            *find(table, size, m->table[i].hash) = m->table[i];
    free(m->table);
    m->table = table;
    m->table_size = size;
    return true;
}

static void *larger(void *array, size_t bytes, bool *failed)
{
    void *moved = realloc(array, bytes);
    *failed |= !moved;
    return moved ? moved : array;
}

static bool grow_states(struct maker *m)
{
    struct hl_graph *g = &m->graph;
    const size_t capacity = g->capacity ? 2 * g->capacity : 4096;
    bool failed = false;
    g->first = larger(g->first, (capacity + 1) * sizeof *g->first, &failed);
    g->unfinished = larger(g->unfinished, capacity * sizeof *g->unfinished, &failed);
    g->parent = larger(g->parent, capacity * sizeof *g->parent, &failed);
    m->hashes = larger(m->hashes, capacity * sizeof *m->hashes, &failed);
    g->capacity = failed ? g->capacity : (uint32_t)capacity;
    return !failed;
}

/* The states from `oldest` on move to their places in a larger ring. */
static bool grow_ring(struct maker *m, uint32_t oldest)
{
    const size_t bytes = m->space->state_bytes;
    const uint32_t ring = m->ring ? 2 * m->ring : 1024;
    unsigned char *states = malloc(ring * bytes);
    if (!states)
        return false;
    for (uint32_t i = oldest; i < m->graph.n; i++)
        memcpy(states + (size_t)(i % ring) * bytes, state_at(m, i), bytes);
    free(m->states);
    m->states = states;
    m->ring = ring;
    return true;
}

uint32_t hl_graph_unfinished(const struct hl_space *s)
{
    uint32_t set = 0;
    for (int rank = 0; rank < s->spec.ranks; rank++)
        for (int stream = 0; stream < s->spec.streams; stream++) {
            const struct hl_space_stream *q = hl_space_stream(s, rank, stream);
            const bool waits = s->spec.host[rank].n ? hl_space_host(s, rank)->enqueued[stream] != 0
                                                    : q->next < s->spec.program[rank][stream].n;
            if (q->in_flight || waits)
                set |= hl_graph_stream(s, rank, stream);
        }
    return set;
}

/* The number of the working state, which is perhaps new; `oldest`: states before it are done with. */
static enum hl_status number_it(struct maker *m, struct hl_hash hash, struct hl_graph_step parent,
                                uint32_t oldest, uint32_t *ret_number)
{
    struct hl_graph *g = &m->graph;
    if (2 * (uint64_t)(g->n + 1) > m->table_size && !grow_table(m))
        return out_of_memory(m);
    struct numbered *known = find(m->table, m->table_size, hash);
    if (known->number) {
        *ret_number = known->number - 1;
        return HL_STATUS_OK;
    }
    if ((g->n == g->capacity && !grow_states(m)) || (g->n - oldest == m->ring && !grow_ring(m, oldest)))
        return out_of_memory(m);
    *known = (struct numbered){ hash, g->n + 1 };
    hl_space_save(m->space, state_at(m, g->n));
    m->hashes[g->n] = hash;
    g->parent[g->n] = parent;
    g->unfinished[g->n] = hl_graph_unfinished(m->space);
    *ret_number = g->n++;
    return HL_STATUS_OK;
}

static enum hl_status add_step(struct maker *m, struct hl_graph_step step)
{
    struct hl_graph *g = &m->graph;
    bool failed = false;
    if (g->n_steps == g->steps_capacity) {
        const uint32_t capacity = g->n_steps ? 2 * g->n_steps : 16384;
        g->steps = larger(g->steps, capacity * sizeof *g->steps, &failed);
        g->steps_capacity = failed ? g->steps_capacity : capacity;
    }
    if (failed)
        return out_of_memory(m);
    g->steps[g->n_steps++] = step;
    return HL_STATUS_OK;
}

/* All steps of a state. */
static enum hl_status expand(struct maker *m, uint32_t number)
{
    struct hl_space *s = m->space;
    enum hl_status status = HL_STATUS_OK;
    memcpy(s->scratch, state_at(m, number), s->state_bytes); /* the ring may move */
    hl_space_load(s, s->scratch);
    m->graph.first[number] = m->graph.n_steps;
    for (uint32_t agent = 0; agent < s->agents && !status; agent++) {
        uint32_t to;
        if (!hl_space_step(s, agent))
            continue;
        const struct hl_graph_step by = { number, (uint16_t)agent };
        status = number_it(m, hl_space_hash_after(s, m->hashes[number]), by, number, &to);
        if (!status)
            status = add_step(m, (struct hl_graph_step){ to, (uint16_t)agent });
        hl_space_undo(s);
    }
    return status;
}

static enum hl_status make(struct maker *m, uint32_t states_max, const volatile sig_atomic_t *stop,
                           bool *ret_whole)
{
    struct hl_hash hash;
    uint32_t number;
    *ret_whole = true;
    if (!grow_table(m) || !grow_states(m) || !grow_ring(m, 0))
        return out_of_memory(m);
    hl_space_start(m->space, m->space->scratch, &hash);
    enum hl_status status = number_it(m, hash, (struct hl_graph_step){ 0, 0 }, 0, &number);
    for (uint32_t i = 0; i < m->graph.n && !status && *ret_whole; i++) {
        status = expand(m, i);
        *ret_whole = m->graph.n <= states_max && !(stop && *stop);
    }
    m->graph.first[m->graph.n] = m->graph.n_steps;
    return status;
}

enum hl_status hl_graph_make(struct hl_space *space, uint32_t states_max, const volatile sig_atomic_t *stop,
                             struct hl_graph *ret_graph, bool *ret_whole, struct hl_error *error)
{
    struct maker m = { .space = space, .error = error };
    const enum hl_status status = make(&m, states_max, stop, ret_whole);
    free(m.table);
    free(m.hashes);
    free(m.states);
    if (status || !*ret_whole)
        hl_graph_finish(&m.graph);
    else
        *ret_graph = m.graph;
    return status;
}

void hl_graph_finish(struct hl_graph *g)
{
    free(g->first);
    free(g->steps);
    free(g->unfinished);
    free(g->parent);
    *g = (struct hl_graph){ 0 };
}
