/* What watching does to a race: the share of first calls that hang (`calls race`) when nobody looks, and
 * under each level of detail. The program itself tells a hang, by a time limit and without any tool, so what
 * counts is the same for all; they take turns of 50 trials, with the same delays.
 *
 * Two races, each lost about once in ten times: a narrow one, which a shift of a microsecond decides, and a
 * wide one, where now and then a rank is late by up to 100 us. "marks" is `watchdog.detail: light` of
 * `hanglab run`: the harness's own feed, without CUPTI. */
#include <math.h>
#include <string.h>
#include "watch_bench.h"

#define TRIALS 50
#define RATE 0.10
#define FIRST_WINDOW_NS 30000
#define WIDE_NS 100000
#define WIDE_ONE_IN 9

struct candidate {
    const char *name;
    struct hl_watching watching;
    bool marked;
    struct hl_server calls;
    int trials, hung;
};

struct race {
    const char *name;
    unsigned window_ns, one_in;
};

static void race(struct candidate *c, const struct race *r)
{
    char line[64];
    snprintf(line, sizeof line, "race %d %d %u %u", c->marked, TRIALS, r->window_ns, r->one_in);
    c->hung += (int)hl_server_ask(&c->calls, line);
    c->trials += TRIALS;
}

/* Wilson, 95 %. */
static void print(const struct candidate *c)
{
    const double z = 1.96, n = c->trials, p = c->hung / n;
    const double middle = (p + z * z / (2 * n)) / (1 + z * z / n);
    const double half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n);
    printf("%-44s %6d of %5d  %5.1f %%   [%.1f, %.1f]\n", c->name, c->hung, c->trials, p * 100,
           (middle - half) * 100, (middle + half) * 100);
}

/* A trial hangs when the fill comes later than some time, which the share of hangs tells. All take their
 * turns, or the first one would be measured with warmer caches than it has later. */
static unsigned find_window(struct candidate *all, int n)
{
    double window_ns = FIRST_WINDOW_NS;
    for (int step = 0; step < 3; step++) {
        all[0].trials = all[0].hung = 0;
        for (int i = 0; i < 6 * n; i++)
            race(&all[i % n], &(struct race){ .window_ns = (unsigned)window_ns, .one_in = 1 });
        const double late_ns = window_ns * (1 - (double)all[0].hung / all[0].trials);
        window_ns = late_ns > 100 ? late_ns / (1 - RATE) : 100;
    }
    return (unsigned)window_ns;
}

static void start(struct candidate *all, int n)
{
    for (int i = 0; i < n; i++)
        hl_server_start(&all[i].calls, "calls", &all[i].watching);
    for (int i = 0; i < n; i++)
        hl_server_wait(&all[i].calls);
}

static void take_turns(struct candidate *all, int n, int turns, const struct race *r)
{
    printf("%s: one fill in %u comes up to %u ns late\n", r->name, r->one_in, r->window_ns);
    for (int i = 0; i < n; i++)
        all[i].trials = all[i].hung = 0;
    for (int t = 0; t < turns; t++)
        for (int i = 0; i < n; i++)
            race(&all[t % 2 ? n - 1 - i : i], r);
    for (int i = 0; i < n; i++)
        print(&all[i]);
}

void hl_bench_observer(int turns)
{
    static const char quiet[] = "-t 10s"; /* these hangs are released by the program itself */
    struct candidate all[] = {
        { .name = "none" },
        { .name = "none, again" },
        { .name = "marks (hanglab run, light)", .marked = true },
        { .name = "light", .watching = { HL_WAY_HANGLAB, HL_LEVEL_LIGHT, quiet } },
        { .name = "cupti", .watching = { HL_WAY_HANGLAB, HL_LEVEL_CUPTI, quiet } },
        { .name = "node", .watching = { HL_WAY_HANGLAB, HL_LEVEL_NODE, quiet } },
        { .name = "bare subscriber, light", .watching = { HL_WAY_BARE, HL_LEVEL_LIGHT, NULL } },
        { .name = "bare subscriber, node", .watching = { HL_WAY_BARE, HL_LEVEL_NODE, NULL } },
        { .name = "pc", .watching = { HL_WAY_HANGLAB, HL_LEVEL_PC, quiet } },
    };
    const int n = sizeof all / sizeof all[0];
    start(all, n);
    take_turns(all, n, turns, &(struct race){ "wide", WIDE_NS, WIDE_ONE_IN });
    const unsigned window_ns = find_window(all, n);
    take_turns(all, n, turns, &(struct race){ "narrow", window_ns, 1 });
    for (int i = 0; i < n; i++)
        hl_server_stop(&all[i].calls);
}
