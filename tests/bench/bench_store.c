/* The store at size: a million results are read, told and resumed while a person still waits, and a writer
 * killed at a hundred random moments loses and doubles nothing. */
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../../framework/campaign/folder.h"
#include "../../framework/campaign/run.h"
#include "../../framework/program/random.h"
#include "../../reports/night.h"
#include "bench.h"

#define CASES 1000
#define RUNS 1000
#define KILLS 100

static char folder[] = "/tmp/hanglab-bench-XXXXXX";
static char out_dir[64];

static struct hl_hash case_hash(int number) { return hl_hash_number(HL_HASH_INIT, (uint64_t)number); }

/* As a sweep makes it. */
static struct hl_hash run_id(int number, const char *id, int run)
{
    struct hl_hash hash = hl_hash_number(case_hash(number), hl_run_seed(1, id, run));
    return hl_hash_number(hl_hash_number(hash, 1), 2);
}

static struct hl_store *open_store(const char *path)
{
    struct hl_store *store;
    struct hl_error error;
    hl_bench_require(hl_store_open(path, HL_STORE_ADD, &store, &error) == HL_STATUS_OK, error.message);
    return store;
}

static void commit(struct hl_store *store)
{
    struct hl_error error;
    hl_bench_require(hl_store_commit(store, &error) == HL_STATUS_OK, error.message);
}

/* 1 % hang, with 5 signatures. */
static void fill(void)
{
    struct hl_store *store = open_store(out_dir);
    static const char *const signatures[] = { "hang a", "hang b", "hang c", "hang d", "hang e" };
    struct hl_stored_case cases[CASES];
    char ids[CASES][16];
    for (int s = 0; s < 5; s++)
        hl_store_add_signature(
            store, s,
            &(struct hl_stored_signature){ "bench", signatures[s], HL_VERDICT_HANG, HL_CAUSE_LATE_CLEAR });
    for (int c = 0; c < CASES; c++) {
        snprintf(ids[c], sizeof ids[c], "bench/n=%d", c);
        cases[c] =
            (struct hl_stored_case){ case_hash(c), "bench", ids[c], RUNS, { HL_VERDICT_PASS, -1, 0, 1 } };
        hl_store_add_case(store, c, &cases[c]);
    }
    for (int r = 0; r < RUNS; r++) {
        for (int c = 0; c < CASES; c++) {
            const int signature = (r * CASES + c) % 100 == 0 ? r % 5 : -1;
            const struct hl_stored_signature named = { "bench", signature < 0 ? "" : signatures[signature],
                                                       HL_VERDICT_HANG, HL_CAUSE_LATE_CLEAR };
            const struct hl_stored_run run = { .id = run_id(c, ids[c], r),
                                               .case_number = c,
                                               .run = r,
                                               .seed = hl_run_seed(1, ids[c], r),
                                               .verdict = signature < 0 ? HL_VERDICT_PASS : HL_VERDICT_HANG,
                                               .cause = signature < 0 ? HL_CAUSE_NONE : HL_CAUSE_LATE_CLEAR,
                                               .signature = signature,
                                               .process = (uint64_t)(r / 4),
                                               .wall_us = 1000 };
            hl_store_add_run(store, &run, &cases[c], signature < 0 ? NULL : &named);
        }
        commit(store);
    }
    hl_store_close(store);
}

static struct hl_results read_results(void)
{
    struct hl_results results = { 0 };
    struct hl_error error;
    struct hl_store *store = open_store(out_dir);
    hl_bench_require(hl_results_read(&results, store, &error) == HL_STATUS_OK, error.message);
    hl_store_close(store);
    hl_bench_require(results.runs.count == (size_t)CASES * RUNS, "results are missing");
    return results;
}

static void summarise(void *context)
{
    FILE *out = fopen("/dev/null", "w");
    struct hl_results results = read_results();
    hl_night_write_text(&(struct hl_night_report){
        .out = out, .columns = 120, .out_dir = context, .results = &results, .clean_limit = 1e-5 });
    fclose(out);
    hl_results_finish(&results);
}

/* What a sweep does before its first new run: it reads, and finds every run done. */
static void resume(void *context)
{
    (void)context;
    struct hl_results results = read_results();
    size_t done = 0;
    for (int c = 0; c < CASES; c++)
        for (int r = 0; r < RUNS; r++)
            done += hl_results_have(&results, run_id(c, results.cases[c].id, r));
    hl_bench_require(done == (size_t)CASES * RUNS, "a run that is done was not found");
    hl_results_finish(&results);
}

/*
 * Killed
 */

static const struct hl_stored_case killed_case = {
    { 5, 5 }, "killed", "killed", 1, { HL_VERDICT_PASS, -1, 0, 1 }
};

static struct hl_stored_run killed_run(int i)
{
    return (struct hl_stored_run){ .id = hl_hash_number(HL_HASH_INIT, (uint64_t)i),
                                   .run = i,
                                   .verdict = HL_VERDICT_PASS,
                                   .cause = HL_CAUSE_NONE,
                                   .signature = -1 };
}

static void write_for_ever(const char *path, int first, int fd)
{
    struct hl_store *store = open_store(path);
    if (first == 0)
        hl_store_add_case(store, 0, &killed_case);
    for (int i = first;;) {
        for (int end = i + 50; i < end; i++) {
            const struct hl_stored_run run = killed_run(i);
            hl_store_add_run(store, &run, &killed_case, NULL);
        }
        if (hl_store_commit(store, NULL) != HL_STATUS_OK || write(fd, &i, sizeof i) != (ssize_t)sizeof i)
            _exit(1);
    }
}

/* The runs on disk; -1 when they are not 0 .. n-1, each once. */
static int count_runs(const char *path)
{
    struct hl_results results = { 0 };
    struct hl_error error;
    struct hl_store *store = open_store(path);
    hl_bench_require(hl_results_read(&results, store, &error) == HL_STATUS_OK, error.message);
    hl_store_close(store);
    int n = (int)results.runs.count;
    for (int i = 0; i < n && n >= 0; i++)
        if (!hl_results_have(&results, killed_run(i).id))
            n = -1;
    if (results.n_cases > 0 && results.cases[0].counts[HL_REGULAR][HL_VERDICT_PASS] != n)
        n = -1;
    hl_results_finish(&results);
    return n;
}

/* Lost or doubled results after KILLS kills. */
static int kill_writers(void)
{
    char path[64];
    uint64_t random = 1;
    int have = 0, wrong = 0;
    snprintf(path, sizeof path, "%s/killed", folder);
    for (int i = 0; i < KILLS; i++) {
        int fds[2], told = 0, n;
        hl_bench_require(pipe(fds) == 0, "no pipe");
        fflush(NULL);
        const pid_t pid = fork();
        if (pid == 0)
            write_for_ever(path, have, fds[1]);
        close(fds[1]);
        usleep(1000 + hl_random_below(&random, 60000));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        while (read(fds[0], &n, sizeof n) == (ssize_t)sizeof n)
            told = n;
        close(fds[0]);
        n = count_runs(path);
        wrong += n < 0 ? 1 : told > n ? told - n : 0;
        have = n < 0 ? have : n;
    }
    hl_bench_require(have > 0, "no writer got to a commit");
    return wrong;
}

int main(void)
{
    hl_bench_require(mkdtemp(folder) != NULL, "cannot make a folder in /tmp");
    snprintf(out_dir, sizeof out_dir, "%s/million", folder);
    const double begun = hl_bench_now_s();
    fill();
    hl_bench_row("store: writing a million results", (hl_bench_now_s() - begun) * 1e3 / (CASES * RUNS),
                 "ms each", HL_BENCH_AT_MOST, 0.5);
    hl_bench_row("store: summary of a million results", hl_bench_median_s(summarise, out_dir, 3), "s",
                 HL_BENCH_AT_MOST, 2);
    hl_bench_row("store: resuming a million results", hl_bench_median_s(resume, NULL, 3), "s",
                 HL_BENCH_AT_MOST, 2);
    hl_bench_row("store: lost or doubled by 100 kill -9", kill_writers(), "results", HL_BENCH_AT_MOST, 0);
    hl_folder_remove(folder);
    return hl_bench_finish();
}
