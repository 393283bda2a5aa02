/* Do ranks on GPUs of their own end as the simulator says? Runs the cases of scenario files in another world,
 * one rank a GPU, first on the simulator, then on the GPUs, and tells where they differ.
 *
 *     beside_sim --engine sim --gpus 2 --runs 20 scenarios/catalogue/x.yaml .. >sim.tsv     (no GPU needed)
 *     beside_sim --engine cuda --gpus 2 --beside sim.tsv [--seconds N] scenarios/catalogue/x.yaml ..
 *
 * --placement process or virtual (default) replaces the files' own; --only TEXT and --without TEXT
 * (up to 8 of them) choose cases with and without it in their id. Ranks of faults and strikes are folded
 * into the smaller world. A line is a case and what its runs ended as, "hang:peer-dead 2" for example. An
 * ending counts as the simulator's when one of the simulator's runs of the case ended so. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../../framework/campaign/run.h"
#include "../../../framework/engine/engines.h"
#include "../../../framework/scenario/words.h"
#include "../bench.h"

/* A hang costs its threshold in real time. */
#define THRESHOLD_NS 150000000u
#define ENDINGS_MAX 16
#define WITHOUT_MAX 8

struct endings {
    int n;
    struct ending {
        char what[64];
        int runs;
    } seen[ENDINGS_MAX];
};

static struct {
    const struct hl_engine *engine;
    enum hl_placement placement;
    int gpus, runs;
    double until_s;
    char *beside;     /* the simulator's lines, or NULL */
    const char *only; /* text of ids, or NULL */
    const char *without[WITHOUT_MAX];
    int n_without;
    int cases, as_sim, differ, skipped, not_reached;
} b = { .placement = HL_PLACEMENT_VIRTUAL, .gpus = 2, .runs = 1 };

/* The case in a world with a rank on each GPU. */
static void fold(struct hl_config *c)
{
    c->world.ranks = c->world.gpus = b.gpus;
    c->world.placement = b.placement;
    for (int i = 0; i < c->n_faults; i++)
        c->faults[i].rank %= b.gpus;
    if (c->subject.strike.rank > 0)
        c->subject.strike.rank %= b.gpus;
    if (!c->watchdog.threshold_ns)
        c->watchdog.threshold_ns = THRESHOLD_NS;
    c->geometry = HL_GEOMETRY_REDUCED;
}

static void add(struct endings *e, const char *what)
{
    int i = 0;
    while (i < e->n && strcmp(e->seen[i].what, what) != 0)
        i++;
    if (i == ENDINGS_MAX)
        return;
    if (i == e->n)
        snprintf(e->seen[e->n++].what, sizeof e->seen[i].what, "%s", what);
    e->seen[i].runs++;
}

/* Did one of the simulator's runs of the case end so? Its line is "ID <tab> WHAT N <tab> WHAT N ..". */
static bool has_simulator(const char *line, const char *what)
{
    char field[80];
    snprintf(field, sizeof field, "\t%s ", what);
    const char *end = strchr(line, '\n'), *found = strstr(line, field);
    return found && (!end || found < end);
}

static const char *line_of(const char *id)
{
    const size_t length = strlen(id);
    for (const char *line = b.beside; line && *line;
         line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, id, length) == 0 && line[length] == '\t')
            return line;
    return NULL;
}

static void judge(const char *id, const struct endings *e, const char *summary)
{
    const char *line = line_of(id);
    bool same = line != NULL;
    if (!b.beside)
        return;
    for (int i = 0; i < e->n && same; i++)
        same = has_simulator(line, e->seen[i].what);
    b.as_sim += same;
    b.differ += !same;
    if (!same)
        printf("\n  differs; simulator:%.*s\n  %s", line ? (int)strcspn(line + strlen(id), "\n") : 0,
               line ? line + strlen(id) : "", summary);
}

static void run_case(const struct hl_scenario *scenario, const struct hl_case *original)
{
    const struct hl_run_options options = { .engine = b.engine, .seed = 1 };
    struct hl_case c = *original;
    struct endings endings = { 0 };
    struct hl_error error = { 0 };
    char what[64], summary[sizeof error.message] = "";
    fold(&c.config);
    printf("%s", c.id);
    for (int run = 0; run < b.runs; run++) {
        struct hl_run_result result;
        if (hl_run_once(scenario, &c, &options, run, HL_VERDICT_SKIPPED, &result, &error) != HL_STATUS_OK) {
            printf("\tskipped: %s\n", error.message);
            b.skipped++;
            return;
        }
        const struct hl_finding *f = &result.finding;
        snprintf(what, sizeof what, "%s:%s", hl_words_name(&hl_words_verdicts, (int)f->verdict),
                 f->verdict == HL_VERDICT_PASS ? "-" : hl_cause_name(f->cause));
        snprintf(summary, sizeof summary, "%s", f->summary);
        add(&endings, what);
        hl_run_result_finish(&result);
    }
    for (int i = 0; i < endings.n; i++)
        printf("\t%s %d", endings.seen[i].what, endings.seen[i].runs);
    judge(c.id, &endings, summary);
    puts("");
    b.cases++;
}

/* Of a case that stands in the matrix once for each placement, it is the one of this world. */
static bool is_asked_for(const struct hl_case *c)
{
    if (b.only && !strstr(c->id, b.only))
        return false;
    for (int i = 0; i < b.n_without; i++)
        if (strstr(c->id, b.without[i]))
            return false;
    for (int i = 0; i < c->n_params; i++)
        if (strcmp(c->params[i].path, "world.placement") == 0)
            return c->config.world.placement == b.placement;
    return true;
}

static void run_file(const char *path)
{
    struct hl_scenario *scenario;
    struct hl_error error;
    if (hl_scenario_load(path, &scenario, &error) != HL_STATUS_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(64);
    }
    for (size_t i = 0; i < scenario->n_cases; i++) {
        if (!is_asked_for(&scenario->cases[i]))
            continue;
        if (b.until_s > 0 && hl_bench_now_s() > b.until_s)
            b.not_reached++;
        else
            run_case(scenario, &scenario->cases[i]);
        fflush(stdout);
    }
    hl_scenario_destroy(scenario);
}

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "r");
    size_t size = 0;
    char *text = NULL;
    if (!file || getdelim(&text, &size, '\0', file) < 0) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(64);
    }
    fclose(file);
    return text;
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "engine", required_argument, NULL, 'e' },
                                             { "placement", required_argument, NULL, 'p' },
                                             { "gpus", required_argument, NULL, 'g' },
                                             { "runs", required_argument, NULL, 'r' },
                                             { "beside", required_argument, NULL, 'b' },
                                             { "seconds", required_argument, NULL, 's' },
                                             { "without", required_argument, NULL, 'w' },
                                             { "only", required_argument, NULL, 'o' },
                                             { 0 } };
    const char *engine = "sim";
    struct hl_error error;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        switch (option) {
        case 'e': engine = optarg; break;
        case 'p':
            b.placement = strcmp(optarg, "process") == 0 ? HL_PLACEMENT_PROCESS : HL_PLACEMENT_VIRTUAL;
            break;
        case 'g': b.gpus = atoi(optarg); break;
        case 'r': b.runs = atoi(optarg); break;
        case 'b': b.beside = read_text(optarg); break;
        case 'o': b.only = optarg; break;
        case 'w':
            hl_bench_require(b.n_without < WITHOUT_MAX, "remember so many texts");
            b.without[b.n_without++] = optarg;
            break;
        case 's': b.until_s = hl_bench_now_s() + atof(optarg); break;
        default: return 64;
        }
    }
    if (hl_find_engine(engine, &b.engine, &error) != HL_STATUS_OK) {
        fprintf(stderr, "%s\n", error.message);
        return hl_status_exit_code(error.status);
    }
    for (; optind < argc; optind++)
        run_file(argv[optind]);
    fprintf(stderr, "%d cases run: %d as on the simulator, %d not; %d skipped, %d not reached\n", b.cases,
            b.as_sim, b.differ, b.skipped, b.not_reached);
    hl_engine_leave(b.engine);
    free(b.beside);
    return b.differ ? 1 : 0;
}
