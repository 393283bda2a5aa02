/* Progress of a campaign on stderr: a bar with an ETA on a terminal, a line a case elsewhere. */
#pragma once
#include "report.h"

struct hl_progress_bar {
    FILE *out;
    bool is_terminal;
    bool lines;      /* elsewhere, tell each case */
    bool shown;      /* a bar is on the screen */
    int columns;     /* of the terminal: a bar that wraps could not be taken away */
    size_t finished; /* in any order */
    /* Of the cases told so far: */
    size_t hangs, unexpected;
    size_t hangs_by_cause[HL_CAUSE_COUNT];
};

/* `lines`: whether to tell each case where there is no terminal. */
void hl_progress_init(struct hl_progress_bar *progress, FILE *out, bool lines);
void hl_progress_case(struct hl_progress_bar *progress, const struct hl_campaign *campaign,
                      const struct hl_campaign_item *item);
void hl_progress_tick(struct hl_progress_bar *progress, const struct hl_campaign *campaign, size_t finished);
/* Takes the bar away, so that something else can be written. */
void hl_progress_clear(struct hl_progress_bar *progress);
