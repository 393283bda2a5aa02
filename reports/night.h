/* What a sweep has shown, and what changed between nights: for people and for machines. */
#pragma once
#include <stdio.h>
#include "../framework/campaign/compare.h"
#include "../framework/campaign/results.h"

/* "Hangs more than `high`, or less than `low`?" */
struct hl_question {
    double low, high, error; /* high 0: not asked */
};

struct hl_night_report {
    FILE *out;
    int columns;
    bool colour;
    const char *out_dir;
    const struct hl_results *results;
    struct hl_question question;
    double clean_limit; /* how many clean runs until a rate below this may be said */
    bool interrupted;
};

void hl_night_write_text(const struct hl_night_report *report);
void hl_night_write_json(const struct hl_night_report *report);

void hl_changes_write_text(FILE *out, const struct hl_night *nights, int n_nights,
                           const struct hl_comparison *comparison, double false_positives, int columns);
void hl_changes_write_json(FILE *out, const struct hl_night *nights, const struct hl_comparison *comparison);
