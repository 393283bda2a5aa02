/* A schedule as text: a lane for each rank, a line for each turn. */
#include "story.h"

struct lanes {
    const struct hl_space *space;
    FILE *out;
    uint32_t again_from; /* the step that a lasso's cycle begins with; or UINT32_MAX */
    bool waits;          /* one was told */
};

static void write_turn(void *user, const struct hl_story_turn *turn)
{
    const struct lanes *lanes = user;
    FILE *out = lanes->out;
    if (turn->first == lanes->again_from)
        fputs("\n  and from here on for ever:\n\n", out);
    fputs("  ", out);
    for (int rank = 0; rank < lanes->space->spec.ranks; rank++)
        fprintf(out, "  %c", rank == turn->rank ? '*' : '|');
    fprintf(out, "   rank %d", turn->rank);
    if (lanes->space->ctas_max > 1)
        fprintf(out, " CTA %u", turn->cta);
    if (lanes->space->spec.streams > 1)
        fprintf(out, " stream %d", turn->stream);
    fprintf(out, ", call %d%s: %s\n", turn->call, turn->kernel, turn->text);
}

static void write_wait(void *user, const char *sentence)
{
    struct lanes *lanes = user;
    fprintf(lanes->out, "%s  %s\n", lanes->waits ? "" : "\n", sentence);
    lanes->waits = true;
}

enum hl_status hl_story_write(struct hl_space *space, const struct hl_path *path, FILE *out,
                              struct hl_story *ret_story, struct hl_error *error)
{
    struct lanes lanes = { .space = space,
                           .out = out,
                           .again_from = path->again ? path->n - path->again : UINT32_MAX };
    const struct hl_story_listener listener = { write_turn, write_wait, &lanes, UINT32_MAX };
    fprintf(out, "  rank%*d", 1, 0);
    for (int rank = 1; rank < space->spec.ranks; rank++)
        fprintf(out, "%3d", rank);
    fputc('\n', out);
    return hl_story_tell(space, path, &listener, ret_story, error);
}
