/* All of the catalogue through `hanglab explore` at 3 ranks, each answer held against what its file expects
 * of `hanglab run`: the counts of docs/explore.md, and which cases are answered otherwise. */
#include <jansson.h>
#include <limits.h>
#include <string.h>
#include "bench.h"

static int count(const json_t *summary, const char *key)
{
    return (int)json_integer_value(json_object_get(summary, key));
}

/* A case that is not answered as its file expects. */
static void tell(const json_t *line)
{
    if (json_is_true(json_object_get(line, "ok")))
        return;
    printf("  %s, expected %s%s: %s\n", json_string_value(json_object_get(line, "answer")),
           json_string_value(json_object_get(line, "expected")),
           json_array_size(json_object_get(line, "unseen")) ? " (no search sees its cause)" : "",
           json_string_value(json_object_get(line, "id")));
}

int main(void)
{
    const char *program = getenv("HANGLAB_PROGRAM"), *source = getenv("HANGLAB_SOURCE");
    char command[2 * PATH_MAX + 128], *line = NULL;
    size_t size = 0;
    json_t *summary = NULL;
    hl_bench_require(program && source,
                     "HANGLAB_PROGRAM or HANGLAB_SOURCE is not set; `./dev bench` sets them");
    snprintf(command, sizeof command,
             "'%s' explore '%s/scenarios/catalogue' --ranks 3 --states 100000 --time-budget 4 --format json",
             program, source);
    FILE *out = popen(command, "r");
    hl_bench_require(out != NULL, "start hanglab explore");
    while (getline(&line, &size, out) > 0) {
        json_t *object = json_loads(line, 0, NULL);
        hl_bench_require(object != NULL, "read a line of hanglab explore");
        if (strcmp(json_string_value(json_object_get(object, "type")), "summary") == 0)
            summary = json_incref(object);
        else
            tell(object);
        json_decref(object);
    }
    free(line);
    pclose(out);
    hl_bench_require(summary != NULL, "come to the end of the catalogue");
    const double cases = count(summary, "cases");
    hl_bench_row("catalogue at 3 ranks: cases", cases, "", HL_BENCH_AT_LEAST, 727);
    hl_bench_row("answered as their files expect, or unseen", count(summary, "ok") + count(summary, "unseen"),
                 "", HL_BENCH_AT_LEAST, cases - 4);
    hl_bench_row("otherwise", count(summary, "otherwise"), "", HL_BENCH_AT_MOST, 2);
    hl_bench_row("refused", count(summary, "refused"), "", HL_BENCH_AT_MOST, 0);
    json_decref(summary);
    return hl_bench_finish();
}
