/* The supervisor of a sweep, and what its workers do. */
#include "sweep.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "../scenario/clock.h"
#include "../scenario/words.h"
#include "folder.h"
#include "keeper.h"
#include "plan.h"
#include "pool.h"

#define COMMIT_PAUSE_S 0.5 /* the most that a crash makes a sweep do again */
#define COMMIT_RUNS_MAX 1000
#define RUNS_OF_A_PROCESS 256 /* bounds what leaks, and gives rates processes to be counted by */

/* What a worker sends: this, then the bundle's path with its zero. */
struct record {
    struct hl_signature signature;
    enum hl_verdict verdict;
    enum hl_cause cause;
    uint64_t wall_us;
    char trouble[256];
};

struct supervisor {
    struct hl_sweep *sweep;
    struct hl_store *store;
    struct hl_keeper *keeper;
    struct hl_plan plan;
    struct hl_hash build;
    struct hl_hash *hashes; /* by item: of its case */
    int *numbers;           /* by item: of its case, in the results */
    int *weights;           /* by item */
    int *runs_of;           /* by item, or NULL */
    uint64_t session;
    double begun_s, committed_s;
    uint64_t pending; /* runs since the last commit */
    char **dropped;   /* bundles to be removed after it */
    int n_dropped;
    bool failed;
    struct hl_error failure;
};

static struct hl_plan_item item_of(size_t task)
{
    return (struct hl_plan_item){ (int)(task >> 32), (int)(uint32_t)task };
}
static size_t task_of(struct hl_plan_item item)
{
    return (size_t)item.case_number << 32 | (uint32_t)item.run;
}

static uint64_t seed_of(const struct supervisor *s, struct hl_plan_item item)
{
    return hl_run_seed(s->sweep->seed, s->sweep->items[item.case_number].c->id, item.run);
}

/* Of the content: shards on machines with different builds still split a set the same way. */
static struct hl_hash content_of(const struct supervisor *s, struct hl_plan_item item)
{
    return hl_hash_number(s->hashes[item.case_number], seed_of(s, item));
}

static struct hl_hash id_of(const struct supervisor *s, struct hl_plan_item item)
{
    return hl_hash_number(hl_hash_number(content_of(s, item), s->build.high), s->build.low);
}

/*
 * In a worker
 */

static bool wants_bundle(void *user, const struct hl_run_result *result)
{
    const struct supervisor *s = user;
    return hl_keeper_wants(s->keeper, hl_hash_text(HL_HASH_INIT, result->signature.text).low);
}

static struct record make_record(const struct supervisor *s, struct hl_plan_item item, char **ret_bundle)
{
    const struct hl_campaign_item *from = &s->sweep->items[item.case_number];
    const struct hl_run_options options = { .engine = s->sweep->engine,
                                            .seed = seed_of(s, item),
                                            .seed_is_of_run = true,
                                            .out_dir = s->sweep->out_dir,
                                            .wants_bundle = wants_bundle,
                                            .user = (void *)s };
    struct record record;
    struct hl_run_result result;
    struct hl_error error;
    memset(&record, 0, sizeof record); /* its padding goes through a socket */
    const double begun = hl_now_s();
    const enum hl_status status =
        hl_run_once(from->scenario, from->c, &options, item.run, HL_VERDICT_SKIPPED, &result, &error);
    if (status == HL_STATUS_OK) {
        record.verdict = result.finding.verdict;
        record.cause = result.finding.cause;
        record.signature = result.signature;
        memcpy(record.trouble, result.bundle_error, sizeof record.trouble);
        *ret_bundle = result.bundle;
    } else if (status == HL_STATUS_NO_GPU) { /* not a case for this machine, which is no trouble */
        record.verdict = HL_VERDICT_SKIPPED;
        record.cause = HL_CAUSE_NONE;
        snprintf(record.signature.text, sizeof record.signature.text, "skipped: %.*s",
                 (int)sizeof record.signature.text - 10, error.message);
    } else {
        record.verdict = HL_VERDICT_INCONCLUSIVE;
        record.cause = HL_CAUSE_NONE;
        snprintf(record.signature.text, sizeof record.signature.text,
                 "inconclusive, hanglab could not run it");
        snprintf(record.trouble, sizeof record.trouble, "%.*s", (int)sizeof record.trouble - 1,
                 error.message);
    }
    record.wall_us = (uint64_t)((hl_now_s() - begun) * 1e6);
    return record;
}

static void *work(void *user, size_t task, size_t *ret_size)
{
    char *bundle = NULL;
    const struct record record = make_record(user, item_of(task), &bundle);
    const size_t path_size = bundle ? strlen(bundle) + 1 : 0;
    char *bytes = malloc(sizeof record + path_size);
    if (bytes) {
        memcpy(bytes, &record, sizeof record);
        if (bundle)
            memcpy(bytes + sizeof record, bundle, path_size);
        *ret_size = sizeof record + path_size;
    }
    free(bundle);
    return bytes;
}

/*
 * In the supervisor
 */

static void fail(struct supervisor *s, const struct hl_error *error)
{
    if (!s->failed)
        s->failure = *error;
    s->failed = true;
}

static void fail_memory(struct supervisor *s)
{
    struct hl_error error;
    hl_fail(&error, HL_STATUS_MEMORY, "out of memory for the results");
    fail(s, &error);
}

static void commit(struct supervisor *s)
{
    struct hl_error error;
    s->committed_s = hl_now_s();
    s->sweep->wall_s = s->committed_s - s->begun_s;
    if (hl_store_commit(s->store, &error) != HL_STATUS_OK) {
        fail(s, &error);
        return;
    }
    s->sweep->runs += s->pending;
    s->pending = 0;
    for (int i = 0; i < s->n_dropped; i++) {
        char path[4096];
        if (snprintf(path, sizeof path, "%s/%s", s->sweep->out_dir, s->dropped[i]) < (int)sizeof path)
            hl_folder_remove(path);
        free(s->dropped[i]);
    }
    s->n_dropped = 0;
    s->sweep->evidence_full |= hl_keeper_is_full(s->keeper);
}

/* A bundle was written, now or before a resume: makes another one give way, if it must. */
static void on_evidence(void *user, int signature, const char *evidence)
{
    struct supervisor *s = user;
    char *old;
    if (!hl_keeper_add(s->keeper, signature, evidence, &old)) {
        fail_memory(s);
        return;
    }
    if (!old)
        return;
    hl_store_drop_evidence(s->store, old);
    char **larger = realloc(s->dropped, ((size_t)s->n_dropped + 1) * sizeof *larger);
    if (larger) {
        s->dropped = larger;
        s->dropped[s->n_dropped++] = old;
    } else {
        free(old);
        fail_memory(s);
    }
}

static struct record record_of(const struct hl_pool_result *from, const char **ret_bundle)
{
    struct record record = { .verdict = HL_VERDICT_CRASH, .cause = HL_CAUSE_NONE };
    if (from->outcome == HL_POOL_CRASHED) {
        record.signature = hl_signature_of_death(from->signal, from->exit_code, from->timed_out);
        return record;
    }
    memcpy(&record, from->record, sizeof record);
    if (from->size > sizeof record)
        *ret_bundle = (const char *)from->record + sizeof record;
    return record;
}

/* The number of a signature, which is put into the store where it is new; -1: none is needed. */
static int signature_number(struct supervisor *s, const struct record *record, const char *scenario)
{
    const struct hl_stored_signature signature = { scenario, record->signature.text, record->verdict,
                                                   record->cause };
    bool is_new;
    if (record->signature.text[0] == '\0')
        return -1;
    const int number = hl_results_signature(&s->sweep->results, &signature, &is_new);
    if (number < 0)
        fail_memory(s);
    else if (is_new)
        hl_store_add_signature(s->store, number, &signature);
    return number;
}

static void deliver(void *user, const struct hl_pool_result *from)
{
    struct supervisor *s = user;
    struct hl_results *results = &s->sweep->results;
    const struct hl_plan_item item = item_of(from->index);
    const char *bundle = NULL;
    const struct record record = record_of(from, &bundle);
    const int number = s->numbers[item.case_number];
    const struct hl_stored_case c = hl_results_stored_case(results, number);
    const struct hl_stored_run run = { .id = id_of(s, item),
                                       .case_number = number,
                                       .run = item.run,
                                       .repeat = item.run >= HL_FIRST_REPEAT,
                                       .seed = seed_of(s, item),
                                       .verdict = record.verdict,
                                       .cause = record.cause,
                                       .signature = signature_number(s, &record, c.scenario),
                                       .process = s->session | (from->worker & 0xfffff),
                                       .wall_us = record.wall_us,
                                       .evidence = bundle ? bundle + strlen(s->sweep->out_dir) + 1 : NULL };
    if (s->failed)
        return;
    struct hl_stored_signature signature;
    if (run.signature >= 0)
        signature = hl_results_stored_signature(results, run.signature);
    hl_store_add_run(s->store, &run, &c, run.signature >= 0 ? &signature : NULL);
    hl_results_run(results, &run);
    s->pending++;
    if (!hl_is_expected(&c.expected, run.verdict, run.cause))
        hl_plan_suspect(&s->plan, item.case_number);
    if (record.trouble[0] && !s->sweep->trouble[0])
        snprintf(s->sweep->trouble, sizeof s->sweep->trouble, "%s: %s", c.id, record.trouble);
    if (results->out_of_memory)
        fail_memory(s);
}

static bool next(void *user, size_t *ret_task)
{
    struct supervisor *s = user;
    struct hl_plan_item item;
    const double budget_s = s->sweep->time_budget_s;
    if (s->failed || (budget_s > 0 && hl_now_s() - s->begun_s >= budget_s) || !hl_plan_next(&s->plan, &item))
        return false;
    *ret_task = task_of(item);
    return true;
}

static void tick(void *user, size_t finished)
{
    struct supervisor *s = user;
    (void)finished;
    if (s->failed || (s->pending < COMMIT_RUNS_MAX && hl_now_s() - s->committed_s < COMMIT_PAUSE_S))
        return;
    commit(s);
    if (!s->failed && s->sweep->on_tick)
        s->sweep->on_tick(s->sweep->user, s->sweep);
}

static bool skips(void *user, struct hl_plan_item item)
{
    const struct supervisor *s = user;
    const struct hl_sweep *sweep = s->sweep;
    if (sweep->shards > 1 && content_of(s, item).high % (uint64_t)sweep->shards != (uint64_t)sweep->shard - 1)
        return true;
    return sweep->runs_before > 0 && hl_results_have(&sweep->results, id_of(s, item));
}

/*
 * Beginning
 */

static bool hash_case(const struct hl_sweep *sweep, const struct hl_case *c, struct hl_hash *ret_hash)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return false;
    hl_config_write_yaml(&c->config, out);
    const bool good = fclose(out) == 0;
    struct hl_hash hash = hl_hash_text(HL_HASH_INIT, sweep->engine->name);
    hash = hl_hash_text(hash, hl_words_name(&hl_words_geometries, c->config.geometry));
    if (good) /* the id, too: equal configurations of two axes are two cases */
        *ret_hash = hl_hash_text(hl_hash_bytes(hash, text, size), c->id);
    free(text);
    return good;
}

/* What is done under one seed or build must not go on under another: the night would be two. */
static enum hl_status check_note(struct supervisor *s, const char *key, const char *value,
                                 struct hl_error *error)
{
    char *old = hl_store_note(s->store, key);
    enum hl_status status = HL_STATUS_OK;
    if (!old)
        hl_store_set_note(s->store, key, value);
    else if (strcmp(old, value) != 0)
        status = hl_fail(error, HL_STATUS_USAGE,
                         "%s: --resume: its %s is %s, not %s; use the same one, or another --out",
                         s->sweep->out_dir, key, old, value);
    free(old);
    return status;
}

static enum hl_status check_notes(struct supervisor *s, struct hl_error *error)
{
    const struct hl_sweep *sweep = s->sweep;
    char build[HL_HASH_TEXT], seed[32], shard[32];
    hl_hash_write(s->build, build);
    snprintf(seed, sizeof seed, "%" PRIu64, sweep->seed);
    snprintf(shard, sizeof shard, "%d/%d", sweep->shard, sweep->shards);
    enum hl_status status = check_note(s, "build", build, error);
    if (status == HL_STATUS_OK)
        status = check_note(s, "seed", seed, error);
    if (status == HL_STATUS_OK)
        status = check_note(s, "shard", shard, error);
    return status;
}

/* Puts the cases into the results, and into the store those it does not have. */
static enum hl_status enter_cases(struct supervisor *s, struct hl_error *error)
{
    struct hl_sweep *sweep = s->sweep;
    for (size_t i = 0; i < sweep->n_items; i++) {
        const struct hl_campaign_item *item = &sweep->items[i];
        bool is_new = false;
        if (!hash_case(sweep, item->c, &s->hashes[i]))
            return hl_fail(error, HL_STATUS_MEMORY, "out of memory for %zu cases", sweep->n_items);
        const struct hl_stored_case c = { s->hashes[i], item->scenario->name, item->c->id,
                                          item->c->config.runs, item->c->expected };
        s->numbers[i] = hl_results_case(&sweep->results, &c, &is_new);
        if (s->numbers[i] < 0)
            return hl_fail(error, HL_STATUS_MEMORY, "out of memory for %zu cases", sweep->n_items);
        if (is_new)
            hl_store_add_case(s->store, s->numbers[i], &c);
        if (s->runs_of)
            s->runs_of[i] = item->c->config.runs;
    }
    return HL_STATUS_OK;
}

static void weigh_cases(struct supervisor *s)
{
    const struct hl_campaign_item *items = s->sweep->items;
    int least = items[0].c->config.runs;
    for (size_t i = 1; i < s->sweep->n_items; i++)
        if (items[i].c->config.runs < least)
            least = items[i].c->config.runs;
    for (size_t i = 0; i < s->sweep->n_items; i++)
        s->weights[i] = (items[i].c->config.runs + least - 1) / least;
}

static void enter_suspects(struct supervisor *s)
{
    for (size_t i = 0; i < s->sweep->n_items; i++) {
        const struct hl_case_results *c = &s->sweep->results.cases[s->numbers[i]];
        for (int v = 0; v < HL_VERDICT_COUNT; v++)
            if (c->unexpected[v])
                hl_plan_suspect(&s->plan, (int)i);
    }
}

static enum hl_status begin(struct supervisor *s, struct hl_error *error)
{
    struct hl_sweep *sweep = s->sweep;
    const size_t n = sweep->n_items;
    uint32_t session = 0;
    if (!hl_hash_program(&s->build) || getrandom(&session, sizeof session, 0) < 0)
        return hl_fail(error, HL_STATUS_INTERNAL, "cannot read this program's own file");
    s->session = (uint64_t)session << 20; /* with the worker below 2^53: exact in every JSON reader */
    s->hashes = calloc(n + 1, sizeof *s->hashes);
    s->numbers = calloc(n + 1, sizeof *s->numbers);
    s->weights = calloc(n + 1, sizeof *s->weights);
    s->runs_of = sweep->time_budget_s > 0 ? NULL : calloc(n + 1, sizeof *s->runs_of);
    s->keeper = hl_keeper_create(sweep->out_dir, sweep->evidence_bytes, sweep->evidence_newest);
    if (!s->hashes || !s->numbers || !s->weights || (!s->runs_of && sweep->time_budget_s <= 0) ||
        !s->keeper || !hl_plan_init(&s->plan, (int)n))
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for %zu cases", n);
    weigh_cases(s);
    s->plan.weights = s->weights;
    s->plan.runs_of = s->runs_of;
    s->plan.skips = skips;
    s->plan.user = s;
    enum hl_status status =
        hl_store_open(sweep->out_dir, sweep->resume ? HL_STORE_ADD : HL_STORE_NEW, &s->store, error);
    if (status == HL_STATUS_OK)
        status = check_notes(s, error);
    sweep->results.on_evidence = on_evidence;
    sweep->results.user = s;
    if (status == HL_STATUS_OK)
        status = hl_results_read(&sweep->results, s->store, error);
    if (status == HL_STATUS_OK)
        status = enter_cases(s, error);
    if (status != HL_STATUS_OK)
        return status;
    sweep->runs_before = sweep->results.runs.count;
    enter_suspects(s);
    return hl_store_commit(s->store, error);
}

static void end(struct supervisor *s)
{
    if (s->store)
        hl_store_close(s->store);
    if (s->keeper)
        hl_keeper_destroy(s->keeper);
    hl_plan_finish(&s->plan);
    for (int i = 0; i < s->n_dropped; i++)
        free(s->dropped[i]);
    free(s->dropped);
    free(s->hashes);
    free(s->numbers);
    free(s->weights);
    free(s->runs_of);
    s->sweep->results.on_evidence = NULL;
}

static void leave(void *user)
{
    const struct supervisor *s = user;
    hl_engine_leave(s->sweep->engine);
}

enum hl_status hl_sweep_run(struct hl_sweep *sweep, struct hl_error *error)
{
    struct supervisor s = { .sweep = sweep, .begun_s = hl_now_s() };
    s.committed_s = s.begun_s;
    enum hl_status status = begin(&s, error);
    if (status == HL_STATUS_OK) {
        const struct hl_pool pool = { .jobs = sweep->jobs,
                                      .user = &s,
                                      .work = work,
                                      .leave = leave,
                                      .deliver = deliver,
                                      .tick = tick,
                                      .next = next,
                                      .tasks_per_worker = RUNS_OF_A_PROCESS,
                                      .timeout_s = sweep->run_limit_s };
        status = hl_pool_run(&pool, &sweep->interrupted, error);
        if (!s.failed)
            commit(&s);
        if (s.failed) {
            if (error)
                *error = s.failure;
            status = s.failure.status;
        }
    }
    end(&s);
    return status;
}

void hl_sweep_finish(struct hl_sweep *sweep) { hl_results_finish(&sweep->results); }
