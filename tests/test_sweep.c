/* Sweeps: that nothing is lost or doubled however they end, that shards are parts of one
 * whole, and that failures are grouped and judged as a person would. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../framework/campaign/folder.h"
#include "../framework/campaign/merge.h"
#include "../framework/campaign/sweep.h"
#include "../framework/program/random.h"

static const char text[] =
    "hanglab: 1\nname: swept\nworld: {ranks: 2}\n"
    "subject: {backend: mnnvl, hidden: 64}\n"
    "schedule: {mode: eager, layers: 1, sizes: [2], replays: 1}\n"
    "payload: {rows: real}\nruns: 12\n"
    "faults: [{fault: skip-call, rank: 1, call: 1, probability: 0.2}]\n"
    "matrix: {schedule.calls_per_layer: [1, 2], world.ranks: [2, 4], payload.rows: [real, engine]}\n"
    "exclude: [{schedule.calls_per_layer: 1}]\n"
    "expect: [{verdict: hang, cause: peer-missing-call}]\n";

struct lab {
    char folder[64];
    struct hl_scenario *scenario;
    struct hl_campaign_item *items;
};

static void lab_init(struct lab *lab, const char *yaml)
{
    struct hl_error error;
    *lab = (struct lab){ .folder = "/tmp/hanglab-sweep-XXXXXX" };
    cr_assert_not_null(mkdtemp(lab->folder));
    cr_assert_eq(hl_scenario_parse("swept.yaml", yaml, strlen(yaml), &lab->scenario, &error), HL_STATUS_OK,
                 "%s", error.message);
    lab->items = calloc(lab->scenario->n_cases, sizeof *lab->items);
    for (size_t i = 0; i < lab->scenario->n_cases; i++)
        lab->items[i] = (struct hl_campaign_item){ .scenario = lab->scenario, .c = &lab->scenario->cases[i] };
}

static void lab_finish(struct lab *lab)
{
    hl_folder_remove(lab->folder);
    hl_scenario_destroy(lab->scenario);
    free(lab->items);
}

static struct hl_sweep a_sweep(const struct lab *lab, const char *out_dir)
{
    return (struct hl_sweep){ .items = lab->items,
                              .n_items = lab->scenario->n_cases,
                              .engine = &hl_engine_sim,
                              .out_dir = out_dir,
                              .seed = 1,
                              .jobs = 2,
                              .shard = 1,
                              .shards = 1,
                              .evidence_bytes = 1 << 30,
                              .evidence_newest = 2 };
}

static void run_sweep(struct hl_sweep *sweep)
{
    struct hl_error error;
    cr_assert_eq(hl_sweep_run(sweep, &error), HL_STATUS_OK, "%s", error.message);
}

/*
 * The regular runs on disk as one number, in which every run counts once, in any order.
 */

struct digest {
    struct hl_results results;
    uint64_t sum;
    int runs;
};

static bool digest_case(void *user, int number, const struct hl_stored_case *c)
{
    bool is_new;
    return hl_results_case(&((struct digest *)user)->results, c, &is_new) == number;
}

static bool digest_signature(void *user, int number, const struct hl_stored_signature *s)
{
    bool is_new;
    return hl_results_signature(&((struct digest *)user)->results, s, &is_new) == number;
}

static bool digest_run(void *user, const struct hl_stored_run *run)
{
    struct digest *digest = user;
    if (run->repeat)
        return true;
    struct hl_hash hash = hl_hash_number(run->id, (uint64_t)run->verdict * 100 + (uint64_t)run->cause);
    hash = hl_hash_text(hash, digest->results.cases[run->case_number].id);
    hash = hl_hash_text(hash, run->signature >= 0 ? digest->results.signatures[run->signature].text : "");
    digest->sum += hash.low;
    digest->runs++;
    return true;
}

static struct digest digest_of(const char *out_dir)
{
    struct digest digest = { .sum = 0 };
    struct hl_store *store;
    struct hl_error error;
    bool complete;
    const struct hl_store_reader reader = { &digest, digest_case, digest_signature, digest_run };
    cr_assert_eq(hl_store_open(out_dir, HL_STORE_EXISTING, &store, &error), HL_STATUS_OK, "%s",
                 error.message);
    cr_assert_eq(hl_store_read(store, &reader, &complete, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert(complete);
    hl_store_close(store);
    hl_results_finish(&digest.results);
    return digest;
}

static void path_in(const struct lab *lab, const char *name, char path[128])
{
    snprintf(path, 128, "%s/%s", lab->folder, name);
}

/* What an undisturbed sweep of one job leaves. */
static struct digest undisturbed(const struct lab *lab)
{
    char out[128];
    path_in(lab, "undisturbed", out);
    struct hl_sweep sweep = a_sweep(lab, out);
    sweep.jobs = 1;
    run_sweep(&sweep);
    hl_sweep_finish(&sweep);
    return digest_of(out);
}

static void assert_same(struct digest got, struct digest want)
{
    cr_assert_eq(got.runs, want.runs, "%d runs, not %d", got.runs, want.runs);
    cr_assert_eq(got.sum, want.sum, "the same runs with other results");
}

Test(sweep, each_case_has_the_runs_of_its_scenario_and_jobs_change_nothing)
{
    struct lab lab;
    char out[128];
    lab_init(&lab, text);
    const struct digest want = undisturbed(&lab);
    cr_assert_eq(want.runs, 4 * 12);
    path_in(&lab, "parallel", out);
    struct hl_sweep sweep = a_sweep(&lab, out);
    sweep.jobs = 5;
    run_sweep(&sweep);
    assert_same(digest_of(out), want);
    cr_assert_eq(sweep.results.n_signatures, 1, "%s", sweep.results.signatures[1].text);
    cr_assert_eq(sweep.results.scenarios[0].runs[HL_REGULAR], 48);
    cr_assert_gt(sweep.results.scenarios[0].hangs[HL_REGULAR], 0);
    hl_sweep_finish(&sweep);
    lab_finish(&lab);
}

static int reports_fd;

static void report(void *user, const struct hl_sweep *sweep)
{
    (void)user;
    const int n = (int)(sweep->runs_before + sweep->runs);
    cr_assert_eq(write(reports_fd, &n, sizeof n), (ssize_t)sizeof n);
}

/* Sweeps in a child and kills it; returns how many runs it had told by then. */
static int sweep_and_kill(const struct lab *lab, const char *out, long after_us)
{
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        struct hl_sweep sweep = a_sweep(lab, out);
        sweep.resume = true;
        sweep.on_tick = report;
        reports_fd = fds[1];
        _exit(hl_sweep_run(&sweep, NULL) == HL_STATUS_OK ? 0 : 1);
    }
    close(fds[1]);
    nanosleep(&(struct timespec){ 0, after_us * 1000 }, NULL);
    kill(pid, SIGKILL);
    int status, told = 0, n;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    while (read(fds[0], &n, sizeof n) == (ssize_t)sizeof n)
        told = n;
    close(fds[0]);
    return told;
}

Test(sweep, killed_again_and_again_it_ends_as_if_it_never_was, .timeout = 60)
{
    struct lab lab;
    char out[128];
    uint64_t random = 4;
    lab_init(&lab, text);
    const struct digest want = undisturbed(&lab);
    path_in(&lab, "killed", out);
    for (int i = 0; i < 12; i++) {
        const int told = sweep_and_kill(&lab, out, 500 + (long)hl_random_below(&random, 25000));
        char database[160];
        snprintf(database, sizeof database, "%s/results.sqlite", out);
        if (told > 0)
            cr_assert_geq(digest_of(out).runs, told * 3 / 4, "told %d", told); /* the rest may be repeats */
    }
    struct hl_sweep sweep = a_sweep(&lab, out);
    sweep.resume = true;
    run_sweep(&sweep);
    assert_same(digest_of(out), want);
    hl_sweep_finish(&sweep);
    lab_finish(&lab);
}

Test(sweep, a_signal_ends_it_in_order_and_it_goes_on_later, .timeout = 30)
{
    struct lab lab;
    char out[128];
    lab_init(&lab, text);
    path_in(&lab, "interrupted", out);
    const pid_t pid = fork();
    if (pid == 0) {
        struct hl_sweep sweep = a_sweep(&lab, out);
        sweep.time_budget_s = 60;
        const enum hl_status status = hl_sweep_run(&sweep, NULL);
        const bool good = status == HL_STATUS_OK && sweep.interrupted && sweep.runs > 0 &&
                          sweep.runs == sweep.results.runs.count;
        _exit(good ? 0 : 1);
    }
    nanosleep(&(struct timespec){ 0, 400000000 }, NULL);
    kill(pid, SIGTERM);
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
    struct hl_sweep sweep = a_sweep(&lab, out);
    sweep.resume = true;
    run_sweep(&sweep);
    cr_assert_gt(sweep.runs_before, 0);
    cr_assert_not(sweep.interrupted);
    hl_sweep_finish(&sweep);
    lab_finish(&lab);
}

Test(sweep, shards_are_parts_of_one_whole_and_merging_twice_changes_nothing)
{
    struct lab lab;
    char out[128], whole[128];
    struct hl_error error;
    lab_init(&lab, text);
    const struct digest want = undisturbed(&lab);
    path_in(&lab, "whole", whole);
    int runs = 0;
    for (int round = 0; round < 2; round++)
        for (int shard = 1; shard <= 3; shard++) {
            char name[16];
            snprintf(name, sizeof name, "shard%d", shard);
            path_in(&lab, name, out);
            struct hl_sweep sweep = a_sweep(&lab, out);
            sweep.shard = shard;
            sweep.shards = 3;
            sweep.resume = round > 0;
            run_sweep(&sweep);
            hl_sweep_finish(&sweep);
            runs += round == 0 ? digest_of(out).runs : 0;
            struct hl_store *store;
            struct hl_results results = { 0 };
            cr_assert_eq(hl_store_open(whole, HL_STORE_ADD, &store, &error), HL_STATUS_OK, "%s",
                         error.message);
            cr_assert_eq(hl_results_read(&results, store, &error), HL_STATUS_OK, "%s", error.message);
            cr_assert_eq(hl_merge(store, &results, whole, out, &error), HL_STATUS_OK, "%s", error.message);
            hl_store_close(store);
            hl_results_finish(&results);
        }
    cr_assert_eq(runs, want.runs, "every run is in one shard");
    assert_same(digest_of(whole), want);
    lab_finish(&lab);
}

Test(sweep, it_does_not_go_on_under_another_seed)
{
    struct lab lab;
    char out[128];
    struct hl_error error;
    lab_init(&lab, text);
    path_in(&lab, "seeds", out);
    struct hl_sweep sweep = a_sweep(&lab, out);
    run_sweep(&sweep);
    hl_sweep_finish(&sweep);
    sweep = a_sweep(&lab, out);
    cr_assert_neq(hl_sweep_run(&sweep, &error), HL_STATUS_OK, "without --resume it must not add to a night");
    hl_sweep_finish(&sweep);
    sweep.resume = true;
    sweep.seed = 2;
    cr_assert_eq(hl_sweep_run(&sweep, &error), HL_STATUS_USAGE);
    cr_assert_not_null(strstr(error.message, "seed"), "%s", error.message);
    hl_sweep_finish(&sweep);
    lab_finish(&lab);
}

/* Of the cases with 4 ranks, one kind dies and the other never comes back. */
static enum hl_status start_sabotaged(const struct hl_run_spec *spec, struct hl_run **ret_run,
                                      struct hl_error *error)
{
    if (spec->config->world.ranks == 4 && spec->config->payload.rows == HL_ROWS_REAL)
        kill(getpid(), SIGSEGV);
    while (spec->config->world.ranks == 4)
        pause();
    return hl_engine_sim.start(spec, ret_run, error);
}

Test(sweep, deaths_and_runs_without_end_are_results_of_their_own_cases, .timeout = 30)
{
    struct lab lab;
    char out[128];
    struct hl_engine engine = hl_engine_sim;
    lab_init(&lab, text);
    path_in(&lab, "sabotaged", out);
    for (size_t i = 0; i < lab.scenario->n_cases; i++)
        lab.scenario->cases[i].config.runs = 1;
    engine.start = start_sabotaged;
    struct hl_sweep sweep = a_sweep(&lab, out);
    sweep.engine = &engine;
    sweep.run_limit_s = 0.3;
    run_sweep(&sweep);
    int died = 0, late = 0;
    for (int i = 0; i < sweep.results.n_signatures; i++) {
        died += strstr(sweep.results.signatures[i].text, "SIGSEGV") != NULL;
        late += strstr(sweep.results.signatures[i].text, "time limit") != NULL;
    }
    cr_assert_eq(died, 1);
    cr_assert_eq(late, 1);
    cr_assert_eq(hl_results_exit_code(&sweep.results), 2);
    hl_sweep_finish(&sweep);
    lab_finish(&lab);
}

/*
 * Evidence
 */

Test(sweep, bundles_on_disk_are_those_that_the_results_name)
{
    struct lab lab;
    char out[128], line[512];
    lab_init(&lab, text);
    path_in(&lab, "evidence", out);
    struct hl_sweep sweep = a_sweep(&lab, out);
    run_sweep(&sweep);
    const struct hl_signature_results *s = &sweep.results.signatures[0];
    cr_assert_not_null(s->oldest);
    snprintf(line, sizeof line,
             "test -f %s/%s/verdict.json && test $(find %s -name verdict.json | wc -l) -le 3", out, s->oldest,
             out);
    cr_assert_eq(system(line), 0);
    hl_sweep_finish(&sweep);
    lab_finish(&lab);
}

/*
 * Signatures and standings
 */

static struct hl_signature signature_of(const char *yaml, int run)
{
    struct lab lab;
    struct hl_run_result result;
    struct hl_error error;
    lab_init(&lab, yaml);
    const struct hl_run_options options = { .engine = &hl_engine_sim, .seed = 1 };
    cr_assert_eq(
        hl_run_once(lab.scenario, lab.items[0].c, &options, run, HL_VERDICT_SKIPPED, &result, &error),
        HL_STATUS_OK, "%s", error.message);
    const struct hl_signature signature = result.signature;
    hl_run_result_finish(&result);
    lab_finish(&lab);
    return signature;
}

#define WORLD(ranks) \
    "hanglab: 1\nname: a\nworld: {ranks: " ranks \
    "}\nschedule: {mode: eager, layers: 2, sizes: [4], replays: 2}\n"

Test(sweep, one_bug_is_one_signature_whatever_rank_site_or_world_it_strikes)
{
    const struct hl_signature a = signature_of(WORLD("4") "subject: {backend: mnnvl}\n"
                                                          "faults: [{fault: skip-call, rank: 1, call: 7}]\n",
                                               0);
    const struct hl_signature b = signature_of(WORLD("4") "subject: {backend: mnnvl}\n"
                                                          "faults: [{fault: skip-call, rank: 3, call: 7}]\n",
                                               3);
    const struct hl_signature c = signature_of(WORLD("8") "subject: {backend: mnnvl}\n"
                                                          "faults: [{fault: skip-call, rank: 5, call: 7}]\n",
                                               0);
    const struct hl_signature other =
        signature_of(WORLD("4") "subject: {backend: mnnvl}\n"
                                "faults: [{fault: skip-call, rank: 1, call: 2}]\n",
                     0);
    const struct hl_signature trtllm =
        signature_of(WORLD("4") "subject: {backend: trtllm}\n"
                                "faults: [{fault: skip-call, rank: 1, call: 7}]\n",
                     0);
    const struct hl_signature none = signature_of(WORLD("4") "subject: {backend: mnnvl}\n", 0);
    cr_assert_str_eq(a.text, b.text);
    cr_assert_str_eq(a.text, c.text);
    cr_assert_neq(strcmp(a.text, other.text), 0, "%s", other.text);
    cr_assert_neq(strcmp(a.text, trtllm.text), 0, "%s", trtllm.text);
    cr_assert_str_eq(none.text, "");
    cr_assert_not_null(strstr(a.text, "hang peer-missing-call"), "%s", a.text);
}

static enum hl_standing standing(struct hl_expectation expected, int shown, int passed, int other)
{
    struct hl_case_results c = { .expected = expected, .runs = 20 };
    c.counts[HL_REGULAR][HL_VERDICT_PASS] = passed;
    c.counts[HL_REGULAR][HL_VERDICT_HANG] = shown + other;
    c.shown[HL_REGULAR] = shown;
    c.unexpected[HL_VERDICT_HANG] = other;
    return hl_case_standing(&c);
}

Test(sweep, a_control_that_does_not_show_makes_the_night_suspicious)
{
    const struct hl_expectation pass = { HL_VERDICT_PASS, -1, 0, 1 };
    const struct hl_expectation hang = { HL_VERDICT_HANG, -1, 0, 1 };
    const struct hl_expectation canary = { HL_VERDICT_HANG, -1, 0.003, 0.03 };
    cr_assert_eq(standing(pass, 0, 20, 0), HL_STANDING_OK);
    cr_assert_eq(standing(pass, 0, 19, 1), HL_STANDING_UNEXPECTED);
    cr_assert_eq(standing(hang, 0, 5, 0), HL_STANDING_OPEN);
    cr_assert_eq(standing(hang, 0, 20, 0), HL_STANDING_MISSED);
    cr_assert_eq(standing(hang, 1, 19, 0), HL_STANDING_OK);
    cr_assert_eq(standing(canary, 0, 300, 0), HL_STANDING_OPEN);
    cr_assert_eq(standing(canary, 0, 2000, 0), HL_STANDING_MISSED);
    cr_assert_eq(standing(canary, 20, 1980, 0), HL_STANDING_OK);
    cr_assert_eq(standing(canary, 200, 1800, 0), HL_STANDING_UNEXPECTED);
}
