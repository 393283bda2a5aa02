/* The bar is redrawn in place; everything that is not a bar clears it first. */
#include "progress.h"
#include <string.h>
#include <unistd.h>
#include "../framework/scenario/words.h"

#define BAR 30

void hl_progress_init(struct hl_progress_bar *progress, FILE *out, bool lines)
{
    *progress = (struct hl_progress_bar){ .out = out, .is_terminal = isatty(fileno(out)), .lines = lines };
}

void hl_progress_clear(struct hl_progress_bar *progress)
{
    if (progress->shown)
        fputs("\r\033[K", progress->out);
    fflush(progress->out);
    progress->shown = false;
}

void hl_progress_case(struct hl_progress_bar *progress, const struct hl_campaign *campaign,
                      const struct hl_campaign_item *item)
{
    const struct hl_case_result *r = &item->result;
    progress->hangs += r->verdict == HL_VERDICT_HANG;
    if (progress->is_terminal || !progress->lines)
        return;
    fprintf(progress->out, "[%zu/%zu] %s", campaign->n_finished, campaign->n_items,
            hl_words_name(&hl_words_verdicts, r->verdict));
    if (r->verdict != HL_VERDICT_SKIPPED && !r->ok)
        fputs(" (UNEXPECTED)", progress->out);
    if (r->finding.cause != HL_CAUSE_NONE)
        fprintf(progress->out, " %s", hl_cause_name(r->finding.cause));
    fprintf(progress->out, "  %s\n", item->c->id);
}

static void write_duration(FILE *out, double seconds)
{
    const long s = (long)(seconds + 0.5);
    if (s >= 3600)
        fprintf(out, "%ld h %02ld min", s / 3600, s % 3600 / 60);
    else if (s >= 60)
        fprintf(out, "%ld min %02ld s", s / 60, s % 60);
    else
        fprintf(out, "%ld s", s);
}

void hl_progress_tick(struct hl_progress_bar *progress, const struct hl_campaign *campaign, size_t finished)
{
    if (!progress->is_terminal)
        return;
    progress->finished = finished;
    const size_t n = campaign->n_items;
    const int filled = n ? (int)(finished * BAR / n) : BAR;
    hl_progress_clear(progress);
    if (finished == n)
        return;
    char bar[BAR + 1];
    memset(bar, '.', BAR);
    memset(bar, '#', (size_t)filled);
    bar[BAR] = '\0';
    fprintf(progress->out, "[%s] %zu/%zu cases, %zu hung", bar, finished, n, progress->hangs);
    if (finished > 0) {
        fputs(", ", progress->out);
        write_duration(progress->out, campaign->wall_s / (double)finished * (double)(n - finished));
        fputs(" left", progress->out);
    }
    fflush(progress->out);
    progress->shown = true;
}
