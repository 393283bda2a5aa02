/* libhanglab: scenario files in, verdicts and evidence out, from a program of your own.
 *
 *     struct hl_cases *cases;
 *     struct hl_result *result;
 *     struct hl_error error;
 *     const struct hl_settings settings = { .out_dir = "hanglab-out" };
 *     if (hl_cases_load("scenarios/mine.yaml", NULL, 0, &cases, &error) != HL_STATUS_OK ||
 *         hl_cases_run(cases, 0, &settings, &result, &error) != HL_STATUS_OK)
 *         errx(1, "%s", error.message);
 *     fprintf(stderr, "%s\n", hl_result_text(result));
 *     hl_result_destroy(result);
 *     hl_cases_destroy(cases);
 *
 * Errors: what can fail returns enum hl_status; anything but HL_STATUS_OK fills *error (which may be NULL)
 * with a message that says where and what to do. A `ret_` parameter is set on success only. Ownership: what a
 * _load, _parse, _create, _build or _run hands out is the caller's, to be given to its _destroy, which takes
 * NULL too. Strings and structs behind const pointers belong to the object that they were asked of and live
 * as long as it does. Threads: one thread at a time. Nothing is printed and no environment variable is read.
 * ABI: the soname is libhanglab.so.0. Within it no function goes or changes, structs of this header keep
 * their size, and struct hl_culprit and the enumerators of hl_status and hl_verdict keep theirs. Causes and
 * the keys of scenario files are passed as text, because their lists grow; the structs of config.h never
 * cross the library's border. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "api.h"
#include "error.h"
#include "verdict.h"

#ifdef __cplusplus
extern "C" {
#endif

/* "0.1.0": the library that is linked, not the headers. */
HL_API const char *hl_version(void);

/*
 * Cases
 */

struct hl_cases;

/* Reads a scenario file, or all *.yaml and *.yml of a folder and its subfolders, and chooses cases. A filter
 * is "path=value" (a matrix parameter) or a part of the case id; filters on the same path are alternatives,
 * all others must hold. At least one case is left, or it is an error. Mistakes of all files are told at once.
 */
HL_API enum hl_status hl_cases_load(const char *path, const char *const *filters, size_t n_filters,
                                    struct hl_cases **ret_cases, struct hl_error *error);

/* The text of a scenario file, `size` bytes; `name` stands for the file's path in diagnostics. */
HL_API enum hl_status hl_cases_parse(const char *name, const char *text, size_t size,
                                     struct hl_cases **ret_cases, struct hl_error *error);

HL_API void hl_cases_destroy(struct hl_cases *cases);

HL_API size_t hl_cases_count(const struct hl_cases *cases);

/* Of the case with this index, from 0, in order of files and matrices: its id, unique among all cases of all
 * files; the file it is from; and its value on one axis of the matrix ("4", "[512,256]"), or NULL where the
 * matrix has no such axis. */
HL_API const char *hl_cases_id(const struct hl_cases *cases, size_t index);
HL_API const char *hl_cases_path(const struct hl_cases *cases, size_t index);
HL_API const char *hl_cases_param(const struct hl_cases *cases, size_t index, const char *axis);

/*
 * A scenario built in code
 */

struct hl_builder;

/* `name` is the scenario's name. NULL: out of memory. Mistakes of the calls below are told by _build. */
HL_API struct hl_builder *hl_builder_create(const char *name);
HL_API void hl_builder_destroy(struct hl_builder *builder);

/* Sets a key, by its dotted path, to a value as a scenario file would say it, in one line:
 *     hl_builder_set(builder, "schedule.replays", "%d", replays);
 *     hl_builder_set(builder, "matrix.subject.backend", "[mnnvl, trtllm]");
 * An earlier value of that key is replaced. */
HL_API void hl_builder_set(struct hl_builder *builder, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds an item to one of the lists: faults, exclude, expect.
 *     hl_builder_add(builder, "faults", "{fault: skip-call, rank: %d, call: 7}", rank); */
HL_API void hl_builder_add(struct hl_builder *builder, const char *list, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The builder stays as it is: change a value and build again. */
HL_API enum hl_status hl_builder_build(const struct hl_builder *builder, struct hl_cases **ret_cases,
                                       struct hl_error *error);

/*
 * Running
 */

/* All zero is a good start. */
struct hl_settings {
    const char *engine;  /* "sim", "cuda", or "auto": cuda where there is a GPU. NULL: "sim" */
    const char *out_dir; /* evidence bundles go to its evidence/ folder, made as needed. NULL: none is kept */
    uint64_t seed;       /* up to 2^53 - 1; each run draws its own from it. 0: 1 */
    uint64_t run_seed;   /* not 0: one run with exactly this seed, as hl_result_seed() gives it */
    int runs;            /* of each case. 0: as its scenario says */
    int jobs;            /* hl_cases_run_all(): cases at a time. 0: one a core; on a GPU, one */
    void *reserved[8];   /* zero */
};

struct hl_result;

/* Runs one case in this process: all of its runs, one after the other. `settings` may be NULL.
 * HL_STATUS_NO_GPU: engine "cuda" and there is none. */
HL_API enum hl_status hl_cases_run(const struct hl_cases *cases, size_t index,
                                   const struct hl_settings *settings, struct hl_result **ret_result,
                                   struct hl_error *error);

/* Runs all cases, several at a time, in child processes: a crash of one costs only that case. Calls
 * `on_result` for each, in order of index, in this process; the result goes when it returns. Meanwhile SIGINT
 * and SIGTERM end the rest, which is told as skipped. */
HL_API enum hl_status hl_cases_run_all(const struct hl_cases *cases, const struct hl_settings *settings,
                                       void (*on_result)(void *user, size_t index,
                                                         const struct hl_result *result),
                                       void *user, struct hl_error *error);

HL_API void hl_result_destroy(struct hl_result *result);

/*
 * Results
 */

HL_API const char *hl_result_id(const struct hl_result *result);

/* Is it what the scenario expects: verdict, cause and rate? */
HL_API bool hl_result_ok(const struct hl_result *result);
/* "pass", or "hang, cause sentinel-collision, rate 0.05 to 0.5". */
HL_API const char *hl_result_expected(const struct hl_result *result);

/* The worst of the runs; and of the first run with that verdict: its cause and how sure that is, by the names
 * of `hanglab list causes` and `hanglab list certainties`, who is to blame (what is not known is -1), one
 * sentence, its seed, and its bundle or NULL. */
HL_API enum hl_verdict hl_result_verdict(const struct hl_result *result);
HL_API const char *hl_result_cause(const struct hl_result *result);
HL_API const char *hl_result_certainty(const struct hl_result *result);
HL_API const struct hl_culprit *hl_result_culprit(const struct hl_result *result);
HL_API const char *hl_result_summary(const struct hl_result *result);
HL_API uint64_t hl_result_seed(const struct hl_result *result);
HL_API const char *hl_result_evidence(const struct hl_result *result);

/* How many runs there were, and how many ended so. */
HL_API int hl_result_runs(const struct hl_result *result);
HL_API int hl_result_count(const struct hl_result *result, enum hl_verdict verdict);
/* Hangs per run, 0 to 1, with its exact 95 % interval (Clopper-Pearson); either pointer may be NULL. */
HL_API double hl_result_rate(const struct hl_result *result, double *ret_low, double *ret_high);

/* All of it in a few lines, for people; no newline at the end. */
HL_API const char *hl_result_text(const struct hl_result *result);

/* "hang", "pass", ...; "?" for what is no verdict. */
HL_API const char *hl_verdict_name(enum hl_verdict verdict);

#ifdef __cplusplus
}
#endif
