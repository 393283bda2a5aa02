/* The list of formats. */
#include "report.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct hl_report_format *const hl_report_formats[] = { &hl_report_text, &hl_report_json,
                                                             &hl_report_junit, &hl_report_tap, NULL };

const struct hl_report_format *hl_report_find(const char *name)
{
    for (int i = 0; hl_report_formats[i]; i++)
        if (strcmp(hl_report_formats[i]->name, name) == 0)
            return hl_report_formats[i];
    return NULL;
}

bool hl_report_wants_colour(FILE *out)
{
    const char *no_color = getenv("NO_COLOR"); /* no-color.org: present and not empty */
    return isatty(fileno(out)) && !(no_color && *no_color);
}
