/* Takes turns, and notices when that goes on for ever: turns are a function of the state at their beginning,
 * so a state that comes back there (Brent's search for a cycle, states compared whole) comes back again. */
#include "turns.h"
#include <stdlib.h>
#include <string.h>

/* One round; *ret_any: somebody took a step. */
static enum hl_status take_round(struct hl_space *s, const struct hl_turns *turns, uint32_t first,
                                 struct hl_path *path, uint32_t *steps, bool *ret_any, struct hl_error *error)
{
    *ret_any = false;
    for (uint32_t i = 0; i < s->agents; i++) {
        const uint16_t agent = turns->order[(first + i) % s->agents];
        if (!hl_space_step(s, agent))
            continue;
        *ret_any = true;
        ++*steps;
        const enum hl_status status = path ? hl_path_append(path, agent, 1, error) : HL_STATUS_OK;
        if (status)
            return status;
    }
    return HL_STATUS_OK;
}

static enum hl_status take(struct hl_space *s, const struct hl_turns *turns, unsigned char *seen,
                           struct hl_path *path, enum hl_turns_end *ret_end, struct hl_error *error)
{
    uint32_t first = 0, steps = 0, rounds = 0, next_seen = 1;
    while (turns->last != UINT32_MAX && turns->order[first++] != turns->last) {
    }
    for (*ret_end = HL_TURNS_CUT; steps < turns->steps_max;) {
        bool any;
        const enum hl_status status = take_round(s, turns, first, path, &steps, &any, error);
        if (status)
            return status;
        if (!any) {
            *ret_end = hl_space_ended(s) ? HL_TURNS_ENDED : HL_TURNS_HANGS;
            break;
        }
        hl_space_save(s, s->scratch);
        if (rounds && memcmp(s->scratch, seen, s->state_bytes) == 0) {
            *ret_end = HL_TURNS_REPEATS;
            break;
        }
        if (++rounds == next_seen) {
            memcpy(seen, s->scratch, s->state_bytes);
            next_seen *= 2;
        }
    }
    return HL_STATUS_OK;
}

enum hl_status hl_turns_take(struct hl_space *space, const struct hl_turns *turns, struct hl_path *path,
                             enum hl_turns_end *ret_end, struct hl_error *error)
{
    unsigned char *seen = malloc(space->state_bytes);
    if (!seen)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a state");
    space->base = NULL;
    const enum hl_status status = take(space, turns, seen, path, ret_end, error);
    free(seen);
    return status;
}
