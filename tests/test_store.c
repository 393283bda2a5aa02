/* The store: what was committed is there whatever happens, what was not is not, nothing is there twice, and
 * the lines never say anything else than the database. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../framework/campaign/results.h"
#include "../framework/program/random.h"

static char folder[] = "/tmp/hanglab-store-XXXXXX";

static void make_folder(void) { cr_assert_not_null(mkdtemp(folder)); }
static void remove_folder(void)
{
    char line[64];
    snprintf(line, sizeof line, "rm -rf %s", folder);
    cr_assert_eq(system(line), 0);
}
TestSuite(store, .init = make_folder, .fini = remove_folder, .timeout = 60);

static const struct hl_stored_case a_case = {
    { 1, 2 }, "scenario", "scenario/a=1", 20, { HL_VERDICT_PASS, -1, 0, 1 }
};
static const struct hl_stored_signature a_signature = { "scenario", "hang, all wait on one", HL_VERDICT_HANG,
                                                        HL_CAUSE_LATE_CLEAR };

/* Run i: every tenth hangs and has a bundle. */
static struct hl_stored_run a_run(int i)
{
    const bool hangs = i % 10 == 0;
    return (struct hl_stored_run){ .id = hl_hash_number(HL_HASH_INIT, (uint64_t)i),
                                   .case_number = 0,
                                   .run = i,
                                   .seed = 1000 + (uint64_t)i,
                                   .verdict = hangs ? HL_VERDICT_HANG : HL_VERDICT_PASS,
                                   .cause = hangs ? HL_CAUSE_LATE_CLEAR : HL_CAUSE_NONE,
                                   .signature = hangs ? 0 : -1,
                                   .process = 7,
                                   .wall_us = 250,
                                   .evidence = hangs ? "evidence/a/0" : NULL };
}

static struct hl_store *open_store(enum hl_store_mode mode)
{
    struct hl_store *store;
    struct hl_error error;
    cr_assert_eq(hl_store_open(folder, mode, &store, &error), HL_STATUS_OK, "%s", error.message);
    return store;
}

static bool add_run(struct hl_store *store, int i)
{
    const struct hl_stored_run run = a_run(i);
    return hl_store_add_run(store, &run, &a_case, run.signature >= 0 ? &a_signature : NULL);
}

static struct hl_store *start_store(void)
{
    struct hl_store *store = open_store(HL_STORE_ADD);
    struct hl_results results = { 0 };
    struct hl_error error;
    cr_assert_eq(hl_results_read(&results, store, &error), HL_STATUS_OK, "%s", error.message);
    if (results.n_cases == 0) {
        hl_store_add_case(store, 0, &a_case);
        hl_store_add_signature(store, 0, &a_signature);
        cr_assert_eq(hl_store_commit(store, &error), HL_STATUS_OK, "%s", error.message);
    }
    hl_results_finish(&results);
    return store;
}

/* The runs on disk: they must be 0 .. n-1, each once, and the lines must say the same. Returns n. */
static int check_disk(void)
{
    struct hl_results results = { 0 };
    struct hl_error error;
    struct hl_store *store = open_store(HL_STORE_ADD);
    cr_assert_eq(hl_results_read(&results, store, &error), HL_STATUS_OK, "%s", error.message);
    const int n = (int)results.runs.count;
    for (int i = 0; i < n; i++)
        cr_assert(hl_results_have(&results, a_run(i).id), "run %d of %d is lost", i, n);
    int counted = 0;
    for (int v = 0; results.n_cases && v < HL_VERDICT_COUNT; v++)
        counted += results.cases[0].counts[HL_REGULAR][v];
    cr_assert_eq(counted, n);
    hl_results_finish(&results);
    hl_store_close(store);
    char path[128], *line = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/results.jsonl", folder);
    FILE *lines = fopen(path, "r");
    cr_assert_not_null(lines);
    for (int i = 0; i < n; i++) {
        char wanted[32];
        cr_assert_gt(getline(&line, &size, lines), 0, "line %d of %d is missing", i, n);
        snprintf(wanted, sizeof wanted, "\"run\":%d,", i);
        cr_assert_not_null(strstr(line, wanted), "%s in %s", wanted, line);
        cr_assert_eq(line[strlen(line) - 2], '}');
    }
    cr_assert_lt(getline(&line, &size, lines), 0, "a line too many: %s", line);
    free(line);
    fclose(lines);
    return n;
}

Test(store, committed_runs_are_read_back_as_they_were)
{
    struct hl_store *store = start_store();
    struct hl_results results = { 0 };
    struct hl_error error;
    for (int i = 0; i < 25; i++)
        cr_assert(add_run(store, i));
    cr_assert_eq(hl_store_commit(store, &error), HL_STATUS_OK, "%s", error.message);
    hl_store_close(store);
    cr_assert_eq(check_disk(), 25);
    store = open_store(HL_STORE_EXISTING);
    cr_assert_eq(hl_results_read(&results, store, &error), HL_STATUS_OK);
    cr_assert_str_eq(results.cases[0].id, a_case.id);
    cr_assert_eq(results.cases[0].counts[HL_REGULAR][HL_VERDICT_HANG], 3);
    cr_assert_eq(results.cases[0].expected.cause, -1);
    cr_assert_str_eq(results.signatures[0].text, a_signature.text);
    cr_assert_eq(results.signatures[0].cause, HL_CAUSE_LATE_CLEAR);
    cr_assert_eq(results.signatures[0].counts[HL_REGULAR], 3);
    cr_assert_str_eq(results.signatures[0].newest, "evidence/a/0");
    hl_results_finish(&results);
    hl_store_close(store);
}

Test(store, a_run_is_there_once_however_often_it_is_added)
{
    struct hl_store *store = start_store();
    cr_assert(add_run(store, 0));
    cr_assert_not(add_run(store, 0));
    cr_assert_eq(hl_store_commit(store, NULL), HL_STATUS_OK);
    cr_assert_not(add_run(store, 0));
    cr_assert(add_run(store, 1));
    cr_assert_eq(hl_store_commit(store, NULL), HL_STATUS_OK);
    hl_store_close(store);
    cr_assert_eq(check_disk(), 2);
}

Test(store, what_was_not_committed_is_dropped_from_both_files)
{
    struct hl_store *store = start_store();
    add_run(store, 0);
    cr_assert_eq(hl_store_commit(store, NULL), HL_STATUS_OK);
    add_run(store, 1);
    hl_store_close(store);
    cr_assert_eq(check_disk(), 1);
}

static void change_lines(const char *command)
{
    char line[256];
    snprintf(line, sizeof line, command, folder);
    cr_assert_eq(system(line), 0);
}

Test(store, lines_that_say_too_much_or_too_little_are_put_right)
{
    struct hl_store *store = start_store();
    for (int i = 0; i < 12; i++)
        add_run(store, i);
    cr_assert_eq(hl_store_commit(store, NULL), HL_STATUS_OK);
    hl_store_close(store);
    change_lines("printf '{\"type\":\"run\",\"half a li' >> %s/results.jsonl");
    cr_assert_eq(check_disk(), 12);
    change_lines("truncate -s 100 %s/results.jsonl");
    cr_assert_eq(check_disk(), 12);
    change_lines("rm %s/results.jsonl");
    cr_assert_eq(check_disk(), 12);
}

Test(store, it_refuses_what_is_not_its_own)
{
    struct hl_store *store, *second;
    struct hl_error error;
    cr_assert_neq(hl_store_open(folder, HL_STORE_EXISTING, &store, &error), HL_STATUS_OK);
    cr_assert_not_null(strstr(error.message, "no results"), "%s", error.message);
    hl_store_close(open_store(HL_STORE_NEW));
    cr_assert_neq(hl_store_open(folder, HL_STORE_NEW, &second, &error), HL_STATUS_OK);
    cr_assert_not_null(strstr(error.message, "--resume"), "%s", error.message);
    change_lines("echo 'no database at all, only a text that is long enough' > %s/results.sqlite");
    cr_assert_neq(hl_store_open(folder, HL_STORE_ADD, &second, &error), HL_STATUS_OK);
}

Test(store, one_process_writes_at_a_time)
{
    struct hl_store *store = start_store(), *second;
    const pid_t pid = fork();
    if (pid == 0) {
        struct hl_error error;
        const bool refused = hl_store_open(folder, HL_STORE_ADD, &second, &error) != HL_STATUS_OK &&
                             strstr(error.message, "another hanglab");
        _exit(refused ? 0 : 1);
    }
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
    hl_store_close(store);
}

/* Adds runs from `first` on in batches of all sizes, and says after each commit how many there are. */
static void write_for_ever(int first, int report_fd)
{
    struct hl_store *store = start_store();
    uint64_t random = (uint64_t)first;
    for (int i = first;;) {
        for (uint32_t left = hl_random_below(&random, 20); left > 0; left--)
            add_run(store, i++);
        if (hl_store_commit(store, NULL) != HL_STATUS_OK || write(report_fd, &i, sizeof i) != sizeof i)
            _exit(1);
    }
}

/* The last number in the pipe. */
static int last_report(int fd, int otherwise)
{
    for (int value; read(fd, &value, sizeof value) == sizeof value;)
        otherwise = value;
    return otherwise;
}

Test(store, kill_9_at_100_moments_loses_nothing_that_was_told_and_doubles_nothing)
{
    uint64_t random = 1;
    int have = 0;
    for (int i = 0; i < 100; i++) {
        int fds[2];
        cr_assert_eq(pipe(fds), 0);
        const pid_t pid = fork();
        if (pid == 0)
            write_for_ever(have, fds[1]);
        close(fds[1]);
        nanosleep(&(struct timespec){ 0, 1000000 + (long)hl_random_below(&random, 30000000) }, NULL);
        kill(pid, SIGKILL);
        int status;
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFSIGNALED(status), "the writer ended by itself");
        const int told = last_report(fds[0], have);
        close(fds[0]);
        have = check_disk();
        cr_assert_geq(have, told, "%d were told, %d are there", told, have);
    }
    cr_assert_gt(have, 0, "the writer never got to a commit");
}
