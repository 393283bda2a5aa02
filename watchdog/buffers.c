/* What the Lamport buffers hold beside the rows that somebody waits for: a buffer that ought to be clean and
 * is not tells how a kernel clears, also where no word keeps a history. */
#include <stdlib.h>
#include "watch.h"

enum { ROWS = 2 }; /* a clear that begins one row too far on leaves the first, and no more */

static bool holds_data(const uint32_t *words, uint32_t count, uint32_t sentinel)
{
    for (uint32_t i = 0; i < count; i++)
        if (words[i] == sentinel)
            return false;
    return true;
}

static void look_at(const struct hl_probe *probe, struct hl_evidence *evidence, int rank, int workspace,
                    uint32_t *words)
{
    const struct hl_layout *l = &evidence->layout[workspace];
    const uint32_t count = ROWS * l->row_words;
    for (uint32_t buffer = 0; buffer < l->depth; buffer++)
        if (probe->read_words(probe->user, rank, workspace, hl_buffer_at(l, buffer), count, words) == 0 &&
            holds_data(words, count, hl_sentinel_word(l)))
            evidence->rank[rank].workspace[workspace].filled |= 1u << buffer;
}

void hl_watch_look_at_buffers(const struct hl_probe *probe, struct hl_evidence *evidence)
{
    for (int w = 0; w < evidence->workspaces; w++) {
        const struct hl_layout *l = &evidence->layout[w];
        uint32_t *words = l->family == HL_FAMILY_NCCL ? NULL : malloc(ROWS * l->row_words * sizeof *words);
        for (int r = 0; words && r < evidence->ranks; r++)
            if (evidence->rank[r].workspace[w].known)
                look_at(probe, evidence, r, w, words);
        free(words);
    }
}
