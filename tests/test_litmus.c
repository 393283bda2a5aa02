/* Litmus tests are in the form that the tools read, and say of a mutant what is wrong with it. */
#include <criterion/criterion.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include "../framework/search/litmus.h"

/* One test as text; NULL: the protocol has no such fragment. free() it. */
static char *export(enum hl_protocol protocol, enum hl_mutant mutant, enum hl_litmus_fragment fragment)
{
    static struct hl_space_spec spec;
    struct hl_space *space;
    struct hl_error error;
    char *text = NULL;
    size_t size;
    bool written;
    spec = (struct hl_space_spec){ .ranks = 2, .streams = 1, .workspaces = 1, .mutant = mutant, .sms = 132 };
    for (int rank = 0; rank < 2; rank++) {
        spec.program[rank][0].calls[0] = (struct hl_space_call){ .protocol = protocol, .tokens = 1 };
        spec.program[rank][0].n = 1;
    }
    cr_assert_eq(hl_space_create(&spec, &space, &error), HL_STATUS_OK, "%s", error.message);
    FILE *out = open_memstream(&text, &size);
    cr_assert_eq(hl_litmus_write(space, fragment, "a test", out, &written, &error), HL_STATUS_OK, "%s",
                 error.message);
    fclose(out);
    hl_space_destroy(space);
    if (written)
        return text;
    free(text);
    return NULL;
}

static bool matches(const char *pattern, const char *text)
{
    regex_t regex;
    cr_assert_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0, "%s", pattern);
    const bool match = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return match;
}

#define INSTRUCTION \
    "((st\\.relaxed\\.sys [a-z]+, [0-9]+)|(ld\\.relaxed\\.sys r[0-9]+, [a-z]+)|" \
    "(red\\.release\\.gpu\\.add [a-z]+, [0-9]+)|(fence\\.sc\\.sys))?"

/* The grammar of Dat3M (dartagnan/src/main/antlr4/LitmusPTX.g4), as far as it is used: a title, declarations,
 * a row of threads, rows of instructions, a condition. */
static void expect_well_formed(char *text)
{
    static const char *const parts[] = {
        "^PTX [a-z]+$",
        "^\"[^\"]*\"$",
        "^\\{$",
        "^((P[01]:r[0-9]+)|[a-z]+)=[0-9]+;$",
        "^ P0@cta [01],gpu [01] +\\| P1@cta [01],gpu [01] ;$",
        "^ " INSTRUCTION " *\\| " INSTRUCTION " ;$",
        "^\\(\\*.*\\*\\)$",
        "^exists$",
        "^\\(P[01]:r[0-9]+ == [01] /\\\\ (P[01]:r[0-9]+|[a-z]+) == [01]\\)$"
    };
    size_t part = 0;
    int instructions = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        if (strcmp(line, "}") == 0) {
            part = 4;
            continue;
        }
        if (part == 5 && line[0] == '(')
            part = 6;
        cr_assert_lt(part, sizeof parts / sizeof *parts, "a line too many: %s", line);
        cr_expect(matches(parts[part], line), "'%s' does not match %s", line, parts[part]);
        instructions += part == 5;
        part += part != 3 && part != 5;
    }
    cr_expect_eq(part, sizeof parts / sizeof *parts, "it ends at part %zu", part);
    cr_expect_geq(instructions, 2);
}

Test(litmus, every_export_is_well_formed)
{
    int n = 0;
    for (int protocol = 0; protocol < HL_NCCL; protocol++)
        for (int mutant = 0; mutant < HL_MUTANT_COUNT; mutant++)
            for (int fragment = 0; fragment < HL_LITMUS_FRAGMENT_COUNT; fragment++) {
                char *text = export(protocol, mutant, fragment);
                n += text != NULL;
                if (text)
                    expect_well_formed(text);
                free(text);
            }
    cr_expect_gt(n, 4 * HL_MUTANT_COUNT);
}

/* Where `second` stands behind `first`; both are in the text. */
static void expect_order(const char *text, const char *first, const char *second)
{
    cr_assert_not_null(text);
    const char *a = strstr(text, first), *b = strstr(text, second);
    cr_assert(a && b, "'%s' and '%s' in:\n%s", first, second, text);
    cr_expect_lt(a, b, "'%s' before '%s' in:\n%s", first, second, text);
}

Test(litmus, the_order_is_that_of_the_step_sources)
{
    static const enum hl_protocol protocols[] = { HL_MNNVL_ONESHOT, HL_TRTLLM_ONESHOT };
    for (int i = 0; i < 2; i++) {
        char *text = export(protocols[i], HL_MUTANT_NONE, HL_LITMUS_CLEAR);
        expect_order(text, "st.relaxed.sys x, 0", "st.relaxed.sys y, 1");
        expect_order(text, "fence.sc.sys", "st.relaxed.sys y, 1");
        free(text);
    }
    char *text = export(HL_MNNVL_ONESHOT, HL_MUTANT_LATE_CLEAR, HL_LITMUS_CLEAR);
    expect_order(text, "st.relaxed.sys y, 1", "st.relaxed.sys x, 0");
    free(text);
    text = export(HL_MNNVL_ONESHOT, HL_MUTANT_NONE, HL_LITMUS_ARRIVAL);
    expect_order(text, "ld.relaxed.sys r0, current", "red.release.gpu.add arrived, 1");
    expect_order(text, "red.release.gpu.add arrived, 1", "st.relaxed.sys current, 1");
    free(text);
    text = export(HL_MNNVL_ONESHOT, HL_MUTANT_RELAXED_ARRIVAL, HL_LITMUS_ARRIVAL);
    expect_order(text, "red.release.gpu.add arrived, 1", "ld.relaxed.sys r0, current");
    free(text);
}

Test(litmus, a_barrier_without_its_release_has_no_fence_before_the_flag)
{
    char *right = export(HL_TRTLLM_TWOSHOT, HL_MUTANT_NONE, HL_LITMUS_BARRIER);
    char *wrong = export(HL_TRTLLM_TWOSHOT, HL_MUTANT_NO_RELEASE, HL_LITMUS_BARRIER);
    cr_assert(right && wrong);
    cr_expect(matches("\n fence.sc.sys +\\|", right), "%s", right);
    cr_expect_not(matches("\n fence.sc.sys +\\|", wrong), "%s", wrong);
    cr_expect_null(export(HL_MNNVL_ONESHOT, HL_MUTANT_NONE, HL_LITMUS_BARRIER));
    free(right);
    free(wrong);
}
