/* See bisect.h: progress on stderr, the answer and its posterior on stdout. */
#include <jansson.h>
#include <string.h>
#include <unistd.h>
#include "bisect.h"

/* Hypotheses that are less probable are not worth a line. */
#define SHOWN_FROM 0.001

enum hl_status hl_bisect_view_run(void *user, int point, int first, int n, enum hl_shown *ret_shown,
                                  struct hl_error *error)
{
    const struct hl_bisect_view *view = user;
    return view->run(view->user, point, first, n, ret_shown, error);
}

bool hl_bisect_view_stop(void *user)
{
    const struct hl_bisect_view *view = user;
    return view->stop && view->stop(view->stop_user);
}

void hl_bisect_view_question(void *user, const struct hl_bisect_question *q)
{
    const struct hl_bisect_view *view = user;
    const bool terminal = isatty(STDERR_FILENO);
    fprintf(stderr, "%s%s=%.40s: %d hang, %d pass; %ld runs so far, a bad one hangs at about %.2g%s",
            terminal ? "\r\033[K" : "", view->axis, view->names[q->point], q->hangs, q->passes, q->runs,
            q->rate, terminal ? "" : "\n");
}

void hl_bisect_view_clear(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

static const char *name_of(const struct hl_bisect_view *view, const struct hl_bisect_result *r, int point)
{
    return point == r->points ? "none" : view->names[point];
}

static void write_posterior(const struct hl_bisect_view *view, const struct hl_bisect_result *r)
{
    printf("  probability that the first bad one is\n");
    for (int i = 0; i <= r->points; i++) {
        if (r->posterior[i] < SHOWN_FROM)
            continue;
        const int bar = (int)(r->posterior[i] * 40 + 0.5);
        printf("    %-40.40s %.3f %.*s\n", name_of(view, r, i), r->posterior[i], bar,
               "########################################");
    }
}

static void write_answer(const struct hl_bisect_view *view, const struct hl_bisect_result *r)
{
    switch (r->end) {
    case HL_BISECT_FOUND:
        if (r->low == r->high)
            printf("first bad: %s=%s, last good: %s", view->axis, view->names[r->first_bad],
                   view->names[r->first_bad - 1]);
        else
            printf("first bad: %s, one of %s .. %s, which runs do not tell apart", view->axis,
                   view->names[r->low], name_of(view, r, r->high));
        break;
    case HL_BISECT_FIRST:
        printf("the first one, %s=%s, hangs already: the range begins too late", view->axis, view->names[0]);
        break;
    case HL_BISECT_NONE: printf("no culprit here: nothing of %s hangs", view->axis); break;
    default:
        printf("undecided: first bad of %s in %s .. %s", view->axis, name_of(view, r, r->low),
               name_of(view, r, r->high));
    }
    printf(" (probability %.4f)", r->probability);
}

void hl_bisect_view_text(const struct hl_bisect_view *view, const struct hl_bisect_result *r)
{
    printf("%s\n", view->id);
    if (view->steered)
        printf("  hang rate raised by: %s (%ld runs to find out)\n", view->steered, view->steer_runs);
    write_posterior(view, r);
    if (r->hangs > 0)
        printf("  %s at a rate of %.2g (95 %%: %.2g to %.2g)\n",
               view->rates_differ ? "the first bad one hangs" : "bad ones hang", r->rate, r->rate_low,
               r->rate_high);
    if (r->hangs > 0 && !view->rates_differ)
        printf("  at that rate no method needs fewer than %.0f runs on average\n",
               hl_bisect_bound(r->points, r->rate));
    if (r->nothing > 0)
        printf("  %ld runs told nothing: they could not run, or failed in another way\n", r->nothing);
    write_answer(view, r);
    printf(", %ld runs, %.1f s\n", r->runs + view->steer_runs, view->wall_s);
}

void hl_bisect_view_json(const struct hl_bisect_view *view, const struct hl_bisect_result *r)
{
    static const char *const ends[] = {
#define X(id, name, doc) name,
        HL_BISECT_ENDS(X)
#undef X
    };
    json_t *posterior = json_array();
    for (int i = 0; i <= r->points; i++)
        if (r->posterior[i] >= SHOWN_FROM)
            json_array_append_new(posterior,
                                  json_pack("{s:s?, s:f}", "first_bad", i < r->points ? view->names[i] : NULL,
                                            "p", r->posterior[i]));
    const bool found = r->end == HL_BISECT_FOUND || r->end == HL_BISECT_FIRST;
    json_t *line = json_pack(
        "{s:s, s:s, s:s, s:s, s:s?, s:s?, s:[s?, s?], s:f, s:o, s:f, s:[f, f], s:I, s:I, s:f, s:s?, s:f}",
        "type", "bisect", "id", view->id, "axis", view->axis, "end", ends[r->end], "first_bad",
        found ? view->names[r->first_bad] : NULL, "last_good",
        r->end == HL_BISECT_FOUND ? view->names[r->first_bad - 1] : NULL, "interval",
        r->low < r->points ? view->names[r->low] : NULL, r->high < r->points ? view->names[r->high] : NULL,
        "probability", r->probability, "posterior", posterior, "rate", r->rate, "rate_ci95", r->rate_low,
        r->rate_high, "runs", (json_int_t)(r->runs + view->steer_runs), "hangs", (json_int_t)r->hangs,
        "runs_bound", hl_bisect_bound(r->points, r->rate), "steered", view->steered, "wall_s", view->wall_s);
    json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(line);
}
