/* The bar is redrawn in place; everything that is not a bar clears it first. */
#include "progress.h"
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "../framework/scenario/text.h"
#include "../framework/scenario/words.h"

#define BAR 20

void hl_progress_init(struct hl_progress_bar *progress, FILE *out, bool lines)
{
    struct winsize size;
    const bool known = ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    *progress = (struct hl_progress_bar){
        .out = out, .is_terminal = isatty(fileno(out)), .lines = lines, .columns = known ? size.ws_col : 80
    };
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
    progress->hangs_by_cause[r->finding.cause] += r->verdict == HL_VERDICT_HANG;
    progress->unexpected += r->verdict != HL_VERDICT_SKIPPED && !r->ok;
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

static void add_duration(char *line, size_t size, double seconds)
{
    const long s = (long)(seconds + 0.5);
    if (s >= 3600)
        hl_text_add(line, size, "%ld h %02ld min", s / 3600, s % 3600 / 60);
    else if (s >= 60)
        hl_text_add(line, size, "%ld min %02ld s", s / 60, s % 60);
    else
        hl_text_add(line, size, "%ld s", s);
}

/* "4 hung: sentinel-collision 3, late-clear 1" */
static void add_hangs(const struct hl_progress_bar *progress, char *line, size_t size)
{
    const char *separator = ": ";
    hl_text_add(line, size, ", %zu hung", progress->hangs);
    for (int cause = HL_CAUSE_NONE + 1; cause < HL_CAUSE_COUNT; cause++) {
        if (progress->hangs_by_cause[cause] == 0)
            continue;
        hl_text_add(line, size, "%s%s %zu", separator, hl_cause_name((enum hl_cause)cause),
                    progress->hangs_by_cause[cause]);
        separator = ", ";
    }
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
    char bar[BAR + 1], line[512] = "";
    memset(bar, '.', BAR);
    memset(bar, '#', (size_t)filled);
    bar[BAR] = '\0';
    hl_text_add(line, sizeof line, "[%s] %zu/%zu cases", bar, finished, n);
    if (finished > 0) {
        hl_text_add(line, sizeof line, ", ");
        add_duration(line, sizeof line, campaign->wall_s / (double)finished * (double)(n - finished));
        hl_text_add(line, sizeof line, " left");
    }
    if (progress->unexpected > 0)
        hl_text_add(line, sizeof line, ", %zu UNEXPECTED", progress->unexpected);
    add_hangs(progress, line, sizeof line);
    fprintf(progress->out, "%.*s", progress->columns - 1, line);
    fflush(progress->out);
    progress->shown = true;
}
