/* `hanglab replay`: what watchdog, oracle and classifier make of recorded runs, here and now. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../campaign/playback.h"
#include "../scenario/words.h"
#include "command.h"

static const char doc[] =
    "Plays recordings of `hanglab record`: no GPU and no ranks, only what was seen of them."
    "\vExit code: 0 every verdict and cause is the recorded one; 1 a hang where there was none; "
    "2 another difference; 64 not a recording; 99 hanglab's own failure.";

static const struct argp_option options[] = {
    { "out", 'o', "DIR", 0, "leave an evidence bundle of each that hung or went wrong (default: none)", 0 },
    { 0 }
};

struct arguments {
    char **paths;
    size_t n_paths;
    const char *out_dir;
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 'o': a->out_dir = text; return 0;
    case ARGP_KEY_ARG: a->paths[a->n_paths++] = text; return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which recording?"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static void tell(const char *path, const struct hl_recording *recording, const struct hl_run_result *result,
                 bool same)
{
    const struct hl_recording_header *h = &recording->header;
    printf("%s %s: %s, %s\n  recorded %s on %s (%s), seed %llu: %s, %s\n", same ? "same     " : "DIFFERENT",
           path, hl_words_name(&hl_words_verdicts, result->finding.verdict),
           hl_cause_name(result->finding.cause), h->date, h->machine, h->engine, (unsigned long long)h->seed,
           h->verdict, h->cause);
    if (result->finding.summary[0])
        printf("  %s\n", result->finding.summary);
    if (result->bundle)
        printf("  evidence: %s\n", result->bundle);
}

/* Returns the exit code of recording `number`. */
static int replay(const struct arguments *a, int number)
{
    const char *path = a->paths[number];
    struct hl_error error;
    struct hl_recording recording;
    struct hl_run_result result;
    if (hl_recording_read(path, &recording, &error) != HL_STATUS_OK)
        return hl_complain(&error);
    int code;
    if (hl_play_back(&recording, path, a->out_dir, number, &result, &error) != HL_STATUS_OK) {
        code = hl_complain(&error);
    } else {
        const bool same = hl_played_back_the_same(&recording, &result);
        code = same ? 0 : result.finding.verdict == HL_VERDICT_HANG ? 1 : 2;
        tell(path, &recording, &result, same);
        if (result.bundle_error[0]) {
            fprintf(stderr, "hanglab: %s: no evidence was kept: %s\n", path, result.bundle_error);
            code = hl_status_exit_code(HL_STATUS_IO);
        }
        hl_run_result_finish(&result);
    }
    hl_recording_finish(&recording);
    return code;
}

/* 1 outranks 2; a recording that cannot be read outranks both. */
static int worse(int a, int b)
{
    if (a > 3 || b > 3)
        return a > b ? a : b;
    return a == 1 || b == 1 ? 1 : a > b ? a : b;
}

int hl_command_replay(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options, .parser = parse, .args_doc = "RECORDING...", .doc = doc
    };
    struct arguments a = { .paths = calloc((size_t)argc, sizeof *a.paths) };
    if (!a.paths)
        return hl_status_exit_code(HL_STATUS_MEMORY);
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    int code = 0;
    for (size_t i = 0; i < a.n_paths; i++)
        code = worse(code, replay(&a, (int)i));
    free(a.paths);
    return hl_finish_output(code);
}
