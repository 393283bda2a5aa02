/* Reports: one provider a file, all fed the same way: begin, every case in order, end. */
#pragma once
#include <stdbool.h>
#include <stdio.h>
#include "../framework/campaign/campaign.h"

struct hl_report {
    FILE *out;
    int columns; /* of the widest table; text only */
    bool colour;
};

struct hl_report_format {
    const char *name;
    const char *doc;
    /* Each may be NULL. `campaign` has all items from the start, results only of the finished ones. */
    void (*begin)(const struct hl_report *report, const struct hl_campaign *campaign);
    void (*on_case)(const struct hl_report *report, const struct hl_campaign *campaign,
                    const struct hl_campaign_item *item);
    void (*end)(const struct hl_report *report, const struct hl_campaign *campaign);
};

extern const struct hl_report_format hl_report_text, hl_report_json, hl_report_junit, hl_report_tap;
extern const struct hl_report_format *const hl_report_formats[]; /* NULL-terminated */

const struct hl_report_format *hl_report_find(const char *name); /* NULL: there is none */
/* Is the stream a terminal whose user did not set NO_COLOR? */
bool hl_report_wants_colour(FILE *out);
