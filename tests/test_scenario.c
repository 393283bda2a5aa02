/* What a scenario file means: defaults, every section, the matrix, exclusions and expectations, YAML's own
 * abbreviations, and that a case written back is the same case. Mistakes: test_scenario_mistakes.c. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <locale.h>
#include <string.h>
#include <time.h>
#include "../framework/program/resolve.h"
#include "../framework/scenario/uses.h"
#include "../framework/scenario/fields.h"
#include "../framework/scenario/scenario.h"
#include "../framework/scenario/value.h"

#define HEAD "hanglab: 1\nname: demo\n"

static struct hl_scenario *parse(const char *text)
{
    struct hl_scenario *scenario = NULL;
    struct hl_error error = { 0 };
    enum hl_status status = hl_scenario_parse("demo.yaml", text, strlen(text), &scenario, &error);
    cr_assert_eq(status, HL_STATUS_OK, "%s", error.message);
    return scenario;
}

static const struct hl_case *case_with_id(const struct hl_scenario *scenario, const char *id)
{
    for (size_t i = 0; i < scenario->n_cases; i++)
        if (strcmp(scenario->cases[i].id, id) == 0)
            return &scenario->cases[i];
    cr_assert_fail("no case %s", id);
    return NULL;
}

Test(scenario, an_empty_one_is_a_single_case_with_the_documented_defaults)
{
    struct hl_scenario *s = parse(HEAD);
    cr_assert_eq(s->n_cases, 1);
    const struct hl_case *c = &s->cases[0];
    cr_assert_str_eq(c->id, "demo");
    cr_assert_str_eq(s->title, "");
    cr_assert_eq(c->n_params, 0);
    const struct hl_config *g = &c->config;
    cr_assert_str_eq(g->name, "demo");
    cr_assert_eq(g->world.ranks, 4);
    cr_assert_eq(g->world.sms, 132);
    cr_assert_eq(g->world.launch_queue, 1024);
    cr_assert_eq(g->subject.backend, HL_BACKEND_MNNVL);
    cr_assert_eq(g->subject.hidden, 4096);
    cr_assert_eq(g->subject.sentinel_compare, HL_COMPARE_BITS);
    cr_assert_eq(g->subject.workspaces, 0); /* auto */
    cr_assert_eq(g->schedule.mode, HL_MODE_EAGER);
    cr_assert_eq(g->schedule.n_sizes, 0, "auto");
    cr_assert_eq(g->schedule.warmups, -1);
    cr_assert_eq(g->schedule.replays, 20);
    cr_assert(g->schedule.pdl && g->schedule.padding);
    cr_assert_eq(g->flags.allreduce_fusion_backend, -1);
    cr_assert_eq(g->flags.enable_piecewise_cuda_graph, -1);
    cr_assert_eq(g->flags.deterministic_clears_old_flag_only, 0);
    cr_assert_eq(g->flags.nodes, 1);
    cr_assert_eq(g->payload.rows, HL_ROWS_ENGINE);
    cr_assert_eq(g->payload.residue.negative_subnormal_rows, HL_RESIDUE_AUTO);
    cr_assert_float_eq(hl_residue_model(g).negative_subnormal_rows, 0.05, 1e-15);
    cr_assert_eq(g->n_faults, 0);
    cr_assert_eq(g->watchdog.threshold_ns, 0);
    cr_assert_eq(g->geometry, HL_GEOMETRY_REDUCED);
    cr_assert_eq(g->runs, 20);
    cr_assert_eq(c->expected.verdict, HL_VERDICT_PASS);
    cr_assert_eq(c->expected.cause, -1);
    hl_scenario_destroy(s);
}

/* Every key, each with a value that is not its default. */
static const char everything[] = HEAD
    "title: 'Two \"quoted\" words: \\ and a colon'\n"
    "world: {ranks: 8, placement: process, progress: lobe, memory: sc, sms: 64, resident_ctas: 7,\n"
    "        launch_queue: 16}\n"
    "subject: {backend: trtllm, strategy: twoshot, pattern: ar-residual-rmsnorm, dtype: fp32, hidden: 512,\n"
    "          sentinel_compare: float-ftz, mutant: late-clear, fallback: norm-only, workspaces: 2}\n"
    "schedule: {mode: breakable, fusion: split-op, preset: sglang, layers: 3, calls_per_layer: 1,\n"
    "           sizes: [16384, 1, 7], pieces: 5, warmups: 0, replays: 0, pdl: false, padding: false}\n"
    "flags:\n"
    "  flashinfer-allreduce-fusion-backend: auto\n"
    "  enforce-disable-flashinfer-allreduce-fusion: false\n"
    "  enable-flashinfer-allreduce-fusion: true\n"
    "  enable-deterministic-inference: true\n"
    "  enable-piecewise-cuda-graph: false\n"
    "  guard: option-b\n"
    "  deterministic-clears-old-flag-only: true\n"
    "  nodes: 2\n"
    "payload: {rows: pattern, pattern: nan, residue: {negative_subnormal_rows: 0.1, nan_rows: 1e-3}}\n"
    "faults:\n"
    "  - {fault: other-size, rank: 7, call: 3, calls: 2, probability: 0.25, tokens: 9}\n"
    "  - {fault: host-delay, rank: 0, call: every, delay: 1.5ms}\n"
    "watchdog: {threshold: 20ms, detail: cupti}\n"
    "runs: 3\n"
    "geometry: full\n"
    "expect: [{verdict: hang, cause: shape-mismatch, rate: {min: 0.25, max: 0.75}}]\n";

Test(scenario, every_key_reaches_its_field)
{
    struct hl_scenario *s = parse(everything);
    const struct hl_config *g = &s->cases[0].config;
    cr_assert_str_eq(s->title, "Two \"quoted\" words: \\ and a colon");
    cr_assert(g->world.ranks == 8 && g->world.placement == HL_PLACEMENT_PROCESS &&
              g->world.progress == HL_PROGRESS_LOBE && g->world.sms == 64 && g->world.resident_ctas == 7 &&
              g->world.launch_queue == 16);
    cr_assert(g->subject.backend == HL_BACKEND_TRTLLM && g->subject.strategy == HL_STRATEGY_TWOSHOT &&
              g->subject.dtype == HL_FP32 && g->subject.hidden == 512 &&
              g->subject.sentinel_compare == HL_COMPARE_FLOAT_FTZ &&
              g->subject.mutant == HL_MUTANT_LATE_CLEAR && g->subject.fallback == HL_FALLBACK_NORM_ONLY &&
              g->subject.workspaces == 2);
    const struct hl_schedule *h = &g->schedule;
    cr_assert(h->mode == HL_MODE_BREAKABLE && h->fusion == HL_FUSION_SPLIT_OP &&
              h->preset == HL_PRESET_SGLANG && h->layers == 3 && h->calls_per_layer == 1 && h->pieces == 5 &&
              h->warmups == 0 && h->replays == 0 && !h->pdl && !h->padding);
    cr_assert(h->n_sizes == 3 && h->sizes[0] == 16384 && h->sizes[1] == 1 && h->sizes[2] == 7);
    const struct hl_flags *f = &g->flags;
    cr_assert(f->allreduce_fusion_backend == HL_BACKEND_AUTO && f->enforce_disable_allreduce_fusion == 0 &&
              f->enable_allreduce_fusion == 1 && f->enable_deterministic_inference == 1 &&
              f->enable_piecewise_cuda_graph == 0 && f->guard == HL_GUARD_OPTION_B &&
              f->deterministic_clears_old_flag_only == 1 && f->nodes == 2);
    cr_assert(g->payload.rows == HL_ROWS_PATTERN && g->payload.pattern == HL_PAYLOAD_NAN);
    cr_assert_float_eq(g->payload.residue.nan_rows, 0.001, 1e-15);
    cr_assert_eq(g->n_faults, 2);
    const struct hl_fault *a = &g->faults[0], *b = &g->faults[1];
    cr_assert(a->kind == HL_FAULT_OTHER_SIZE && a->rank == 7 && a->call == 3 && a->calls == 2 &&
              a->tokens == 9 && a->probability == 0.25);
    cr_assert(b->kind == HL_FAULT_HOST_DELAY && b->rank == 0 && b->call == -1 && b->calls == 1 &&
              b->probability == 1 && b->delay_ns == 1500000);
    cr_assert(g->watchdog.threshold_ns == 20000000 && g->watchdog.detail == HL_DETAIL_CUPTI);
    cr_assert(g->runs == 3 && g->geometry == HL_GEOMETRY_FULL);
    const struct hl_expectation *e = &s->cases[0].expected;
    cr_assert(e->verdict == HL_VERDICT_HANG && e->cause == HL_CAUSE_SHAPE_MISMATCH && e->rate_min == 0.25 &&
              e->rate_max == 0.75);
    hl_scenario_destroy(s);
}

Test(scenario, the_matrix_multiplies_in_file_order_the_last_axis_fastest)
{
    struct hl_scenario *s = parse(HEAD "faults: [{fault: skip-call, rank: 1}]\n"
                                       "matrix:\n"
                                       "  subject.backend: [mnnvl, nccl]\n"
                                       "  schedule.sizes: [[512, 256], [4], 8, auto]\n"
                                       "  faults.0.rank: [0, 3]\n");
    cr_assert_eq(s->n_cases, 16);
    cr_assert_str_eq(s->cases[0].id, "demo/subject.backend=mnnvl,schedule.sizes=[512,256],faults.0.rank=0");
    cr_assert_str_eq(s->cases[1].id, "demo/subject.backend=mnnvl,schedule.sizes=[512,256],faults.0.rank=3");
    cr_assert_str_eq(s->cases[15].id, "demo/subject.backend=nccl,schedule.sizes=auto,faults.0.rank=3");
    const struct hl_case *c = &s->cases[3];
    cr_assert_eq(c->n_params, 3);
    cr_assert_str_eq(c->params[1].path, "schedule.sizes");
    cr_assert_str_eq(c->params[1].value, "4");
    cr_assert(c->config.schedule.n_sizes == 1 && c->config.schedule.sizes[0] == 4);
    cr_assert_eq(c->config.faults[0].rank, 3);
    cr_assert_eq(s->cases[0].config.schedule.n_sizes, 2);
    hl_scenario_destroy(s);
}

Test(scenario, a_named_axis_sets_several_paths_at_once)
{
    struct hl_scenario *s =
        parse(HEAD "schedule: {layers: 7}\n"
                   "matrix:\n"
                   "  kernel:\n"
                   "    before the fix: {subject.sentinel_compare: float-ftz, schedule.mode: full}\n"
                   "    after: {schedule.layers: 1}\n"
                   "  runs: [1, 2]\n"
                   "exclude: [{kernel: after, runs: 2}]\n"
                   "expect:\n"
                   "  - {when: {kernel: before the fix, runs: 1}, verdict: hang}\n"
                   "  - {when: {schedule.layers: 7}, verdict: slow}\n"
                   "  - {when: {schedule.mode: eager}, verdict: crash}\n");
    cr_assert_eq(s->n_cases, 3);
    const struct hl_case *first = case_with_id(s, "demo/kernel=before the fix,runs=1");
    cr_assert_eq(first->config.subject.sentinel_compare, HL_COMPARE_FLOAT_FTZ);
    cr_assert_eq(first->config.schedule.mode, HL_MODE_FULL);
    cr_assert_eq(first->expected.verdict, HL_VERDICT_HANG);
    cr_assert_eq(case_with_id(s, "demo/kernel=before the fix,runs=2")->expected.verdict, HL_VERDICT_SLOW);
    const struct hl_case *after = case_with_id(s, "demo/kernel=after,runs=1");
    cr_assert_eq(after->config.schedule.layers, 1);
    cr_assert_eq(after->expected.verdict, HL_VERDICT_CRASH, "schedule.mode keeps its default in this choice");
    hl_scenario_destroy(s);
}

Test(scenario, exclude_takes_scalars_and_lists)
{
    struct hl_scenario *s =
        parse(HEAD "matrix:\n"
                   "  subject.backend: [mnnvl, trtllm, nccl]\n"
                   "  schedule.mode: [eager, full, piecewise]\n"
                   "exclude:\n"
                   "  - {subject.backend: nccl, schedule.mode: [full, piecewise]}\n"
                   "  - {subject.backend: trtllm, world.ranks: 2}\n" /* never: ranks is 4 throughout */
                   "  - {schedule.mode: eager, world.ranks: [2, 4], subject.backend: trtllm}\n");
    cr_assert_eq(s->n_cases, 6);
    cr_assert_str_eq(s->cases[3].id, "demo/subject.backend=trtllm,schedule.mode=full");
    cr_assert_str_eq(s->cases[5].id, "demo/subject.backend=nccl,schedule.mode=eager");
    hl_scenario_destroy(s);
}

Test(scenario, the_first_expectation_that_matches_decides_and_the_default_is_pass)
{
    struct hl_scenario *s =
        parse(HEAD "matrix: {watchdog.threshold: [5s, 20ms, auto]}\n"
                   "expect:\n"
                   "  - {when: {watchdog.threshold: 5000ms}, verdict: hang, rate: {max: 0.5}}\n"
                   "  - {when: {watchdog.threshold: [5s, 0.02s]}, verdict: corrupt}\n");
    cr_assert_eq(s->cases[0].expected.verdict, HL_VERDICT_HANG, "equal values match in any spelling");
    cr_assert_eq(s->cases[0].expected.rate_max, 0.5);
    cr_assert_eq(s->cases[1].expected.verdict, HL_VERDICT_CORRUPT);
    cr_assert_eq(s->cases[2].expected.verdict, HL_VERDICT_PASS);
    hl_scenario_destroy(s);
}

Test(scenario, anchors_aliases_and_merge_keys_work)
{
    struct hl_scenario *s = parse(HEAD "world: &w {ranks: &n 8, sms: 10}\n"
                                       "faults:\n"
                                       "  - &base {fault: skip-call, rank: 1, call: 5}\n"
                                       "  - {<<: *base, rank: 2}\n"
                                       "  - <<: [{calls: 4}, *base]\n"
                                       "    call: 6\n"
                                       "runs: *n\n"
                                       "matrix: {subject.backend: &all [mnnvl, nccl]}\n"
                                       "expect: [{when: {subject.backend: *all}, verdict: hang}]\n");
    const struct hl_config *g = &s->cases[1].config;
    cr_assert(g->world.ranks == 8 && g->runs == 8);
    cr_assert(g->faults[1].rank == 2 && g->faults[1].call == 5 && g->faults[1].kind == HL_FAULT_SKIP_CALL);
    cr_assert(g->faults[2].rank == 1 && g->faults[2].call == 6 && g->faults[2].calls == 4);
    cr_assert_eq(s->cases[1].expected.verdict, HL_VERDICT_HANG);
    hl_scenario_destroy(s);
}

Test(scenario, a_byte_order_mark_and_dos_line_ends_are_no_matter)
{
    struct hl_scenario *s = parse("\xEF\xBB\xBFhanglab: 1\r\nname: demo\r\nruns: 7\r\n");
    cr_assert_eq(s->cases[0].config.runs, 7);
    hl_scenario_destroy(s);
}

/* `config` uses the values, those of its fault `fault` or, with -1, its own. */
static void assert_same(const struct hl_field_table *table, const struct hl_config *config, int fault,
                        const void *a, const void *b)
{
    for (int i = 0; i < table->count; i++) {
        const struct hl_field *field = &table->rows[i];
        char x[HL_VALUE_TEXT_MAX] = "", y[HL_VALUE_TEXT_MAX] = "";
        if (field->kind == HL_KIND_SECTION || field->kind == HL_KIND_OTHER ||
            !hl_config_uses(config, fault, field->path))
            continue;
        hl_value_format(field, a, x);
        hl_value_format(field, b, y);
        cr_assert_str_eq(x, y, "%s", field->path);
    }
}

/* Writes the case, reads what was written, and compares all fields of all structs that it uses. */
static void assert_round_trip(const struct hl_scenario *s, const struct hl_case *c)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    cr_assert_eq(hl_case_write_yaml(s, c, file), HL_STATUS_OK);
    fclose(file);
    struct hl_scenario *again = parse(text);
    cr_assert_eq(again->n_cases, 1);
    const struct hl_case *b = &again->cases[0];
    cr_assert_str_eq(again->title, s->title);
    assert_same(&hl_scenario_fields, &c->config, -1, &c->config, &b->config);
    cr_assert_eq(c->config.n_faults, b->config.n_faults);
    for (int i = 0; i < c->config.n_faults; i++)
        assert_same(&hl_fault_fields, &c->config, i, &c->config.faults[i], &b->config.faults[i]);
    assert_same(&hl_expect_fields, &c->config, -1, &c->expected, &b->expected);
    hl_scenario_destroy(again);
    free(text);
}

Test(scenario, a_case_written_back_is_the_same_case)
{
    struct hl_scenario *s = parse(everything);
    assert_round_trip(s, &s->cases[0]);
    hl_scenario_destroy(s);
    s = parse(HEAD "faults: [{fault: swap-order, rank: 1, probability: 0.1}]\nsubject: {workspaces: 2}\n"
                   "matrix: {payload.residue.nan_rows: [0.3, 1e-7, 0.123456789012345678, 1],\n"
                   "         schedule.preset: [none, vllm], faults.0.fault: [skip-call, swap-order],\n"
                   "         subject.backend: [trtllm, auto]}\n"
                   "flags: {nodes: 3, enable-deterministic-inference: false}\n"
                   "expect: [{when: {subject.backend: auto}, verdict: corrupt, cause: none}]\n");
    for (size_t i = 0; i < s->n_cases; i++)
        assert_round_trip(s, &s->cases[i]);
    hl_scenario_destroy(s);
}

Test(scenario, no_default_escapes_from_writing_and_reading)
{
    struct hl_scenario *s = parse(HEAD);
    assert_round_trip(s, &s->cases[0]);
    hl_scenario_destroy(s);
}

Test(scenario, decimal_commas_of_the_callers_locale_do_no_harm)
{
    /* Where the locale is not installed there is nothing to guard against. */
    if (!setlocale(LC_ALL, "de_DE.UTF-8"))
        cr_skip_test("no de_DE locale here");
    struct hl_scenario *s = parse(HEAD "payload: {residue: {nan_rows: 0.5}}\n");
    cr_assert_eq(s->cases[0].config.payload.residue.nan_rows, 0.5);
    assert_round_trip(s, &s->cases[0]);
    hl_scenario_destroy(s);
}

Test(scenario, ten_thousand_cases_expand_in_a_second)
{
    char text[4096];
    int n = snprintf(text, sizeof text, HEAD "matrix:\n");
    const char *const paths[] = { "schedule.layers", "runs", "world.sms", "schedule.replays" };
    for (int axis = 0; axis < 4; axis++)
        n += snprintf(text + n, sizeof text - (size_t)n, "  %s: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n",
                      paths[axis]);
    snprintf(text + n, sizeof text - (size_t)n,
             "expect: [{when: {runs: [2, 3], world.sms: 4}, verdict: hang}]\n");
    clock_t begin = clock();
    struct hl_scenario *s = parse(text);
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    cr_assert_eq(s->n_cases, 10000);
    cr_assert_lt(seconds, 1.0);
    size_t hangs = 0;
    for (size_t i = 0; i < s->n_cases; i++)
        hangs += s->cases[i].expected.verdict == HL_VERDICT_HANG;
    cr_assert_eq(hangs, 200);
    hl_scenario_destroy(s);
}

static json_t *read_schema(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    hl_schema_write(file);
    fclose(file);
    json_error_t error;
    json_t *schema = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    cr_assert_not_null(schema, "line %d: %s", error.line, error.text);
    free(text);
    return schema;
}

/* The properties of the section that a dotted path leads to. */
static const json_t *properties_of(const json_t *schema, const char *path)
{
    const json_t *properties = json_object_get(schema, "properties");
    char copy[128], *rest = copy;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *dot = strchr(rest, '.'); dot; rest = dot + 1, dot = strchr(rest, '.')) {
        *dot = '\0';
        properties = json_object_get(json_object_get(properties, rest), "properties");
    }
    return properties;
}

Test(schema, names_and_describes_every_key_of_the_tables)
{
    json_t *schema = read_schema();
    const json_t *definitions = json_object_get(schema, "$defs");
    for (int i = 0; i < hl_scenario_fields.count; i++) {
        const struct hl_field *field = &hl_scenario_fields.rows[i];
        const char *dot = strrchr(field->path, '.');
        const json_t *property =
            json_object_get(properties_of(schema, field->path), dot ? dot + 1 : field->path);
        cr_assert_not_null(property, "%s is not in the schema", field->path);
        if (field->kind == HL_KIND_SECTION || field->kind == HL_KIND_OTHER) {
            cr_assert_str_eq(json_string_value(json_object_get(property, "description")), field->doc);
            continue;
        }
        const json_t *definition = json_object_get(definitions, field->path);
        cr_assert_not_null(json_object_get(definition, "description"), "%s", field->path);
        cr_assert_eq(json_object_get(definition, "default") != NULL, field->initial != NULL, "%s",
                     field->path);
    }
    for (int i = 0; i < hl_fault_fields.count; i++) {
        char key[64];
        snprintf(key, sizeof key, "faults.%s", hl_fault_fields.rows[i].path);
        cr_assert_not_null(json_object_get(definitions, key), "%s", key);
    }
    json_decref(schema);
}

/* Every "$ref" below `node` must lead to a definition. */
static void check_references(const json_t *node, const json_t *definitions)
{
    const char *key;
    json_t *value;
    size_t index;
    json_object_foreach((json_t *)node, key, value)
    {
        if (strcmp(key, "$ref") == 0) {
            const char *target = json_string_value(value);
            cr_assert_eq(strncmp(target, "#/$defs/", 8), 0, "%s", target);
            cr_assert_not_null(json_object_get(definitions, target + 8), "%s leads nowhere", target);
        }
        check_references(value, definitions);
    }
    json_array_foreach(node, index, value) check_references(value, definitions);
}

Test(schema, its_references_lead_to_definitions)
{
    json_t *schema = read_schema();
    check_references(schema, json_object_get(schema, "$defs"));
    json_decref(schema);
}

Test(words, names_lead_to_values_and_back)
{
    for (int t = 0; t < hl_n_word_tables; t++) {
        const struct hl_words *words = hl_word_tables[t];
        cr_assert_eq(hl_words_find_table(words->plural), words);
        for (int i = 0; i < words->count; i++) {
            cr_assert_eq(words->words[i].value, i, "%s: values count from 0", words->plural);
            cr_assert_eq(hl_words_find(words, words->words[i].name), &words->words[i]);
            cr_assert_str_eq(hl_words_name(words, i), words->words[i].name);
        }
        cr_assert_str_eq(hl_words_name(words, words->count), "?");
        cr_assert_null(hl_words_find(words, "no such word"));
    }
}

Test(words, the_nearest_is_a_small_slip_away_and_nothing_else)
{
    cr_assert_str_eq(hl_words_nearest(&hl_words_backends, "mnvl"), "mnnvl");
    cr_assert_str_eq(hl_words_nearest(&hl_words_backends, "TRTLLM"), "trtllm");
    cr_assert_str_eq(hl_words_nearest(&hl_words_backends, "trtlml"), "trtllm");
    cr_assert_str_eq(hl_words_nearest(&hl_words_modes, "peicewise"), "piecewise");
    cr_assert_str_eq(hl_words_nearest(&hl_words_faults, "skip_call"), "skip-call");
    cr_assert_null(hl_words_nearest(&hl_words_backends, "infiniband"));
    cr_assert_null(hl_words_nearest(&hl_words_details, "x"));
}
