/* `hanglab report`: a page that holds everything, in which nothing from outside is more than text, and a
 * trace that viewers can open. */
#include "bundle_fixture.h"
#include "command.h"
#include <jansson.h>
#include "../kernels/words.h"

#define HOSTILE "</script><img src=x onerror=alert(1)><!--"

/* The fixture's folder with `n` bundles, runs 0.., and a line of results for each case. */
struct folder {
    struct bundle_fixture *fixture;
    struct command command;
    char *bundle; /* the last one */
};

static void folder_init(struct folder *f, int n)
{
    struct hl_error error;
    *f = (struct folder){ .fixture = fixture_create() };
    command_init(&f->command);
    for (int run = 0; run < n; run++) {
        free(f->bundle);
        f->fixture->bundle.run = run;
        cr_assert_eq(hl_bundle_write(&f->fixture->bundle, f->fixture->out_dir, &f->bundle, &error),
                     HL_STATUS_OK, "%s", error.message);
    }
}

static void folder_finish(struct folder *f)
{
    command_finish(&f->command);
    free(f->bundle);
    fixture_destroy(f->fixture);
}

static void write_results(const struct folder *f, const char *lines)
{
    char path[128];
    snprintf(path, sizeof path, "%s/results.jsonl", f->fixture->out_dir);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(lines, file);
    fclose(file);
}

/* The page as stdout of the command; the caller frees it. */
static char *page_of(struct folder *f)
{
    char line[256];
    snprintf(line, sizeof line, "hanglab report -o - %s", f->fixture->out_dir);
    command_expect(&f->command, line, 0);
    return strdup(f->command.out);
}

/* The data of one script element, parsed. */
static json_t *data_of(const char *page, const char *id)
{
    char open[96];
    snprintf(open, sizeof open, "<script type=\"application/json\" id=\"%s\">", id);
    const char *begin = strstr(page, open);
    cr_assert_not_null(begin, "no data '%s' in the page", id);
    begin += strlen(open);
    const char *end = strchr(begin, '<'); /* no other `<` may be in it */
    cr_assert_eq(strncmp(end, "</script>", 9), 0, "'%s' ends at: %.40s", id, end);
    json_error_t why;
    json_t *json = json_loadb(begin, (size_t)(end - begin), 0, &why);
    cr_assert_not_null(json, "%s: %s", id, why.text);
    return json;
}

static const char *text_at(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "";
}

Test(report, a_hostile_name_stays_text)
{
    struct folder f;
    folder_init(&f, 1);
    write_results(&f, "{\"type\":\"case\",\"id\":\"" HOSTILE "\",\"params\":{\"a\":\"" HOSTILE
                      "\"},\"verdict\":\"" HOSTILE "\",\"reason\":\"" HOSTILE "\"}\n");
    char line[1024];
    snprintf(line, sizeof line, "printf '%%s\\377' '" HOSTILE "' > '%s/stacks/rank0.txt'", f.bundle);
    command_expect(&f.command, line, 0);
    char *page = page_of(&f);
    cr_assert_null(strstr(page, "<img"));
    json_t *data = data_of(page, "data"), *bundle = data_of(page, "bundle-0");
    cr_assert_str_eq(text_at(json_array_get(json_object_get(data, "cases"), 0), "id"), HOSTILE);
    cr_assert_str_eq(json_string_value(json_array_get(json_object_get(bundle, "stacks"), 0)), HOSTILE "?");
    json_decref(data);
    json_decref(bundle);
    free(page);
    folder_finish(&f);
}

Test(report, every_case_and_every_bundle_is_in_the_page)
{
    struct folder f;
    folder_init(&f, 3);
    char lines[1024];
    /* The path is as the run knew it: the folder has moved since. */
    snprintf(lines, sizeof lines,
             "{\"type\":\"case\",\"id\":\"one\",\"verdict\":\"pass\"}\n"
             "{\"type\":\"case\",\"id\":\"two\",\"verdict\":\"hang\",\"evidence\":\"elsewhere%s\"}\n"
             "{\"type\":\"summary\",\"cases\":2}\n",
             strstr(f.bundle, "/evidence/"));
    write_results(&f, lines);
    char *page = page_of(&f);
    json_t *data = data_of(page, "data"), *cases = json_object_get(data, "cases");
    cr_assert_eq(json_array_size(cases), 4, "two results, and two bundles that no result names");
    cr_assert_str_eq(text_at(json_array_get(cases, 1), "finding"), "rank 1 refuses a word of rank 0");
    cr_assert_eq(json_integer_value(json_object_get(data, "bundles")), 3);
    cr_assert_not_null(json_object_get(json_object_get(data, "causes"), "sentinel-collision"),
                       "the cause is explained");
    bool seen[3] = { false };
    for (int i = 0; i < 3; i++) {
        char id[32];
        snprintf(id, sizeof id, "bundle-%d", i);
        json_t *bundle = data_of(page, id);
        seen[json_integer_value(json_object_get(json_object_get(bundle, "verdict"), "run"))] = true;
        json_decref(bundle);
    }
    cr_assert(seen[0] && seen[1] && seen[2]);
    json_decref(data);
    free(page);
    folder_finish(&f);
}

Test(report, a_bundle_is_there_in_full)
{
    struct folder f;
    folder_init(&f, 1);
    char *page = page_of(&f);
    json_t *bundle = data_of(page, "bundle-0");
    const json_t *slots = json_object_get(json_object_get(bundle, "slots"), "slots"),
                 *slot = json_array_get(slots, 0),
                 *ranks = json_object_get(json_object_get(bundle, "timeline"), "ranks");
    cr_assert_eq(json_array_size(slots), 4);
    cr_assert_eq(strncmp(text_at(slot, "bits"), "010002ab010002ac", 16), 0, "words 683.. of rank 1");
    cr_assert_eq(strlen(text_at(slot, "bits")), 32 * 8);
    cr_assert_eq(json_integer_value(json_object_get(slot, "source_rows_written")), 3);
    cr_assert_eq(json_array_size(ranks), 2, "ranks of which the timeline tells");
    cr_assert_eq(json_array_size(json_object_get(json_array_get(ranks, 1), "calls")), 1);
    cr_assert_eq(json_array_size(json_object_get(json_object_get(bundle, "flags"), "workspaces")), 4);
    cr_assert_neq(text_at(bundle, "scenario")[0], '\0');
    json_decref(bundle);
    free(page);
    folder_finish(&f);
}

Test(report, the_same_folder_gives_the_same_bytes)
{
    struct folder f;
    folder_init(&f, 2);
    char *first = page_of(&f), *second = page_of(&f);
    cr_assert_str_eq(first, second);
    free(first);
    free(second);
    folder_finish(&f);
}

Test(report, damaged_files_are_told_or_left_out)
{
    static const char *const damages[] = {
        "echo '{' > '%s/flags.json'",
        "echo '[1' >> '%s/timeline.jsonl'",
        "rm -r '%s/stacks' '%s/scenario.yaml'",
        "for f in '%s'/workspace*; do : > \"$f\"; done",
        "echo '{\"hanglab\":1,\"slots\":[7,{\"rank\":-1}]}' > '%s/slots.json'",
        "echo '{}' > '%s/verdict.json'"
    };
    struct folder f;
    folder_init(&f, 1);
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        char line[1024];
        snprintf(line, sizeof line, damages[i], f.bundle, f.bundle);
        command_expect(&f.command, line, 0);
        char *page = page_of(&f);
        json_decref(data_of(page, "bundle-0"));
        free(page);
    }
    write_results(&f, "{\"type\":\"case\"}\n{\"type\":\n");
    char line[256];
    snprintf(line, sizeof line, "hanglab report %s", f.fixture->out_dir);
    command_expect(&f.command, line, 64);
    command_said(&f.command, "results.jsonl:2:");
    command_expect(&f.command, "hanglab report .", 64);
    command_said(&f.command, "neither results nor evidence");
    folder_finish(&f);
}

/* Begin and end alternate on every track, in order of time: what viewers ask for. */
static void check_tracks(const json_t *events)
{
    double last_us[HL_RANKS_MAX][64] = { { 0 } };
    bool open[HL_RANKS_MAX][64] = { { false } };
    size_t i, spans = 0;
    json_t *event;
    json_array_foreach(events, i, event)
    {
        const char *phase = text_at(event, "ph");
        const json_int_t pid = json_integer_value(json_object_get(event, "pid")),
                         tid = json_integer_value(json_object_get(event, "tid"));
        cr_assert(pid >= 0 && pid < HL_RANKS_MAX && tid >= 0 && tid < 64);
        cr_assert(strlen(phase) == 1 && strchr("BEiM", phase[0]), "phase '%s'", phase);
        if (phase[0] != 'B' && phase[0] != 'E')
            continue;
        const double time_us = json_real_value(json_object_get(event, "ts"));
        cr_assert_eq(open[pid][tid], phase[0] == 'E', "spans of one track overlap");
        cr_assert_geq(time_us, last_us[pid][tid]);
        open[pid][tid] = phase[0] == 'B';
        last_us[pid][tid] = time_us;
        spans += phase[0] == 'B';
    }
    for (int pid = 0; pid < HL_RANKS_MAX; pid++)
        for (int tid = 0; tid < 64; tid++)
            cr_assert_not(open[pid][tid], "a span without end");
    cr_assert_gt(spans, 100);
}

Test(report, a_run_leaves_its_results_its_page_and_timelines_that_can_be_traced)
{
    struct command c;
    command_init(&c);
    command_expect(&c,
                   "hanglab run \"$HANGLAB_SOURCE/scenarios/seed/sglang-23402.yaml\" --runs 1 --engine sim "
                   "--format json "
                   "--filter 'split op (B)' --out made > lines",
                   0);
    command_expect(&c, "cmp made/results.jsonl lines && grep -q 'id=\"bundle-1\"' made/report.html", 0);
    command_expect(&c, "hanglab report --trace - made/evidence/*/0", 64);
    command_expect(&c, "hanglab report --trace t.json \"$(ls -d made/evidence/*/0 | head -1)\"", 0);
    char *text = command_read(&c, "t.json");
    json_t *trace = json_loads(text, 0, NULL);
    cr_assert_not_null(trace);
    check_tracks(json_object_get(trace, "traceEvents"));
    cr_assert_not_null(strstr(text, "(stalled)"));
    cr_assert_not_null(strstr(text, "\"name\":\"stream 0\""));
    json_decref(trace);
    free(text);
    command_finish(&c);
}

Test(report, a_page_that_cannot_be_written_leaves_nothing_behind)
{
    struct folder f;
    char line[256];
    folder_init(&f, 1);
    snprintf(line, sizeof line, "touch file; hanglab report -o file/page.html %s", f.fixture->out_dir);
    command_expect(&f.command, line, 99);
    command_said(&f.command, "file/page.html");
    snprintf(line, sizeof line, "mkdir page.html; hanglab report -o page.html %s", f.fixture->out_dir);
    command_expect(&f.command, line, 99);
    command_expect(&f.command, "test \"$(ls)\" = \"$(printf 'err\\nfile\\nout\\npage.html')\"", 0);
    folder_finish(&f);
}
