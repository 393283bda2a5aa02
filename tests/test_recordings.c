/* Recordings: what was seen of real GPUs still gives the verdicts that it gave, what is recorded now plays
 * back the same, and a damaged file does no harm. */
#include <criterion/criterion.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../framework/campaign/playback.h"

static void expand(const char *pattern, glob_t *ret_files)
{
    char path[PATH_MAX];
    const char *root = getenv("HANGLAB_SOURCE");
    cr_assert_not_null(root, "HANGLAB_SOURCE must name the source tree; meson test sets it");
    snprintf(path, sizeof path, "%s/%s", root, pattern);
    cr_assert_eq(glob(path, 0, NULL, ret_files), 0, "no file is %s", path);
}

static void play(const char *path, struct hl_recording_header *ret_header)
{
    struct hl_recording recording;
    struct hl_run_result result;
    struct hl_error error;
    cr_assert_eq(hl_recording_read(path, &recording, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(hl_play_back(&recording, path, NULL, 0, &result, &error), HL_STATUS_OK, "%s", error.message);
    cr_expect(hl_played_back_the_same(&recording, &result), "%s: recorded %s (%s), now: %s", path,
              recording.header.verdict, recording.header.cause, result.finding.summary);
    *ret_header = recording.header;
    hl_run_result_finish(&result);
    hl_recording_finish(&recording);
}

Test(recordings, of_a_gpu_give_the_verdicts_that_they_gave)
{
    glob_t files;
    int hangs = 0, causes = 0;
    char seen[64][48];
    expand("tests/recordings/h[12]00/*.hlrec", &files);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct hl_recording_header header;
        play(files.gl_pathv[i], &header);
        cr_expect_str_eq(header.engine, "cuda", "%s", files.gl_pathv[i]);
        if (strcmp(header.verdict, "hang") != 0)
            continue;
        hangs++;
        int known = 0;
        while (known < causes && strcmp(seen[known], header.cause) != 0)
            known++;
        if (known == causes && causes < 64)
            strcpy(seen[causes++], header.cause);
    }
    cr_expect_geq(hangs, 15);
    cr_expect_geq(causes, 12);
    globfree(&files);
}

static enum hl_certainty certainty_of(const char *name)
{
    char path[PATH_MAX];
    struct hl_recording recording;
    struct hl_run_result result;
    struct hl_error error;
    snprintf(path, sizeof path, "%s/tests/recordings/h200/%s.hlrec", getenv("HANGLAB_SOURCE"), name);
    cr_assert_eq(hl_recording_read(path, &recording, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(hl_play_back(&recording, path, NULL, 0, &result, &error), HL_STATUS_OK, "%s", error.message);
    const enum hl_certainty certainty = result.finding.certainty;
    hl_run_result_finish(&result);
    hl_recording_finish(&recording);
    return certainty;
}

/* Refused words of ranks that all wait are final on a GPU, too; a host that sleeps may come yet. */
Test(recordings, of_a_gpu_are_proven_where_that_can_be_decided)
{
    cr_expect_eq(certainty_of("sglang-23402-mnnvl-piecewise-fusion-in-graph-A-small"), HL_CERTAINTY_PROVEN);
    cr_expect_eq(certainty_of("sglang-23402-mnnvl-piecewise-fusion-split-B-large"), HL_CERTAINTY_PROVEN);
    cr_expect_eq(certainty_of("host-asleep"), HL_CERTAINTY_OBSERVED);
}

/*
 * Recording on the simulator
 */

static const char text[] =
    "hanglab: 1\nname: recorded\nworld: {ranks: 4, placement: virtual}\n"
    "subject: {backend: mnnvl, dtype: bf16, hidden: 4096, sentinel_compare: float-ftz}\n"
    "schedule: {mode: piecewise, layers: 2, sizes: [16, 4], replays: 6}\n"
    "payload: {rows: engine, residue: {negative_subnormal_rows: 0.5}}\n";

static struct hl_recording record(const char *scenario_text, uint64_t seed, uint64_t rows_bytes)
{
    struct hl_scenario *scenario;
    struct hl_error error;
    struct hl_run_result result;
    struct hl_recording recording;
    cr_assert_eq(hl_scenario_parse("test", scenario_text, strlen(scenario_text), &scenario, &error),
                 HL_STATUS_OK, "%s", error.message);
    const struct hl_run_options options = { .engine = hl_recorder_begin(&hl_engine_sim, rows_bytes),
                                            .seed = seed,
                                            .seed_is_of_run = true };
    cr_assert_eq(hl_run_once(scenario, &scenario->cases[0], &options, 0, HL_VERDICT_SKIPPED, &result, &error),
                 HL_STATUS_OK, "%s", error.message);
    cr_assert(hl_recorder_end(&recording));
    hl_put(&recording.scenario, scenario_text, strlen(scenario_text));
    snprintf(recording.header.verdict, sizeof recording.header.verdict, "%s",
             result.finding.verdict == HL_VERDICT_HANG ? "hang" : "pass");
    snprintf(recording.header.cause, sizeof recording.header.cause, "%s",
             hl_cause_name(result.finding.cause));
    snprintf(recording.header.geometry, sizeof recording.header.geometry, "reduced");
    hl_run_result_finish(&result);
    hl_scenario_destroy(scenario);
    return recording;
}

static void temporary(char *path, size_t size)
{
    snprintf(path, size, "/tmp/hanglab-test-%ld.hlrec", (long)getpid());
}

Test(recordings, play_back_the_same_from_a_file)
{
    char path[PATH_MAX];
    struct hl_error error;
    struct hl_recording_header header;
    temporary(path, sizeof path);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct hl_recording recording = record(text, seed, 1 << 20);
        cr_assert_eq(hl_recording_write(path, &recording, &error), HL_STATUS_OK, "%s", error.message);
        play(path, &header);
        cr_assert_eq(header.seed, seed);
        cr_assert_eq(header.calls, recording.header.calls);
        hl_recording_finish(&recording);
    }
    unlink(path);
}

/* The picture of a run on a GPU can be looked at where there is none. */
Test(recordings, leave_the_evidence_bundle_of_the_engine_that_ran)
{
    char folder[] = "/tmp/hanglab-test-XXXXXX", command[PATH_MAX + 64];
    struct hl_error error;
    struct hl_run_result result;
    glob_t files;
    expand("tests/recordings/h200/skip-call.hlrec", &files);
    struct hl_recording recording;
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(hl_recording_read(files.gl_pathv[0], &recording, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(hl_play_back(&recording, "kept", folder, 4, &result, &error), HL_STATUS_OK, "%s",
                 error.message);
    cr_assert_not_null(result.bundle, "%s", result.bundle_error);
    cr_expect(strstr(result.bundle, "/evidence/skip-call/4"), "%s", result.bundle);
    snprintf(command, sizeof command, "grep -q 'run --engine cuda --run-seed' '%s/repro.sh'", result.bundle);
    cr_expect_eq(system(command), 0);
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    cr_expect_eq(system(command), 0);
    hl_run_result_finish(&result);
    hl_recording_finish(&recording);
    globfree(&files);
}

/* What is not in the calls themselves: hosts, groups, devices, tools, guards. */
Test(recordings, keep_all_that_a_cause_is_decided_by)
{
    static const char *const faults[] = { "wrong-group",      "stop-rank",    "host-block",
                                          "foreign-spin",     "stall-stream", "driver-stall",
                                          "shared-workspace", "stale-graph",  "serialise-launches",
                                          "kill-rank" };
    static const char *const mutants[] = { "stray-store", "baked-epoch", "wrong-clear-offset" };
    const size_t n = sizeof faults / sizeof *faults, all = n + sizeof mutants / sizeof *mutants;
    for (size_t i = 0; i < all; i++) {
        char yaml[512], fault[128] = "[]";
        struct hl_error error;
        struct hl_run_result result;
        if (i < n)
            snprintf(fault, sizeof fault, "[{fault: %s, rank: 1%s}]", faults[i],
                     strcmp(faults[i], "wrong-group") == 0 ? "" : ", call: 20");
        snprintf(yaml, sizeof yaml,
                 "hanglab: 1\nname: kept\nworld: {ranks: 4, progress: lobe, resident_ctas: 65536, "
                 "launch_queue: 2}\n"
                 "subject: {mutant: %s}\nschedule: {mode: full, layers: 2, sizes: [16, 8], replays: 6}\n"
                 "faults: %s\n",
                 i < n ? "none" : mutants[i - n], fault);
        struct hl_recording recording = record(yaml, 7, 1 << 22);
        cr_expect_str_neq(recording.header.cause, "none", "%s", yaml);
        cr_assert_eq(hl_play_back(&recording, "kept", NULL, 0, &result, &error), HL_STATUS_OK, "%s",
                     error.message);
        cr_expect_str_eq(hl_cause_name(result.finding.cause), recording.header.cause, "%s", yaml);
        hl_run_result_finish(&result);
        hl_recording_finish(&recording);
    }
}

Test(recordings, of_a_clean_run_pass_only_with_rows)
{
    char clean[sizeof text];
    memcpy(clean, text, sizeof text);
    memcpy(strstr(clean, "piecewise"), "full     ", 9);
    struct hl_error error;
    struct hl_run_result result;
    struct hl_recording with = record(clean, 5, 1 << 20), without = record(clean, 5, 0);
    cr_assert_str_eq(with.header.verdict, "pass");
    cr_assert_eq(hl_play_back(&with, "with", NULL, 0, &result, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(result.finding.verdict, HL_VERDICT_PASS, "%s", result.finding.summary);
    cr_assert_eq(hl_play_back(&without, "without", NULL, 0, &result, &error), HL_STATUS_OK, "%s",
                 error.message);
    cr_assert_eq(result.finding.verdict, HL_VERDICT_INCONCLUSIVE, "what was not checked did not pass");
    hl_recording_finish(&with);
    hl_recording_finish(&without);
}

Test(recordings, cut_or_changed_do_no_harm)
{
    char path[PATH_MAX];
    struct hl_error error;
    struct hl_recording recording = record(text, 2, 1 << 16), read;
    temporary(path, sizeof path);
    cr_assert_eq(hl_recording_write(path, &recording, &error), HL_STATUS_OK, "%s", error.message);
    FILE *file = fopen(path, "rb");
    static char bytes[1 << 20], changed[1 << 20];
    const size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    cr_assert(size > 1000 && size < sizeof bytes);
    for (size_t i = 0; i < 300; i++) {
        const size_t at = i * size / 300;
        const bool cut = i % 3 == 0;
        memcpy(changed, bytes, size);
        changed[at] ^= (char)(1 << i % 8);
        file = fopen(path, "wb");
        fwrite(changed, 1, cut ? at : size, file);
        fclose(file);
        if (hl_recording_read(path, &read, &error) != HL_STATUS_OK)
            continue;
        cr_assert_not(cut, "a file of %zu of %zu bytes is taken for whole", at, size);
        struct hl_run_result result;
        if (hl_play_back(&read, path, NULL, 0, &result, &error) == HL_STATUS_OK)
            hl_run_result_finish(&result);
        hl_recording_finish(&read);
    }
    unlink(path);
    hl_recording_finish(&recording);
}
