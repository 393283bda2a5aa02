/* The HTML report of a large night: 2,000 cases and 50 bundles, written and weighed. */
#include <jansson.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include "bench.h"

#define CASES 2000
#define BUNDLES 50
#define MIB (1024.0 * 1024.0)

/* One real hang with its bundle, then copies of its line and its bundle under other names. */
static const char make_folder[] =
    "cd '%s' && '%s' run '%s/scenarios/seed/sglang-23402.yaml' --filter 'split op (B)' --runs 1 --engine sim "
    "--format json > one.jsonl 2>/dev/null && cd hanglab-out/evidence && set -- */ && "
    "for i in $(seq %d); do mkdir c$i && cp -r \"$1/0\" c$i/0; done && rm -r \"$@\"";

static void write_results(const char *folder)
{
    char path[PATH_MAX], name[64];
    json_t *one;
    snprintf(path, sizeof path, "%s/one.jsonl", folder);
    FILE *in = fopen(path, "r");
    snprintf(path, sizeof path, "%s/hanglab-out/results.jsonl", folder);
    FILE *out = fopen(path, "w");
    hl_bench_require(in && out && (one = json_loadf(in, JSON_DISABLE_EOF_CHECK, NULL)), "no result");
    fclose(in);
    for (int i = 0; i < CASES; i++) {
        snprintf(name, sizeof name, "night/case=%d", i);
        json_object_set_new(one, "id", json_string(name));
        json_object_set_new(json_object_get(one, "params"), "case", json_sprintf("%d", i));
        json_object_set_new(one, "verdict", json_string(i < BUNDLES ? "hang" : "pass"));
        snprintf(name, sizeof name, "hanglab-out/evidence/c%d/0", i + 1);
        if (i < BUNDLES)
            json_object_set_new(one, "evidence", json_string(name));
        else
            json_object_del(one, "evidence");
        json_dumpf(one, out, JSON_COMPACT);
        fputc('\n', out);
    }
    json_decref(one);
    fclose(out);
}

static void write_page(void *line) { hl_bench_require(system(line) == 0, "hanglab report failed"); }

/* First paint and filter, as tests/browser/check.sh reads them from headless Chromium. */
static void measure_in_browser(const char *source, const char *page)
{
    char line[PATH_MAX + 64], said[256];
    double paint_ms = -1, filter_ms = -1;
    if (system("command -v chromium > /dev/null") != 0) {
        puts("first paint and filter: not measured, there is no chromium");
        return;
    }
    snprintf(line, sizeof line, "sh '%s/tests/browser/check.sh' chromium '%s'", source, page);
    FILE *check = popen(line, "r");
    hl_bench_require(check, "cannot start the browser's check");
    while (fgets(said, sizeof said, check)) {
        sscanf(said, "paint_ms %lf", &paint_ms);
        sscanf(said, "filter_ms %lf", &filter_ms);
    }
    pclose(check);
    hl_bench_require(paint_ms > 0 && filter_ms > 0, "the browser's check did not come to its end");
    hl_bench_row("first paint in headless Chromium", paint_ms, "ms", HL_BENCH_AT_MOST, 1000);
    hl_bench_row("a key in its filter", filter_ms, "ms", HL_BENCH_AT_MOST, 100);
}

int main(int argc, char **argv)
{
    char folder[] = "/tmp/hanglab-bench-XXXXXX", line[4096];
    const char *program = getenv("HANGLAB_PROGRAM"), *source = getenv("HANGLAB_SOURCE");
    const bool keep = argc > 1 && strcmp(argv[1], "--keep") == 0; /* for a look at the page */
    struct stat page;
    hl_bench_require(program && source,
                     "HANGLAB_PROGRAM or HANGLAB_SOURCE is not set; `./dev bench` sets them");
    hl_bench_require(mkdtemp(folder) != NULL, "cannot make a folder in /tmp");
    snprintf(line, sizeof line, make_folder, folder, program, source, BUNDLES);
    hl_bench_require(system(line) == 0, "cannot make the bundles");
    write_results(folder);
    snprintf(line, sizeof line, "'%s' report '%s/hanglab-out' > /dev/null", program, folder);
    hl_bench_row("page of 2000 cases, 50 bundles", hl_bench_median_s(write_page, line, 3), "s",
                 HL_BENCH_AT_MOST, 2);
    snprintf(line, sizeof line, "%s/hanglab-out/report.html", folder);
    hl_bench_require(stat(line, &page) == 0, "no page");
    hl_bench_row("its size", (double)page.st_size / MIB, "MiB", HL_BENCH_AT_MOST, 15);
    measure_in_browser(source, line);
    snprintf(line, sizeof line, "rm -rf '%s'", folder);
    if (keep)
        printf("%s/hanglab-out/report.html\n", folder);
    return (!keep && system(line) != 0) || hl_bench_finish();
}
