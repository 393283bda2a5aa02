/* Bundles: what is in one, and that there is a whole one or none. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "bundle_fixture.h"

static char *write_bundle(struct bundle_fixture *f)
{
    char *path = NULL;
    struct hl_error error;
    cr_assert_eq(hl_bundle_write(&f->bundle, f->out_dir, &path, &error), HL_STATUS_OK, "%s", error.message);
    return path;
}

static json_t *load(const char *folder, const char *name)
{
    char path[1024];
    json_error_t error;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    json_t *json = json_load_file(path, 0, &error);
    cr_assert_not_null(json, "%s: %s", path, error.text);
    return json;
}

static long long file_size(const char *folder, const char *name)
{
    char path[1024];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return stat(path, &st) < 0 ? -1 : (long long)st.st_size;
}

static int count_entries(const char *folder)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return -1;
    int count = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return count;
}

Test(bundle, holds_every_file_of_the_design)
{
    struct bundle_fixture *f = fixture_create();
    char *path = write_bundle(f);
    static const char *const files[] = { "verdict.json",     "scenario.yaml",   "repro.sh",
                                         "timeline.jsonl",   "flags.json",      "slots.json",
                                         "stacks/rank0.txt", "stacks/rank3.txt" };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        cr_assert_gt(file_size(path, files[i]), 0, "%s", files[i]);
    for (int rank = 0; rank < 4; rank++) {
        char name[64];
        snprintf(name, sizeof name, "workspace-rank%d-0.bin", rank);
        cr_assert_eq(file_size(path, name), 4ll * f->evidence.layout[0].words);
    }
    free(path);
    fixture_destroy(f);
}

Test(bundle, verdict_names_cause_culprit_and_seed)
{
    struct bundle_fixture *f = fixture_create();
    char *path = write_bundle(f);
    json_t *json = load(path, "verdict.json");
    const char *verdict, *cause, *stage, *value;
    int rank, word, token, source, seed, has_op;
    cr_assert_eq(json_unpack(json, "{s:s, s:s, s:i, s:{s:i, s:i, s:s, s:s, s:{s:i, s:i}}}", "verdict",
                             &verdict, "cause", &cause, "seed", &seed, "culprit", "rank", &rank, "word",
                             &word, "stage", &stage, "value", &value, "slot", "token", &token, "rank",
                             &source),
                 0);
    cr_assert_str_eq(verdict, "hang");
    cr_assert_str_eq(cause, "sentinel-collision");
    cr_assert_str_eq(stage, "oneshot");
    cr_assert_str_eq(value, "0x80010000");
    cr_assert(seed == 4711 && rank == 1 && word == 17 && token == 3 && source == 0);
    has_op = json_object_get(json_object_get(json, "culprit"), "op") != NULL;
    cr_assert_not(has_op, "what is not known is left out");
    json_decref(json);
    free(path);
    fixture_destroy(f);
}

Test(bundle, timeline_is_json_lines_in_order)
{
    struct bundle_fixture *f = fixture_create();
    char *path = write_bundle(f), name[1024], line[4096];
    snprintf(name, sizeof name, "%s/timeline.jsonl", path);
    FILE *file = fopen(name, "r");
    for (int t = 1; t <= 3; t++) {
        cr_assert_not_null(fgets(line, sizeof line, file));
        json_t *json = json_loads(line, 0, NULL);
        cr_assert_eq(json_integer_value(json_object_get(json, "t_ns")), t);
        json_decref(json);
    }
    cr_assert_null(fgets(line, sizeof line, file));
    fclose(file);
    free(path);
    fixture_destroy(f);
}

Test(bundle, timeline_keeps_the_newest_events_and_says_how_many_are_missing)
{
    struct hl_timeline *timeline = calloc(1, sizeof *timeline);
    for (uint64_t i = 0; i < HL_TIMELINE_MAX + 5; i++)
        hl_timeline_event(timeline, &(struct hl_event){ .kind = HL_EVENT_FAULT, .time_ns = i, .rank = -1 });
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct hl_program program = { 0 };
    cr_assert_eq(hl_timeline_write(timeline, &program, out), 0);
    fclose(out);
    const char *start = "{\"left_out\":5}\n{\"t_ns\":5,";
    cr_assert_eq(strncmp(text, start, strlen(start)), 0, "%.60s", text);
    free(text);
    free(timeline);
}

Test(bundle, a_former_bundle_is_replaced_and_nothing_else_stays)
{
    struct bundle_fixture *f = fixture_create();
    char *first = write_bundle(f), stray[1024], folder[1024];
    snprintf(stray, sizeof stray, "%s/stray", first);
    close(open(stray, O_CREAT | O_WRONLY, 0666));
    f->result.seed = 4712;
    char *second = write_bundle(f);
    cr_assert_str_eq(first, second);
    cr_assert_lt(file_size(second, "stray"), 0, "the old folder must be gone as a whole");
    json_t *json = load(second, "verdict.json");
    cr_assert_eq(json_integer_value(json_object_get(json, "seed")), 4712);
    json_decref(json);
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(second, '/') - second), second);
    cr_assert_eq(count_entries(folder), 1, "no temporary folder may stay");
    free(first);
    free(second);
    fixture_destroy(f);
}

Test(bundle, what_a_killed_process_left_is_swept)
{
    struct bundle_fixture *f = fixture_create();
    char *path = write_bundle(f), leftover[1100], folder[1024];
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    const pid_t gone = fork();
    if (gone == 0)
        _exit(0);
    waitpid(gone, NULL, 0);
    snprintf(leftover, sizeof leftover, "%s/.0.%ld", folder, (long)gone);
    cr_assert_eq(mkdir(leftover, 0777), 0);
    free(path);
    path = write_bundle(f);
    cr_assert_eq(count_entries(folder), 1);
    free(path);
    fixture_destroy(f);
}

/* A disk that is full in the middle of a bundle, as far as a process can have one of its own: in a child, so
 * that the limit does not hit the test's own output. */
static void write_with_limit(struct bundle_fixture *f, rlim_t bytes)
{
    const pid_t pid = fork();
    if (pid == 0) {
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){ bytes, bytes });
        char *path = NULL;
        struct hl_error error = { 0 };
        const enum hl_status status = hl_bundle_write(&f->bundle, f->out_dir, &path, &error);
        _exit(status == HL_STATUS_IO && strstr(error.message, strerror(EFBIG)) && !path ? 0 : 1);
    }
    int status;
    waitpid(pid, &status, 0);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0,
              "a limit of %llu bytes must end in a clear error", (unsigned long long)bytes);
}

Test(bundle, a_full_disk_leaves_no_half_bundle)
{
    struct bundle_fixture *f = fixture_create();
    char evidence[1024];
    snprintf(evidence, sizeof evidence, "%s/evidence", f->out_dir);
    static const rlim_t limits[] = { 0, 10, 300, 1000, 4096 };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        write_with_limit(f, limits[i]);
        cr_assert_eq(count_entries(evidence), 0, "limit %llu", (unsigned long long)limits[i]);
    }
    fixture_destroy(f);
}

Test(bundle, a_full_disk_keeps_the_former_bundle)
{
    struct bundle_fixture *f = fixture_create();
    char *path = write_bundle(f);
    f->result.seed = 4712;
    write_with_limit(f, 1000);
    json_t *json = load(path, "verdict.json");
    cr_assert_eq(json_integer_value(json_object_get(json, "seed")), 4711);
    json_decref(json);
    free(path);
    fixture_destroy(f);
}

Test(bundle, an_impossible_folder_is_a_clear_error)
{
    struct bundle_fixture *f = fixture_create();
    char file[1024], *path = NULL;
    struct hl_error error;
    snprintf(file, sizeof file, "%s/occupied", f->out_dir);
    close(open(file, O_CREAT | O_WRONLY, 0666));
    cr_assert_eq(hl_bundle_write(&f->bundle, file, &path, &error), HL_STATUS_IO);
    cr_assert_not_null(strstr(error.message, file), "%s", error.message);
    cr_assert_null(path);
    fixture_destroy(f);
}

Test(bundle, folder_names_are_safe_bounded_and_distinct)
{
    char name[HL_FOLDER_NAME_MAX], other[HL_FOLDER_NAME_MAX], id[1000];
    hl_case_folder_name("sglang-23402", name);
    cr_assert_str_eq(name, "sglang-23402");
    hl_case_folder_name("a/b=c d", name);
    cr_assert_eq(strncmp(name, "a_b=c_d-", 8), 0, "%s", name);
    hl_case_folder_name("a_b=c_d", other);
    cr_assert_str_eq(other, "a_b=c_d");
    hl_case_folder_name("../..", name);
    cr_assert(name[0] != '.' && !strchr(name, '/'), "%s", name);
    hl_case_folder_name("", name);
    cr_assert_gt(strlen(name), 0);
    memset(id, 'x', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    hl_case_folder_name(id, name);
    id[sizeof id - 2] = 'y';
    hl_case_folder_name(id, other);
    cr_assert(strlen(name) < HL_FOLDER_NAME_MAX && strcmp(name, other) != 0);
}
