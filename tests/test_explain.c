/* `hanglab explain` on a bundle of known contents, and on folders that are none. */
#include "bundle_fixture.h"
#include "command.h"
#include "../reports/decode.h"

static void assert_word(enum hl_dtype dtype, uint32_t word, const char *want)
{
    char text[160];
    hl_decode_word(dtype, word, text, sizeof text);
    cr_assert_str_eq(text, want);
}

Test(decode_words, a_word_is_read_as_its_elements)
{
    assert_word(HL_BF16, 0x80010000, "bf16 (0x0000 = 0, 0x8001 = -9.18e-41 subnormal)");
    assert_word(HL_BF16, 0x3f80bf80, "bf16 (0xbf80 = -1, 0x3f80 = 1)");
    assert_word(HL_BF16, 0x7fc07f80, "bf16 (0x7f80 = infinity, 0x7fc0 = NaN)");
    assert_word(HL_FP16, 0x00013c00, "fp16 (0x3c00 = 1, 0x0001 = 5.96e-08 subnormal)");
    assert_word(HL_FP32, 0x80000000, "fp32 (0x80000000 = -0)");
    assert_word(HL_FP32, 0x40490fdb, "fp32 (0x40490fdb = 3.14)");
}

Test(decode_words, times_have_a_fitting_unit)
{
    char text[32];
    static const struct {
        uint64_t ns;
        const char *text;
    } cases[] = { { 17, "17 ns" }, { 1500, "1.500 us" }, { 1203000, "1.203 ms" }, { 2500000000, "2.500 s" } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hl_decode_time(cases[i].ns, text, sizeof text);
        cr_assert_str_eq(text, cases[i].text);
    }
}

struct told {
    struct bundle_fixture *fixture;
    struct command command;
    char *path;
};

static void tell(struct told *t)
{
    char line[512];
    t->fixture = fixture_create();
    command_init(&t->command);
    struct hl_error error;
    cr_assert_eq(hl_bundle_write(&t->fixture->bundle, t->fixture->out_dir, &t->path, &error), HL_STATUS_OK,
                 "%s", error.message);
    snprintf(line, sizeof line, "hanglab explain '%s'", t->path);
    command_expect(&t->command, line, 0);
}

static void told_finish(struct told *t)
{
    command_finish(&t->command);
    free(t->path);
    fixture_destroy(t->fixture);
}

Test(explain, tells_who_waits_for_which_word_and_why_it_never_comes)
{
    struct told t;
    tell(&t);
    static const char *const texts[] = {
        "fixture/subject.sentinel_compare=float-ftz",
        "hang: sentinel-collision, proven",
        "rank 1: call 37 (site 3, mnnvl-oneshot, 4 tokens, stream 0, eager)",
        "Rank 1 waits for word 17 of the slot that rank 0 fills for token 3: stage oneshot, buffer 1",
        "It holds 0x80010000, as bf16 (0x0000 = 0, 0x8001 = -9.18e-41 subnormal).",
        "Row 3 of rank 0's input to this call was never written since its block was taken from the pool "
        "(rows written: 0 to 2)",
        "Last stored by rank 0 in its call 37, at 1.201 ms.",
        "equals -0.0, the sentinel",
        "at rank  1  X  .  s  .",
        "replay 3, piece 2",
        "seed 4711",
        "repro.sh",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        /* Lines are wrapped: compare without regard to white space. */
        char want[512], *flat = strdup(t.command.out), *to = flat;
        for (const char *from = t.command.out; *from; from++)
            if (*from != ' ' && *from != '\n')
                *to++ = *from;
        *to = '\0';
        to = want;
        for (const char *from = texts[i]; *from; from++)
            if (*from != ' ')
                *to++ = *from;
        *to = '\0';
        cr_assert_not_null(strstr(flat, want), "'%s' is not in:\n%s", texts[i], t.command.out);
        free(flat);
    }
    told_finish(&t);
}

Test(explain, needs_no_other_file_than_the_bundle)
{
    struct told t;
    char line[512];
    tell(&t);
    char *before = strdup(t.command.out);
    snprintf(line, sizeof line, "mv '%s' moved && hanglab explain moved", t.path);
    command_expect(&t.command, line, 0);
    /* Only the path of repro.sh differs. */
    cr_assert_eq(strncmp(t.command.out, before, (size_t)(strstr(before, "Run it again") - before)), 0);
    free(before);
    told_finish(&t);
}

Test(explain, lines_fit_a_terminal)
{
    struct told t;
    tell(&t);
    const char *end = strstr(t.command.out, "Run it again");
    for (const char *line = t.command.out; line < end; line = strchr(line, '\n') + 1)
        cr_assert_leq(strchr(line, '\n') - line, 100, "%.*s", (int)(strchr(line, '\n') - line), line);
    told_finish(&t);
}

Test(explain, a_broken_or_foreign_folder_is_a_clear_error)
{
    struct told t;
    char line[1024];
    tell(&t);
    static const char *const damages[] = { "rm '%s/slots.json'", "echo '{' > '%s/flags.json'",
                                           "echo '[1]' > '%s/verdict.json'",
                                           "echo '{\"hanglab\":2}' > '%s/verdict.json'", "rm -r '%s'" };
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        snprintf(line, sizeof line, damages[i], t.path);
        command_expect(&t.command, line, 0);
        snprintf(line, sizeof line, "hanglab explain '%s'", t.path);
        command_expect(&t.command, line, 64);
        cr_assert_not_null(strstr(t.command.err, t.path), "%s", t.command.err);
        cr_assert_str_empty(t.command.out);
    }
    told_finish(&t);
}

Test(explain, wrong_types_inside_do_not_crash_it)
{
    struct told t;
    char line[1024];
    tell(&t);
    snprintf(line, sizeof line,
             "echo '{\"hanglab\":1,\"ranks\":[3,null],\"culprit\":[],\"configuration\":{\"ranks\":-5}}' > "
             "'%s/verdict.json' && echo "
             "'{\"hanglab\":1,\"slots\":[{},7,{\"rank\":99,\"source\":-4}],\"layouts\":{}}' > "
             "'%s/slots.json' && hanglab explain '%s' > /dev/null",
             t.path, t.path, t.path);
    command_expect(&t.command, line, 0);
    told_finish(&t);
}

static void add_text(const char *folder, const char *name, const char *text)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

Test(explain, folds_nameless_frames_and_tells_where_the_lanes_stood)
{
    struct told t;
    char line[8192];
    tell(&t);
    snprintf(line, sizeof line, "mkdir '%s/gpucore'", t.path);
    command_expect(&t.command, line, 0);
    add_text(t.path, "stacks/rank1.txt",
             "#0 sync, stream 0 (blocked)\n\nprocess 7 \"hanglab\"\n"
             "  thread 9 \"rank 1\", state S\n"
             "    inside the CUDA driver: cuStreamSynchronize, called by run at rank.c:12\n"
             "    #0 0x7f01 of libcuda.so.1 (libcuda.so.1+0x1)\n"
             "    #1 0x7f02 of libcuda.so.1 (libcuda.so.1+0x2)\n"
             "    #2 cuStreamSynchronize of libcuda.so.1 (libcuda.so.1+0x3)\n"
             "    #3 run at rank.c:12 (hanglab+0x4)\n"
             "  thread 10 \"cuda-EvtHandlr\", state S\n    #0 poll of libc.so.6 (libc.so.6+0x5)\n");
    add_text(t.path, "gpucore/summary.json",
             "{\"hanglab\": 1, \"cores\": [{\"rank\": 0, \"kernels\": [{\"kernel\": \"oneshot\", \"grid\": "
             "[8, 1, 1], \"blocks_on_device\": 2, \"lanes\": 1024, \"lanes_exited\": 0, \"wait\": "
             "{\"lanes_in\": 2, \"lanes_past\": 1022, \"lanes_before\": 0}, \"places\": [{\"wait\": \"in\", "
             "\"file\": \"step.cuh\", \"line\": 267, \"lanes\": 2, \"warps\": 2, \"blocks\": 2}]}]}, "
             "{\"rank\": 1, \"why_not\": \"the process is gone\"}]}\n");
    snprintf(line, sizeof line, "hanglab explain '%s'", t.path);
    command_expect(&t.command, line, 0);
    static const char *const texts[] = {
        "inside the CUDA driver: cuStreamSynchronize, called by run at rank.c:12\n",
        "... 2 frames without names in libcuda.so.1\n",
        "#3 run at rank.c:12\n",
        "Threads more: 1, in stacks/rank1.txt\n",
        "oneshot, grid 8 x 1 x 1: 2 blocks on the GPU, 1024 lanes, 0 exited.\n",
        "2 poll in the wait, 1022 are past it",
        "in the wait: lanes 2, warps 2, blocks 2: step.cuh:267\n",
        "No GPU core of rank 1: the process is gone.\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cr_assert_not_null(strstr(t.command.out, texts[i]), "'%s' is not in:\n%s", texts[i], t.command.out);
    cr_assert_null(strstr(t.command.out, "cuda-EvtHandlr"));
    told_finish(&t);
}
