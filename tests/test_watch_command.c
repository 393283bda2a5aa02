/* `hanglab watch`: what it says and leaves of programs that stand still, and that it leaves others alone. The
 * programs are stand-ins that write their pages as watched ones would (fake_watched.c), so no GPU is needed.
 */
#include <jansson.h>
#include <limits.h>
#include "command.h"

static struct command c;

/* `fake` is the stand-in. */
static void setup(void)
{
    char line[PATH_MAX];
    command_init(&c);
    snprintf(line, sizeof line, "#!/bin/sh\nexec %s/tests/fake_watched \"$@\"\n", getenv("HANGLAB_BUILD"));
    command_write(&c, "fake", line);
    command_expect(&c, "chmod +x fake", 0);
}
static void teardown(void) { command_finish(&c); }
TestSuite(watch_command, .init = setup, .fini = teardown, .timeout = 60);

static json_t *load(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", c.folder, name);
    json_t *json = json_load_file(path, 0, NULL);
    cr_assert_not_null(json, "cannot read %s; stderr:\n%s", name, c.err);
    return json;
}

static void expect_text(const json_t *object, const char *key, const char *expected)
{
    const char *text = json_string_value(json_object_get(object, key));
    cr_expect(text && strcmp(text, expected) == 0, "%s is %s, and not %s", key, text ? text : "not there",
              expected);
}

Test(watch_command, a_program_without_cuda_runs_as_it_would)
{
    command_expect(&c, "hanglab watch -- sh -c 'cat; echo out; echo err >&2; exit 7' </dev/null", 7);
    cr_assert_str_eq(c.out, "out\n");
    cr_assert_str_eq(c.err, "err\n", "no noise: %s", c.err);
    command_expect(&c, "hanglab watch true", 0);
    command_expect(&c, "test ! -e hanglab-out", 0);
}

Test(watch_command, what_cannot_be_run_is_said)
{
    command_expect(&c, "hanglab watch", 64);
    command_said(&c, "which command is to be watched?");
    command_expect(&c, "hanglab watch --detail everything -- true", 64);
    command_said(&c, "light, cupti, node, pc or core");
    command_expect(&c, "hanglab watch --threshold soon -- true", 64);
    command_expect(&c, "hanglab watch -- ./no-such-program", 64);
    command_said(&c, "cannot run ./no-such-program: No such file");
}

Test(watch_command, no_status_of_128_or_above_comes_out)
{
    command_expect(&c, "hanglab watch -- sh -c 'kill -SEGV $$'", 2);
    command_said(&c, "signal 11");
    command_expect(&c, "hanglab watch -- sh -c 'exit 200'", 2);
}

/* As under nohup. The shell's parent is hanglab. */
Test(watch_command, an_ignored_signal_stays_ignored)
{
    command_expect(
        &c, "(trap '' HUP; hanglab watch -- sh -c 'kill -HUP $$; kill -HUP $PPID; sleep 0.1; exit 3')", 3);
}

Test(watch_command, a_stall_is_reported_kept_and_ended)
{
    command_expect(&c, "hanglab watch -t 300ms -k --out o -- ./fake stall", 1);
    command_said(&c, "foreign-kernel");
    command_said(&c, "wait_for_peer");
    command_said(&c, "grid 4 x 1 x 1");
    command_said(&c, "cuStreamSynchronize");
    json_t *verdict = load("o/evidence/watch-fake/0/verdict.json");
    expect_text(verdict, "verdict", "hang");
    expect_text(verdict, "cause", "foreign-kernel");
    expect_text(verdict, "engine", "watch");
    json_t *device = json_array_get(json_object_get(verdict, "devices"), 0);
    expect_text(device, "stall", "device");
    expect_text(json_object_get(device, "unfinished"), "kernel", "wait_for_peer");
    json_decref(verdict);
    command_expect(&c,
                   "grep -q '\"launch\":0,.*\"ended\":false,\"kernel\":\"wait_for_peer\"' "
                   "o/evidence/watch-fake/0/timeline.jsonl",
                   0);
    command_expect(&c, "grep -q nanosleep o/evidence/watch-fake/0/stacks/rank0.txt", 0);
    command_expect(&c, "hanglab explain o/evidence/watch-fake/0", 0);
    command_said(&c, "wait_for_peer");
    command_said(&c, "What each process's host was doing");
}

/* As in a container: the program's threads are asked by a signal. */
Test(watch_command, where_nothing_may_be_traced_stacks_come_from_inside)
{
    char line[PATH_MAX];
    snprintf(line, sizeof line,
             "%s/tests/without_ptrace %s/framework/cli/hanglab watch -t 300ms -k --out o -- ./fake stall",
             getenv("HANGLAB_BUILD"), getenv("HANGLAB_BUILD"));
    command_expect(&c, line, 1);
    command_expect(&c, "grep -q 'nanosleep' o/evidence/watch-fake/0/stacks/rank0.txt", 0);
    command_expect(&c, "grep -q 'beat at .*fake_watched.c' o/evidence/watch-fake/0/stacks/rank0.txt", 0);
    command_expect(&c, "grep -q 'no permission' o/evidence/watch-fake/0/stacks/rank0.txt", 1);
}

Test(watch_command, what_goes_on_was_slow_and_no_hang)
{
    command_expect(&c, "hanglab watch -t 300ms --out o -- ./fake resume", 5);
    command_said(&c, "it goes on, after");
    json_t *verdict = load("o/evidence/watch-fake/0/verdict.json");
    expect_text(verdict, "verdict", "slow");
    cr_expect_gt(json_integer_value(json_object_get(verdict, "resumed_ns")), 300000000);
    json_decref(verdict);
}

/* The twin of a_stall_is_reported_kept_and_ended: the host stands still, and the device has nothing to do. */
Test(watch_command, a_stalled_host_is_told_from_a_stalled_device)
{
    command_expect(&c, "hanglab watch -t 300ms -k --out o -- ./fake held", 1);
    command_said(&c, "driver-stall");
    command_said(&c, "cuModuleLoadData does not return, and no launch is pending");
    json_t *verdict = load("o/evidence/watch-fake/0/verdict.json");
    const json_t *device = json_array_get(json_object_get(verdict, "devices"), 0);
    expect_text(device, "stall", "host");
    cr_expect_null(json_object_get(device, "unfinished"));
    json_decref(verdict);
}

Test(watch_command, an_idle_program_is_left_alone)
{
    command_expect(&c, "hanglab watch -t 200ms --out o -- ./fake idle", 6);
    cr_assert_str_empty(c.err);
    command_expect(&c, "test ! -e o", 0);
}

Test(watch_command, a_stopped_program_is_no_hang)
{
    command_expect(
        &c,
        "hanglab watch -t 200ms --out o -- sh -c './fake idle & p=$!; sleep 0.2; kill -STOP $p; sleep 1; "
        "kill -CONT $p; wait $p'",
        6);
    cr_assert_str_empty(c.err);
}

/* Ctrl-Z, and later fg: the supervisor has not seen that the program was stopped. */
Test(watch_command, a_job_that_was_stopped_with_its_supervisor_is_no_hang)
{
    char line[PATH_MAX];
    snprintf(line, sizeof line,
             "%s/framework/cli/hanglab watch -t 200ms --out o -- ./fake idle & p=$!; sleep 0.3; "
             "child=$(cat /proc/$p/task/$p/children); kill -STOP $p $child; sleep 2; kill -CONT $child $p; "
             "wait $p",
             getenv("HANGLAB_BUILD"));
    command_expect(&c, line, 6);
    cr_assert_str_empty(c.err);
}

/* Two ranks of one job, in the order of their launcher, in one bundle. */
Test(watch_command, all_processes_of_a_job_are_in_one_report)
{
    command_expect(
        &c, "hanglab watch -t 400ms -k --out o -- sh -c 'RANK=1 ./fake stall & RANK=0 ./fake stall & wait'",
        1);
    json_t *verdict = load("o/evidence/watch-sh/0/verdict.json"),
           *devices = json_object_get(verdict, "devices");
    cr_assert_eq(json_array_size(devices), 2, "%s", c.err);
    for (int i = 0; i < 2; i++)
        cr_expect_eq(json_integer_value(json_object_get(json_array_get(devices, (size_t)i), "rank")), i);
    json_decref(verdict);
    command_expect(&c, "test -s o/evidence/watch-sh/0/stacks/rank1.txt", 0);
    command_expect(&c, "test ! -e o/evidence/watch-sh/1", 0);
}

/* FlashInfer's own kernels, as an H100 left them: flags and slots are read from the recording's memory. */
Test(watch_command, a_known_collective_is_decoded_and_explained)
{
    char line[PATH_MAX];
    snprintf(line, sizeof line,
             "hanglab watch -t 400ms -k --out o -- ./fake stall "
             "%s/tests/recordings/h100/watch-flashinfer-0.6.9-subnormal.feed",
             getenv("HANGLAB_SOURCE"));
    command_expect(&c, line, 1);
    command_said(&c, "sentinel-collision");
    command_said(&c, "word 17 holds 0x80010000");
    command_said(&c, "FlashInfer, mnnvl one-shot (arguments as of 0.6.2 to 0.6.11)");
    command_said(&c, "negative subnormal as fp32");
    json_t *verdict = load("o/evidence/watch-fake/0/verdict.json");
    const json_t *culprit = json_object_get(verdict, "culprit");
    cr_expect_eq(json_integer_value(json_object_get(culprit, "call")), 37);
    cr_expect_eq(json_array_size(json_object_get(verdict, "ranks")), 2);
    cr_expect_eq(json_array_size(json_object_get(verdict, "unknown_arguments")), 0);
    json_decref(verdict);
    command_expect(&c, "test -s o/evidence/watch-fake/0/workspace-rank1-0.bin", 0);
    command_expect(&c, "hanglab explain o/evidence/watch-fake/0", 0);
}

static json_t *watch_collective(const char *how)
{
    char line[PATH_MAX];
    if (!getenv("HANGLAB_HAS_CUPTI"))
        cr_skip_test("built without CUPTI's headers");
    snprintf(line, sizeof line,
             "hanglab watch -t 300ms -k --out o -- env LD_LIBRARY_PATH=%s/tests/fake_cuda/plays "
             "%s/tests/fake_cuda/plays/fake_collective %s",
             getenv("HANGLAB_BUILD"), getenv("HANGLAB_BUILD"), how);
    command_expect(&c, line, 1);
    return load("o/evidence/watch-env/0/verdict.json");
}

/* The library itself copies arguments at the launch, and memory at the stall. */
Test(watch_command, arguments_and_memory_of_a_known_kernel_are_taken_by_the_library)
{
    json_t *verdict = watch_collective("");
    command_said(&c, "rank 0 waits in call 0 (trtllm-oneshot, workspace 0) for row 0 of rank 1");
    command_said(&c, "rank 1 is in no watched process");
    const json_t *rank = json_array_get(json_object_get(verdict, "ranks"), 0),
                 *call = json_array_get(json_object_get(rank, "pending"), 0);
    cr_expect_eq(json_integer_value(json_object_get(call, "tokens")), 4);
    json_decref(verdict);
}

Test(watch_command, a_workspace_that_leads_nowhere_is_said)
{
    json_decref(watch_collective("bad"));
    command_said(&c, "rank 0's flags could not be read");
    command_said(&c, "allreduce_fusion_kernel_oneshot_lamport");
}

/* The copy stands behind the stuck kernel: it is given up, and the rest is told. */
Test(watch_command, a_read_that_does_not_return_is_bounded_and_said)
{
    setenv("HL_FAKE_STUCK", "1", 1);
    json_decref(watch_collective(""));
    unsetenv("HL_FAKE_STUCK");
    command_said(&c, "memory of the device: a copy does not return");
    command_said(&c, "allreduce_fusion_kernel_oneshot_lamport");
}

Test(watch_command, arguments_that_no_release_has_are_kept_as_bytes)
{
    json_t *verdict = watch_collective("new");
    const json_t *unknown = json_array_get(json_object_get(verdict, "unknown_arguments"), 0);
    cr_expect_eq(json_integer_value(json_object_get(unknown, "first_bytes")), 152);
    const char *bytes = json_string_value(json_object_get(unknown, "bytes"));
    cr_assert_not_null(bytes);
    cr_expect_eq(strncmp(bytes, "0200000000000000", 16), 0, "ranks and rank: %s", bytes);
    command_said(&c, "no release that is known has 1 arguments, the first of 152 bytes");
    json_decref(verdict);
}

Test(watch_command, a_process_that_dies_while_it_is_asked_is_survived)
{
    command_expect(&c, "hanglab watch -t 200ms --out o -- ./fake die", 1);
    command_said(&c, "signal 9");
    command_said(&c, "wait_for_peer");
}

Test(watch_command, a_watchdog_thread_that_hangs_itself_is_not_waited_for)
{
    command_expect(&c, "hanglab watch -t 200ms -k --out o -- ./fake deaf", 1);
    command_said(&c, "wait_for_peer");
}

Test(watch_command, evidence_that_cannot_be_written_is_said_and_the_finding_is_told)
{
    command_expect(&c, "hanglab watch -t 200ms -k --out /dev/null/o -- ./fake stall", 1);
    command_said(&c, "cannot make this folder");
    command_said(&c, "wait_for_peer");
}

Test(watch_command, pages_are_private_and_do_not_stay)
{
    command_expect(&c, "hanglab watch -- sh -c 'echo $HANGLAB_WATCH_FOLDER'", 0);
    c.out[strcspn(c.out, "\n")] = '\0';
    cr_assert_neq(access(c.out, F_OK), 0, "%s is still there", c.out);
    command_expect(&c, "hanglab watch -- ./fake folder", 0);
    cr_assert_str_eq(c.out, "700\n");
    command_expect(
        &c, "TMPDIR=/nonexistent hanglab watch -- sh -c 'ls -ld $HANGLAB_WATCH_FOLDER | cut -c1-10'", 0);
    cr_assert_str_eq(c.out, "drwx------\n");
}

/* The disk is full once the stall is reported. */
Test(watch_command, a_full_disk_costs_the_bundle_and_leaves_no_half_of_it)
{
    char line[PATH_MAX];
    snprintf(line, sizeof line,
             "%s/framework/cli/hanglab watch -t 1s -k --out o -- ./fake stall & p=$!; sleep 0.4; "
             "prlimit --pid $p --fsize=512; wait $p",
             getenv("HANGLAB_BUILD"));
    command_expect(&c, line, 1);
    command_said(&c, "File too large");
    command_said(&c, "wait_for_peer");
    command_expect(&c, "test -z \"$(ls -A o/evidence/watch-fake)\"", 0);
}

/* A supervisor that is killed leaves its folder; the next one, which may be another test's, removes it, and
 * none that is in use. */
Test(watch_command, what_a_killed_supervisor_left_is_removed_by_the_next)
{
    command_expect(&c,
                   "(hanglab watch -- sh -c 'echo $HANGLAB_WATCH_FOLDER >one; echo $PPID >pid; sleep 3') & "
                   "(hanglab watch -- sh -c 'echo $HANGLAB_WATCH_FOLDER >two; sleep 3') & "
                   "while ! test -s pid || ! test -s two; do sleep 0.05; done; "
                   "test -d $(cat one) || exit 9; kill -KILL $(cat pid); hanglab watch true; "
                   "test ! -e $(cat one) || exit 10; test -d $(cat two) || exit 11; wait",
                   0);
    command_expect(&c, "test ! -e $(cat two)", 0);
}

/*
 * The library itself
 */

Test(watch_command, a_page_that_cannot_be_made_costs_the_watching_and_not_the_program)
{
    command_expect(&c, "hanglab watch -- sh -c 'HANGLAB_WATCH_FOLDER=/nonexistent ./fake inject'", 0);
    command_said(&c, "is not watched: cannot make /nonexistent/");
    command_expect(&c, "hanglab watch -- sh -c 'ulimit -f 100; ./fake inject'", 0);
    command_said(&c, "is not watched: no room for");
}

Test(watch_command, without_cupti_a_process_is_said_to_be_unwatched)
{
    command_expect(&c, "hanglab watch -- env LD_LIBRARY_PATH=/nonexistent ./fake inject", 0);
    if (access("/dev/nvidiactl", F_OK) != 0)
        command_said(&c, "is not watched: ");
}

Test(watch_command, the_holder_of_the_subscriber_is_named)
{
    char line[PATH_MAX];
    if (!getenv("HANGLAB_HAS_CUPTI"))
        cr_skip_test("built without CUPTI's headers");
    snprintf(line, sizeof line, "hanglab watch -- env LD_LIBRARY_PATH=%s/tests/fake_cuda ./fake inject",
             getenv("HANGLAB_BUILD"));
    command_expect(&c, line, 0);
    command_said(&c, "is not watched: CUPTI's one subscriber is already there: CUPTI for another-profiler");
}

/* The library at work, on stand-ins for libcupti and libcuda (fake_cuda/plays): captured launches run
 * nothing, a graph's node has the name of the launch that it was recorded from, and events tell what has
 * ended. */
Test(watch_command, callbacks_and_events_of_a_program_become_its_report)
{
    char line[PATH_MAX];
    if (!getenv("HANGLAB_HAS_CUPTI"))
        cr_skip_test("built without CUPTI's headers");
    snprintf(line, sizeof line,
             "hanglab watch -t 300ms -k --out o -- env LD_LIBRARY_PATH=%s/tests/fake_cuda/plays "
             "%s/tests/fake_cuda/plays/fake_program",
             getenv("HANGLAB_BUILD"), getenv("HANGLAB_BUILD"));
    command_expect(&c, line, 1);
    command_said(&c, "wait_in_graph");
    command_said(&c, "cuStreamSynchronize");
    json_t *verdict = load("o/evidence/watch-env/0/verdict.json");
    const json_t *device = json_array_get(json_object_get(verdict, "devices"), 0),
                 *unfinished = json_object_get(device, "unfinished");
    cr_expect_eq(json_integer_value(json_object_get(unfinished, "launch")), 100);
    cr_expect_eq(json_integer_value(json_object_get(unfinished, "graph_kernels")), 1);
    json_decref(verdict);
}

/* The program goes on without a watchdog; what it does not end any more is nothing that could be seen. */
Test(watch_command, cupti_that_gives_up_is_said_and_nothing_is_reported)
{
    char line[PATH_MAX];
    if (!getenv("HANGLAB_HAS_CUPTI"))
        cr_skip_test("built without CUPTI's headers");
    snprintf(line, sizeof line,
             "hanglab watch -t 300ms --out o -- env LD_LIBRARY_PATH=%s/tests/fake_cuda/plays "
             "%s/tests/fake_cuda/plays/fake_program given-up",
             getenv("HANGLAB_BUILD"), getenv("HANGLAB_BUILD"));
    command_expect(&c, line, 0);
    command_said(&c, "is not watched: the sampler broke");
    cr_expect(!strstr(c.err, "no progress for"), "%s", c.err);
}

/* CUPTI takes two at once and breaks one of them. */
Test(watch_command, one_process_samples_a_gpu)
{
    char line[2 * PATH_MAX];
    if (!getenv("HANGLAB_HAS_CUPTI"))
        cr_skip_test("built without CUPTI's headers");
    snprintf(line, sizeof line,
             "hanglab watch -t 5s -d pc --out o -- env LD_LIBRARY_PATH=%s/tests/fake_cuda/plays "
             "sh -c '%s/tests/fake_cuda/plays/fake_program samples & "
             "%s/tests/fake_cuda/plays/fake_program samples & wait'",
             getenv("HANGLAB_BUILD"), getenv("HANGLAB_BUILD"), getenv("HANGLAB_BUILD"));
    command_expect(&c, line, 0);
    const char *said = strstr(c.err, "another process samples this GPU");
    cr_assert_not_null(said, "%s", c.err);
    cr_expect_null(strstr(said + 1, "another process samples this GPU"), "both: %s", c.err);
}

/*
 * Without CUPTI: detail core
 */

static void run_asks(const char *options, const char *core, const char *how, int status)
{
    char line[2 * PATH_MAX];
    if (!getenv("HANGLAB_HAS_CUPTI"))
        cr_skip_test("built without CUPTI's headers");
    snprintf(
        line, sizeof line,
        "hanglab watch -d core -t 300ms %s --out o -- env LD_LIBRARY_PATH=%s/tests/fake_cuda/plays %s%s%s "
        "%s/tests/fake_cuda/plays/fake_asks %s",
        options, getenv("HANGLAB_BUILD"), core ? "HL_FAKE_CORE=" : "", core ? getenv("HANGLAB_SOURCE") : "",
        core ? core : "", getenv("HANGLAB_BUILD"), how);
    command_expect(&c, line, status);
}

Test(watch_command, without_cupti_driver_calls_tell_and_the_gpu_is_dumped)
{
    run_asks("-k", "/tests/recordings/cores/wait.core.gz", "", 1);
    command_said(&c, "foreign-kernel (observed)");
    command_said(&c, "of its lanes poll, at ");
    command_said(&c, "wait.cu:");
    command_said(&c, "cuStreamSynchronize");
    json_t *verdict = load("o/evidence/watch-env/0/verdict.json");
    const json_t *device = json_array_get(json_object_get(verdict, "devices"), 0),
                 *unfinished = json_object_get(device, "unfinished");
    expect_text(device, "detail", "core");
    expect_text(unfinished, "kernel", "wait_for_peer");
    cr_expect_eq(json_integer_value(json_object_get(unfinished, "launch")), 101,
                 "what was captured is no launch");
    json_decref(verdict);
    json_t *summary = load("o/evidence/watch-env/0/gpucore/summary.json"),
           *core = json_array_get(json_object_get(summary, "cores"), 0);
    expect_text(core, "file", "rank0.nvcudmp");
    cr_expect_gt(json_array_size(json_object_get(core, "kernels")), 0);
    json_decref(summary);
    command_expect(&c, "test -s o/evidence/watch-env/0/gpucore/rank0.nvcudmp", 0);
    command_expect(&c, "hanglab explain o/evidence/watch-env/0", 0);
    command_said(&c, "Where the lanes of the GPU stood");
}

Test(watch_command, a_gpu_core_that_cannot_be_had_comes_with_its_reason)
{
    run_asks("-k", NULL, "", 1);
    json_t *summary = load("o/evidence/watch-env/0/gpucore/summary.json");
    const char *why =
        json_string_value(json_object_get(json_array_get(json_object_get(summary, "cores"), 0), "why_not"));
    cr_expect(why && strstr(why, "the driver does not take requests for GPU core dumps"), "%s", why);
    json_decref(summary);
    command_said(&c, "wait_for_peer");
}

/* Nothing is seen but through the calls, and the program is none the worse for it. */
Test(watch_command, without_cupti_a_program_that_ends_is_left_alone)
{
    run_asks("", NULL, "ends", 4);
    cr_assert_str_empty(c.err);
    command_expect(&c, "test ! -e o", 0);
}
