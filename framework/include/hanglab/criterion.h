/* Scenario files as Criterion tests, one line each:
 *
 *     #include <hanglab/criterion.h>
 *
 *     HL_CRITERION_SCENARIOS(allreduce, nightly, "scenarios/nightly")
 *     HL_CRITERION_SCENARIOS(allreduce, graphs, "scenarios/mine.yaml", "schedule.mode=full")
 *     HL_CRITERION_CASE(allreduce, padded_decode, "scenarios/mine.yaml", "subject.backend=mnnvl",
 * "replays=20")
 *
 * The first two are parameterized tests, one instance a case; the last is a plain test of the one case that
 * the filters leave. After the path of a file or folder (relative to the working directory of the tests) come
 * filters, as hl_cases_load() takes them. A test fails when its case does not end as the scenario expects,
 * and then says verdict, cause, culprit and where the evidence is; it is skipped when the case cannot run
 * here. Criterion gives all instances of a parameterized test one name, so the message begins with the case's
 * id.
 *
 * The environment of the test program, so that one binary serves a laptop and a nightly job:
 *     HANGLAB_ENGINE  sim (default), cuda, or auto
 *     HANGLAB_OUT     folder for evidence bundles (default hanglab-out)
 *     HANGLAB_RUNS    runs of each case (default: as its scenario says)
 *     HANGLAB_SEED    what all runs draw from (default 1) */
#pragma once
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "hanglab.h"

#define HL_CRITERION_SCENARIOS(suite, name, ...) \
    ParameterizedTestParameters(suite, name) \
    { \
        return hl_criterion_params((const char *const[]){ __VA_ARGS__, NULL }); \
    } \
    ParameterizedTest(struct hl_criterion_param *param, suite, name) \
    { \
        HL_CRITERION_ASSERT(hl_criterion_run_param(param)) \
    }

#define HL_CRITERION_CASE(suite, name, ...) \
    Test(suite, name) \
    { \
        HL_CRITERION_ASSERT(hl_criterion_run_one((const char *const[]){ __VA_ARGS__, NULL })) \
    }

/* Here, so that Criterion names the line of the test. */
#define HL_CRITERION_ASSERT(outcome) \
    const struct hl_criterion_outcome hl_outcome = outcome; \
    if (hl_outcome.skip) \
        cr_skip_test("%s", hl_outcome.text); \
    cr_assert(hl_outcome.ok, "%s", hl_outcome.text);

struct hl_criterion_outcome {
    bool ok, skip;
    char text[4096]; /* why not */
};

/* In Criterion's shared memory: the test runs in another process than the one that lists the cases. */
struct hl_criterion_param {
    char *path, *id;
    char *mistake; /* why there are no cases; NULL: none */
};

/* Criterion 2.4 writes all lines of a message but the first into its XML as they are. */
static inline char hl_criterion_plain(char c)
{
    switch (c) {
    case '<': return '(';
    case '>': return ')';
    case '&': return '+';
    default: return c > 0 && c < ' ' && c != '\n' ? ' ' : c;
    }
}

static inline struct hl_criterion_outcome hl_criterion_bad(const char *path, const char *why)
{
    struct hl_criterion_outcome outcome = { .ok = false };
    snprintf(outcome.text, sizeof outcome.text, "%s%s%.3000s", path, *path ? ": " : "", why);
    for (char *c = outcome.text; *c; c++)
        *c = hl_criterion_plain(*c);
    return outcome;
}

/* A whole number of the environment; false: it is none. */
static inline bool hl_criterion_number(const char *name, unsigned long long max,
                                       unsigned long long *ret_value)
{
    const char *text = getenv(name);
    char *end;
    if (!text || !*text)
        return true;
    const unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value > max)
        return false;
    *ret_value = value;
    return true;
}

static inline struct hl_criterion_outcome hl_criterion_run(const struct hl_cases *cases, size_t index)
{
    struct hl_result *result;
    struct hl_error error;
    unsigned long long runs = 0, seed = 0;
    if (!hl_criterion_number("HANGLAB_RUNS", 1000000, &runs) ||
        !hl_criterion_number("HANGLAB_SEED", (1ull << 53) - 1, &seed))
        return hl_criterion_bad("", "HANGLAB_RUNS takes 0 to 1000000, HANGLAB_SEED takes 0 to 2^53 - 1");
    const char *out_dir = getenv("HANGLAB_OUT");
    const struct hl_settings settings = { .engine = getenv("HANGLAB_ENGINE"),
                                          .out_dir = out_dir && *out_dir ? out_dir : "hanglab-out",
                                          .runs = (int)runs,
                                          .seed = seed };
    const enum hl_status status = hl_cases_run(cases, index, &settings, &result, &error);
    struct hl_criterion_outcome outcome;
    if (status != HL_STATUS_OK) {
        outcome = hl_criterion_bad(hl_cases_id(cases, index), error.message);
        outcome.skip = status == HL_STATUS_NO_GPU;
        return outcome;
    }
    outcome = hl_criterion_bad("", hl_result_text(result));
    outcome.ok = hl_result_ok(result);
    outcome.skip = hl_result_verdict(result) == HL_VERDICT_SKIPPED;
    hl_result_destroy(result);
    return outcome;
}

static inline size_t hl_criterion_count(const char *const *texts)
{
    size_t n = 0;
    while (texts[n])
        n++;
    return n;
}

/* `where`: a path, then filters, then NULL. Where a relative path leads nowhere, the folder that it starts
 * from is what went wrong. */
static inline enum hl_status hl_criterion_load(const char *const *where, struct hl_cases **ret_cases,
                                               struct hl_error *error)
{
    const enum hl_status status =
        hl_cases_load(where[0], where + 1, hl_criterion_count(where + 1), ret_cases, error);
    char folder[1024];
    if (status != HL_STATUS_OK && where[0][0] != '/' && access(where[0], F_OK) != 0 &&
        getcwd(folder, sizeof folder))
        snprintf(error->message + strlen(error->message), sizeof error->message - strlen(error->message),
                 "\nthe tests run in %s", folder);
    return status;
}

static inline struct hl_criterion_outcome hl_criterion_run_one(const char *const *where)
{
    struct hl_cases *cases;
    struct hl_error error;
    if (hl_criterion_load(where, &cases, &error) != HL_STATUS_OK)
        return hl_criterion_bad("", error.message);
    struct hl_criterion_outcome outcome;
    if (hl_cases_count(cases) == 1) {
        outcome = hl_criterion_run(cases, 0);
    } else {
        char ids[2048] = "a plain test takes one case, and the filters leave more:";
        for (size_t i = 0; i < hl_cases_count(cases) && i < 8; i++)
            snprintf(ids + strlen(ids), sizeof ids - strlen(ids), "\n  %s", hl_cases_id(cases, i));
        outcome = hl_criterion_bad(where[0], ids);
    }
    hl_cases_destroy(cases);
    return outcome;
}

static inline struct hl_criterion_outcome hl_criterion_run_param(const struct hl_criterion_param *param)
{
    struct hl_cases *cases;
    struct hl_error error;
    if (param->mistake)
        return hl_criterion_bad("", param->mistake);
    if (hl_cases_load(param->path, NULL, 0, &cases, &error) != HL_STATUS_OK)
        return hl_criterion_bad("", error.message);
    struct hl_criterion_outcome outcome = hl_criterion_bad(param->id, "the file has changed since the start");
    for (size_t i = 0; i < hl_cases_count(cases); i++)
        if (strcmp(hl_cases_id(cases, i), param->id) == 0)
            outcome = hl_criterion_run(cases, i);
    hl_cases_destroy(cases);
    return outcome;
}

static inline char *hl_criterion_copy(const char *text)
{
    return strcpy((char *)cr_malloc(strlen(text) + 1), text);
}

static inline void hl_criterion_free(struct criterion_test_params *params)
{
    struct hl_criterion_param *all = (struct hl_criterion_param *)params->params;
    for (size_t i = 0; i < params->length; i++) {
        cr_free(all[i].path);
        cr_free(all[i].id);
        cr_free(all[i].mistake);
    }
    cr_free(all);
}

/* A mistake in the files becomes one test, which fails and tells it. */
static inline struct criterion_test_params hl_criterion_params(const char *const *where)
{
    struct hl_cases *cases = NULL;
    struct hl_error error;
    const enum hl_status status = hl_criterion_load(where, &cases, &error);
    const size_t n = status == HL_STATUS_OK ? hl_cases_count(cases) : 1;
    struct hl_criterion_param *params = (struct hl_criterion_param *)cr_calloc(n, sizeof *params);
    if (status != HL_STATUS_OK)
        params[0].mistake = hl_criterion_copy(error.message);
    for (size_t i = 0; status == HL_STATUS_OK && i < n; i++) {
        params[i].path = hl_criterion_copy(hl_cases_path(cases, i));
        params[i].id = hl_criterion_copy(hl_cases_id(cases, i));
    }
    hl_cases_destroy(cases);
    return cr_make_param_array(struct hl_criterion_param, params, n, hl_criterion_free);
}
