/* Strongly connected parts of the graph without the steps of one stream, and a fair cycle through one; see
 * lasso.h.
 *
 * A part has a fair cycle if and only if, for each agent, it has a step of the agent or a state in which the
 * agent has none: then a cycle through all of these is fair, and else no cycle of the part is (Lichtenstein
 * and Pnueli, POPL 1985). Nothing is left out of the graph: a reduction that keeps deadlocks keeps no such
 * thing. */
#include "lasso.h"
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

bool hl_space_goes_on(const struct hl_space *s)
{
    for (int rank = 0; rank < s->spec.ranks; rank++)
        for (int stream = 0; stream < s->spec.streams; stream++)
            if (s->spec.program[rank][stream].loop_to != UINT32_MAX)
                return true;
    return false;
}

struct finder {
    const struct hl_space *space;
    const struct hl_graph *graph;
    struct hl_error *error;
    uint32_t stuck; /* the stream that is to wait, as a bit */
    uint32_t *part; /* [state] its part, from 1 on; 0: none yet, or not in the graph */
    uint32_t *low, *order,
        *next;              /* [state] of Tarjan's algorithm: low link, its number, next step to look at */
    uint32_t *stack, *path; /* of states */
    uint32_t *members, n_members; /* of the part at hand */
    uint32_t best, best_part;     /* the first state of a fair part, and that part; NONE: there is none yet */
    struct hl_graph_step *came_by; /* [state] of a way inside a part; `to`: from there */
    bool *steps, *waits, *able; /* [agent] in the part: takes one; has none somewhere; has one in a state */
    struct hl_path found;
};

static bool is_in(const struct finder *f, uint32_t state) { return f->graph->unfinished[state] & f->stuck; }

static bool is_taken(const struct finder *f, struct hl_graph_step step)
{
    const struct hl_space_agent *a = &f->space->agent[step.agent];
    return !(hl_graph_stream(f->space, a->rank, a->stream) & f->stuck) && is_in(f, step.to);
}

/*
 * Is a part fair?
 */

static void look_at_state(struct finder *f, uint32_t state)
{
    const struct hl_graph *g = f->graph;
    memset(f->able, 0, f->space->agents * sizeof *f->able);
    for (uint32_t i = g->first[state]; i < g->first[state + 1]; i++) {
        f->able[g->steps[i].agent] = true;
        if (is_taken(f, g->steps[i]) && f->part[g->steps[i].to] == f->part[state])
            f->steps[g->steps[i].agent] = true;
    }
    for (uint32_t agent = 0; agent < f->space->agents; agent++)
        f->waits[agent] |= !f->able[agent];
}

static bool is_fair(struct finder *f)
{
    bool fair = true, any = false;
    memset(f->steps, 0, f->space->agents * sizeof *f->steps);
    memset(f->waits, 0, f->space->agents * sizeof *f->waits);
    for (uint32_t i = 0; i < f->n_members; i++)
        look_at_state(f, f->members[i]);
    for (uint32_t agent = 0; agent < f->space->agents; agent++) {
        fair &= f->steps[agent] || f->waits[agent];
        any |= f->steps[agent];
    }
    return fair && any;
}

/*
 * A fair cycle through it
 */

/* What the cycle has to come by: a step of an agent, a state where it has none, or the first state again. */
struct target {
    uint32_t agent, state; /* NONE: any */
    bool steps;
};

static bool has_step(const struct hl_graph *g, uint32_t state, uint32_t agent)
{
    for (uint32_t i = g->first[state]; i < g->first[state + 1]; i++)
        if (g->steps[i].agent == agent)
            return true;
    return false;
}

static bool is_reached(const struct finder *f, const struct target *t, struct hl_graph_step step)
{
    if (t->agent == NONE)
        return step.to == t->state;
    return t->steps ? step.agent == t->agent : !has_step(f->graph, step.to, t->agent);
}

static enum hl_status append_way(struct finder *f, uint32_t from, struct hl_graph_step last, uint32_t end)
{
    uint32_t n = 1;
    for (uint32_t at = end; at != from; at = f->came_by[at].to)
        n++;
    enum hl_status status = hl_path_append(&f->found, 0, n, f->error);
    if (status)
        return status;
    f->found.again += n;
    f->found.agents[f->found.n - 1] = last.agent;
    n = f->found.n - 1;
    for (uint32_t at = end; at != from; at = f->came_by[at].to)
        f->found.agents[--n] = f->came_by[at].agent;
    return HL_STATUS_OK;
}

/* The shortest way from *at to the target, inside the part. */
static enum hl_status go(struct finder *f, const struct target *t, uint32_t *at)
{
    const struct hl_graph *g = f->graph;
    uint32_t n = 1;
    for (uint32_t i = 0; i < f->n_members; i++)
        f->came_by[f->members[i]].to = NONE;
    f->path[0] = *at;
    f->came_by[*at].to = *at;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = g->first[f->path[i]]; k < g->first[f->path[i] + 1]; k++) {
            const struct hl_graph_step step = g->steps[k];
            if (!is_taken(f, step) || f->part[step.to] != f->part[*at])
                continue;
            if (is_reached(f, t, step)) {
                const enum hl_status status = append_way(f, *at, step, f->path[i]);
                *at = step.to;
                return status;
            }
            if (f->came_by[step.to].to == NONE) {
                f->came_by[step.to] = (struct hl_graph_step){ f->path[i], step.agent };
                f->path[n++] = step.to;
            }
        }
    return hl_fail(f->error, HL_STATUS_INTERNAL, "a cycle is not where it must be");
}

/* Has the cycle, so far as it goes, what fairness to the agent asks for? */
static bool is_served(const struct finder *f, uint32_t from, uint32_t agent)
{
    const struct hl_graph *g = f->graph;
    uint32_t at = from;
    for (uint32_t i = f->found.n - f->found.again; i < f->found.n; i++) {
        if (f->found.agents[i] == agent || !has_step(g, at, agent))
            return true;
        uint32_t k = g->first[at];
        while (g->steps[k].agent != f->found.agents[i])
            k++;
        at = g->steps[k].to;
    }
    return false;
}

/* The way to the first state of the best part, and a cycle from there. */
static enum hl_status go_round(struct finder *f)
{
    const uint32_t first = f->best;
    uint32_t n = 0, at;
    enum hl_status status;
    f->members = f->stack;
    f->n_members = 0;
    for (at = 0; at < f->graph->n; at++)
        if (f->part[at] == f->best_part)
            f->members[f->n_members++] = at;
    (void)is_fair(f); /* which agents take steps in it */
    for (at = first; at; at = f->graph->parent[at].to)
        n++;
    status = n ? hl_path_append(&f->found, 0, n, f->error) : HL_STATUS_OK;
    for (at = first; at && !status; at = f->graph->parent[at].to)
        f->found.agents[--n] = f->graph->parent[at].agent;
    at = first;
    if (!status)
        status = go(f, &(struct target){ NONE, first, false }, &at);
    for (uint32_t agent = 0; agent < f->space->agents && !status; agent++)
        if (!is_served(f, first, agent))
            status = go(f, &(struct target){ agent, NONE, f->steps[agent] }, &at);
    return status || at == first ? status : go(f, &(struct target){ NONE, first, false }, &at);
}

/*
 * Parts
 */

/* The states on the stack down to `root` are a part. States are numbered as they are met, breadth first. */
static void take_part(struct finder *f, uint32_t root, uint32_t part, uint32_t *height)
{
    const struct hl_graph *g = f->graph;
    f->members = f->stack + *height;
    f->n_members = 0;
    do {
        f->members--;
        f->n_members++;
        --*height;
        f->part[*f->members] = part;
    } while (*f->members != root);
    bool loops = f->n_members > 1;
    for (uint32_t i = g->first[root]; i < g->first[root + 1]; i++)
        loops |= g->steps[i].to == root;
    uint32_t first = root;
    for (uint32_t i = 0; i < f->n_members; i++)
        first = f->members[i] < first ? f->members[i] : first;
    if (loops && first < f->best && is_fair(f)) {
        f->best = first;
        f->best_part = part;
    }
}

/* Tarjan's algorithm from one state on, without recursion. */
static void visit(struct finder *f, uint32_t root, uint32_t *count, uint32_t *parts)
{
    const struct hl_graph *g = f->graph;
    uint32_t depth = 0, height = 0;
    f->path[depth++] = root;
    while (depth) {
        const uint32_t v = f->path[depth - 1];
        if (!f->order[v]) {
            f->order[v] = f->low[v] = ++*count;
            f->next[v] = g->first[v];
            f->stack[height++] = v;
        }
        uint32_t to = NONE;
        while (f->next[v] < g->first[v + 1] && to == NONE) {
            const struct hl_graph_step step = g->steps[f->next[v]++];
            if (!is_taken(f, step))
                continue;
            if (!f->order[step.to])
                to = step.to;
            else if (!f->part[step.to] && f->order[step.to] < f->low[v])
                f->low[v] = f->order[step.to];
        }
        if (to != NONE) {
            f->path[depth++] = to;
            continue;
        }
        depth--;
        if (depth && f->low[v] < f->low[f->path[depth - 1]])
            f->low[f->path[depth - 1]] = f->low[v];
        if (f->low[v] == f->order[v])
            take_part(f, v, ++*parts, &height);
    }
}

static enum hl_status find_stuck(struct finder *f)
{
    const struct hl_graph *g = f->graph;
    uint32_t count = 0, parts = 0;
    f->best = NONE;
    memset(f->part, 0, g->n * sizeof *f->part);
    memset(f->order, 0, g->n * sizeof *f->order);
    for (uint32_t state = 0; state < g->n; state++)
        if (is_in(f, state) && !f->order[state])
            visit(f, state, &count, &parts);
    return f->best == NONE ? HL_STATUS_OK : go_round(f);
}

static bool allocate(struct finder *f)
{
    const size_t n = f->graph->n, agents = f->space->agents;
    uint32_t **const arrays[] = { &f->part, &f->low, &f->order, &f->next, &f->stack, &f->path };
    bool ok = true;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        ok &= (*arrays[i] = calloc(n, sizeof **arrays[i])) != NULL;
    f->came_by = calloc(n, sizeof *f->came_by);
    f->steps = calloc(3 * agents, sizeof *f->steps);
    f->waits = f->steps ? f->steps + agents : NULL;
    f->able = f->steps ? f->steps + 2 * agents : NULL;
    return ok && f->came_by && f->steps;
}

static enum hl_status find_in(const struct hl_space *space, const struct hl_graph *graph,
                              struct hl_path *ret_path, struct hl_error *error)
{
    struct finder f = { .space = space, .graph = graph, .error = error };
    enum hl_status status = allocate(&f)
                                ? HL_STATUS_OK
                                : hl_fail(error, HL_STATUS_MEMORY, "out of memory for %u states", graph->n);
    for (int i = 0; i < space->spec.ranks * space->spec.streams && !status && !f.found.n; i++) {
        f.stuck = 1u << i;
        status = find_stuck(&f);
    }
    free(f.part);
    free(f.low);
    free(f.order);
    free(f.next);
    free(f.stack);
    free(f.path);
    free(f.came_by);
    free(f.steps);
    if (status)
        hl_path_finish(&f.found);
    else
        *ret_path = f.found;
    return status;
}

enum hl_status hl_lasso_find(struct hl_space *space, uint32_t states_max, const volatile sig_atomic_t *stop,
                             struct hl_path *ret_path, bool *ret_whole, struct hl_error *error)
{
    struct hl_graph graph;
    *ret_path = (struct hl_path){ 0 };
    enum hl_status status = hl_graph_make(space, states_max, stop, &graph, ret_whole, error);
    if (status || !*ret_whole)
        return status;
    status = find_in(space, &graph, ret_path, error);
    hl_graph_finish(&graph);
    return status;
}

/*
 * Is it one?
 */

/* Takes the cycle once: whose steps are in it, and who cannot take one somewhere. */
static bool take_cycle(struct hl_space *s, const struct hl_path *path, bool *served, uint32_t *stepping)
{
    for (uint32_t i = path->n - path->again; i < path->n; i++) {
        const struct hl_space_agent *a = &s->agent[path->agents[i]];
        hl_space_save(s, s->scratch);
        for (uint32_t agent = 0; agent < s->agents; agent++) {
            hl_space_load(s, s->scratch);
            s->base = NULL;
            served[agent] |= !hl_space_step(s, agent);
        }
        hl_space_load(s, s->scratch);
        s->base = NULL;
        if (!hl_space_step(s, path->agents[i]))
            return false;
        served[path->agents[i]] = true;
        *stepping |= hl_graph_stream(s, a->rank, a->stream);
    }
    return true;
}

bool hl_lasso_holds(struct hl_space *s, const struct hl_path *path, int *ret_rank, int *ret_stream)
{
    struct hl_hash hash;
    uint32_t stepping = 0;
    unsigned char *begin = malloc(s->state_bytes);
    bool *served = calloc(s->agents, sizeof *served), holds = begin && served && path->again;
    hl_space_start(s, s->scratch, &hash);
    s->base = NULL;
    for (uint32_t i = 0; holds && i < path->n - path->again; i++)
        holds = path->agents[i] < s->agents && hl_space_step(s, path->agents[i]);
    if (holds) {
        hl_space_save(s, begin);
        holds = take_cycle(s, path, served, &stepping);
    }
    if (holds) {
        hl_space_save(s, s->scratch);
        holds = memcmp(begin, s->scratch, s->state_bytes) == 0;
    }
    for (uint32_t agent = 0; holds && agent < s->agents; agent++)
        holds = served[agent];
    const uint32_t stuck = holds ? hl_graph_unfinished(s) & ~stepping : 0;
    if (stuck) {
        *ret_rank = __builtin_ctz(stuck) / s->spec.streams;
        *ret_stream = __builtin_ctz(stuck) % s->spec.streams;
    }
    free(begin);
    free(served);
    return stuck != 0;
}
