/* Do two engines say the same? Reads the results of both (`hanglab run --format json`) and writes, as
 * Markdown, how many cases of each scenario end alike, then every outcome that differs and what was skipped
 * on the second one, and why. Where rates of hangs differ, Fisher's exact test says how likely chance alone
 * makes two that far apart. Exit: 0, 1 something differs, 64 usage, 99 a file cannot be read. */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../framework/campaign/statistics.h"

enum { TEXT_MAX = 400, CASES_MAX = 20000, GROUPS_MAX = 2000 };

/* A case on one engine. */
struct outcome {
    const char *verdict, *cause, *skipped; /* cause, skipped: "" */
    int hangs, runs;
};

struct both {
    const char *id;
    char scenario[128];
    struct outcome engine[2];
};

/* Cases that differ, or are skipped, in the same way. */
struct group {
    char text[TEXT_MAX];
    int cases, hangs[2], runs[2];
};

static struct both cases[CASES_MAX];
static int n_cases;

_Noreturn static void die(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    exit(code);
}

static const char *text_of(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "";
}

static struct outcome outcome_of(const json_t *json)
{
    return (struct outcome){ .verdict = text_of(json, "verdict"),
                             .cause = text_of(json, "cause"),
                             .skipped = text_of(json, "reason"),
                             .hangs = (int)json_integer_value(json_object_get(json, "hangs")),
                             .runs = (int)json_integer_value(json_object_get(json, "runs")) };
}

/* Adds a case of the first engine, or what the second one says to it. Ids are unique. */
static void add(const json_t *json, int engine)
{
    const char *id = text_of(json, "id");
    int i = 0;
    if (engine == 0)
        i = n_cases;
    else
        while (i < n_cases && strcmp(cases[i].id, id) != 0)
            i++;
    if (i == CASES_MAX)
        die(99, "more than %d cases\n", CASES_MAX);
    if (engine == 0) {
        cases[n_cases++].id = id;
        snprintf(cases[i].scenario, sizeof cases[i].scenario, "%.*s", (int)strcspn(id, "/"), id);
    }
    if (i < n_cases)
        cases[i].engine[engine] = outcome_of(json);
}

/* The objects stay: the cases point into them. */
static void read_results(const char *path, int engine)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t size = 0;
    if (!file)
        die(99, "%s cannot be read\n", path);
    while (getline(&line, &size, file) > 0) {
        json_t *json = json_loads(line, 0, NULL);
        if (strcmp(text_of(json, "type"), "case") == 0)
            add(json, engine);
    }
    free(line);
    fclose(file);
}

static bool ran(const struct outcome *o) { return o->verdict && o->runs > 0; }

static bool same(const struct both *b)
{
    return strcmp(b->engine[0].verdict, b->engine[1].verdict) == 0 &&
           strcmp(b->engine[0].cause, b->engine[1].cause) == 0;
}

static void count(struct group *groups, int *n, const struct both *b, const char *text)
{
    int i = 0;
    while (i < *n && strcmp(groups[i].text, text) != 0)
        i++;
    if (i == GROUPS_MAX)
        die(99, "more than %d kinds of differences\n", GROUPS_MAX);
    if (i == *n)
        snprintf(groups[(*n)++].text, TEXT_MAX, "%s", text);
    groups[i].cases++;
    for (int e = 0; e < 2; e++) {
        groups[i].hangs[e] += b->engine[e].hangs;
        groups[i].runs[e] += b->engine[e].runs;
    }
}

static const char *said(const struct outcome *o, char text[128])
{
    snprintf(text, 128, "%s%s%s", o->verdict, o->cause[0] ? ", " : "", o->cause);
    return text;
}

static int print_counts(void)
{
    int total[4] = { 0 };
    puts("| scenario | cases | the same | else | not run on the second |\n|---|---|---|---|---|");
    for (int i = 0; i < n_cases;) {
        int c[4] = { 0 };
        const char *scenario = cases[i].scenario;
        for (; i < n_cases && strcmp(cases[i].scenario, scenario) == 0; i++) {
            const bool both = ran(&cases[i].engine[0]) && ran(&cases[i].engine[1]);
            c[0]++;
            c[!both ? 3 : same(&cases[i]) ? 1 : 2]++;
        }
        printf("| %s | %d | %d | %d | %d |\n", scenario, c[0], c[1], c[2], c[3]);
        for (int k = 0; k < 4; k++)
            total[k] += c[k];
    }
    printf("| all | %d | %d | %d | %d |\n", total[0], total[1], total[2], total[3]);
    return total[2];
}

static void print_differences(void)
{
    static struct group groups[GROUPS_MAX];
    int n = 0;
    for (int i = 0; i < n_cases; i++) {
        char text[TEXT_MAX], first[128], second[128];
        const struct both *b = &cases[i];
        if (!ran(&b->engine[0]) || !ran(&b->engine[1]) || same(b))
            continue;
        snprintf(text, sizeof text, "%s | %s | %s", b->scenario, said(&b->engine[0], first),
                 said(&b->engine[1], second));
        count(groups, &n, b, text);
    }
    puts("\n| scenario | first | second | cases | hangs first | second | chance "
         "|\n|---|---|---|---|---|---|---|");
    for (int i = 0; i < n; i++)
        printf("| %s | %d | %d of %d | %d of %d | %.2g |\n", groups[i].text, groups[i].cases,
               groups[i].hangs[0], groups[i].runs[0], groups[i].hangs[1], groups[i].runs[1],
               hl_fisher_exact(groups[i].hangs[0], groups[i].runs[0], groups[i].hangs[1], groups[i].runs[1]));
}

/* A reason without its numbers, so that cases with the same one come together. */
static void print_skipped(void)
{
    static struct group groups[GROUPS_MAX];
    int n = 0;
    for (int i = 0; i < n_cases; i++) {
        char text[TEXT_MAX];
        const struct outcome *o = &cases[i].engine[1];
        if (ran(o))
            continue;
        snprintf(text, sizeof text, "%s", o->verdict ? o->skipped : "not reached");
        for (char *c = text; *c; c++)
            *c = *c >= '0' && *c <= '9' ? '#' : *c == '|' ? '/' : *c;
        count(groups, &n, &cases[i], text);
    }
    puts("\n| not run on the second | cases |\n|---|---|");
    for (int i = 0; i < n; i++)
        printf("| %s | %d |\n", groups[i].text, groups[i].cases);
}

static void print_every_case(void)
{
    puts("\n| case | first | second |\n|---|---|---|");
    for (int i = 0; i < n_cases; i++) {
        char first[128], second[128];
        const struct outcome *o = cases[i].engine;
        printf("| %s | %s, %d of %d |", cases[i].id, said(&o[0], first), o[0].hangs, o[0].runs);
        if (ran(&o[1]))
            printf(" %s, %d of %d |\n", said(&o[1], second), o[1].hangs, o[1].runs);
        else
            puts(" not run |");
    }
}

int main(int argc, char **argv)
{
    const bool every = argc > 1 && strcmp(argv[1], "--cases") == 0;
    if (argc != 3 + every)
        die(64, "usage: engine_table [--cases] FIRST.jsonl SECOND.jsonl\n");
    for (int engine = 0; engine < 2; engine++)
        read_results(argv[1 + every + engine], engine);
    if (n_cases == 0)
        die(99, "%s has no cases\n", argv[1 + every]);
    const int different = print_counts();
    print_differences();
    print_skipped();
    if (every)
        print_every_case();
    return different ? 1 : 0;
}
