/* Stacks of real processes that are stuck in every way we know: what is told of each. */
#include <dlfcn.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include "stuck_process.h"

/* Collects from a sleeping target and wants a frame of that name, with its line, in its main thread. */
static void want_frame(const char *function)
{
    struct hl_process_stacks stacks;
    await_state(target, 'S');
    hl_stacks_collect(target, HL_STACK_LIMITS, NULL, &stacks);
    char *text = text_of(&stacks);
    cr_assert_eq(stacks.why_not[0], 0, "%s", text);
    const struct hl_frame *frame = find(&stacks.threads[0], function);
    cr_assert(frame, "no %s in\n%s", function, text);
    cr_assert(frame->file && strstr(frame->file, "tests/") && frame->line > 0, "%s", text);
    cr_assert_str_eq(frame->object, "test_stacks", "%s", text);
    cr_assert(find(&stacks.threads[0], "__libc_start_main"), "the stack does not reach the start:\n%s", text);
    cr_assert_eq(stacks.threads[0].state, 'S');
    free(text);
    hl_stacks_finish(&stacks);
}

/*
 * Ways to be stuck
 */

STUCK static void stands_at_a_mutex(void)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    say_ready();
    pthread_mutex_lock(&mutex);
}

Test(stacks, a_mutex_that_is_never_given_back, .timeout = 20)
{
    start(stands_at_a_mutex);
    want_frame("stands_at_a_mutex");
    stop();
}

STUCK static void reads_a_pipe(void)
{
    char byte = 0;
    say_ready();
    const ssize_t n = read(from_test[0], &byte, 1);
    const char answer = n == 1 ? byte : 'E';
    cr_assert_eq(write(to_test[1], &answer, 1), 1);
    pause();
}

Test(stacks, a_read_goes_on_as_if_nothing_had_been, .timeout = 20)
{
    char byte;
    start(reads_a_pipe);
    for (int i = 0; i < 20; i++)
        want_frame("reads_a_pipe");
    cr_assert_eq(write(from_test[1], "x", 1), 1);
    cr_assert_eq(read(to_test[0], &byte, 1), 1);
    cr_assert_eq(byte, 'x', "the read was interrupted");
    stop();
}

STUCK static void waits_on_a_futex(void)
{
    static int word;
    say_ready();
    syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

Test(stacks, a_futex_and_its_system_call, .timeout = 20)
{
    struct hl_process_stacks stacks;
    start(waits_on_a_futex);
    want_frame("waits_on_a_futex");
    hl_stacks_collect(target, HL_STACK_LIMITS, NULL, &stacks);
    cr_assert_eq(stacks.threads[0].syscall, SYS_futex);
    hl_stacks_finish(&stacks);
    stop();
}

STUCK static void sleeps_in_a_handler(int signal)
{
    (void)signal;
    say_ready();
    nap_ms(100000);
}

STUCK static void is_interrupted(void)
{
    signal(SIGUSR1, sleeps_in_a_handler);
    raise(SIGUSR1);
    _exit(0); /* no tail call */
}

Test(stacks, a_signal_handler_and_what_it_interrupted, .timeout = 20)
{
    start(is_interrupted);
    want_frame("sleeps_in_a_handler");
    want_frame("is_interrupted");
    stop();
}

STUCK static int goes_deeper(int depth)
{
    if (depth == 0) {
        say_ready();
        return pause();
    }
    return depth + goes_deeper(depth - 1) / 2; /* no tail call */
}

static void recurses(void) { exit(goes_deeper(10000)); }

Test(stacks, a_deep_recursion_is_cut_and_says_so, .timeout = 20)
{
    struct hl_process_stacks stacks;
    start(recurses);
    await_state(target, 'S');
    hl_stacks_collect(target, HL_STACK_LIMITS, NULL, &stacks);
    cr_assert_eq(stacks.threads[0].n_frames, HL_STACK_LIMITS.frames);
    cr_assert(find(&stacks.threads[0], "goes_deeper"));
    cr_assert_str_eq(stacks.threads[0].why_not, "more frames than are kept");
    hl_stacks_finish(&stacks);
    stop();
}

static void *sleeps_in_a_thread(void *user)
{
    pthread_setname_np(pthread_self(), "sleeper");
    if (atomic_fetch_add(shared, 1) + 1 == *(int *)user)
        say_ready();
    pause();
    return NULL;
}

static void makes_threads(void)
{
    static int threads = 40;
    pthread_t thread;
    for (int i = 0; i < threads; i++)
        cr_assert_eq(pthread_create(&thread, NULL, sleeps_in_a_thread, &threads), 0);
    pause();
}

Test(stacks, many_threads_are_all_seen_or_counted, .timeout = 20)
{
    struct hl_process_stacks stacks;
    start(makes_threads);
    await_state(target, 'S');
    hl_stacks_collect(target, HL_STACK_LIMITS, NULL, &stacks);
    cr_assert_eq(stacks.n_threads, 41);
    cr_assert_eq(stacks.threads[0].tid, target, "the main thread comes first");
    for (int i = 1; i < stacks.n_threads; i++) {
        cr_assert(find(&stacks.threads[i], "sleeps_in_a_thread"));
        cr_assert_str_eq(stacks.threads[i].name, "sleeper");
    }
    hl_stacks_finish(&stacks);
    hl_stacks_collect(target, (struct hl_stack_limits){ .threads = 10, .frames = 5, .time_ms = 1000 }, NULL,
                      &stacks);
    cr_assert_eq(stacks.n_threads, 10);
    cr_assert_eq(stacks.threads_left_out, 31);
    char *text = text_of(&stacks);
    cr_assert(strstr(text, "31 threads more than are shown"), "%s", text);
    free(text);
    hl_stacks_finish(&stacks);
    stop();
}

static void becomes_a_stripped_program(void)
{
    say_ready();
    close(ready[1]);
    execlp("sleep", "sleep", "100", NULL);
}

/* coreutils come stripped: its own frames have no names, but they are there, and the C library's have. */
Test(stacks, a_stripped_program, .timeout = 20)
{
    struct hl_process_stacks stacks;
    start(becomes_a_stripped_program);
    for (int i = 0; i < 1000; i++) {
        hl_stacks_collect(target, HL_STACK_LIMITS, NULL, &stacks);
        if (strcmp(stacks.name, "sleep") == 0 && stacks.threads[0].state == 'S')
            break;
        hl_stacks_finish(&stacks);
        nap_ms(1);
    }
    char *text = text_of(&stacks);
    cr_assert(find(&stacks.threads[0], "__libc_start_main"), "%s", text);
    int own = 0;
    for (int i = 0; i < stacks.threads[0].n_frames; i++)
        own += stacks.threads[0].frames[i].object && strcmp(stacks.threads[0].frames[i].object, "sleep") == 0;
    cr_assert_geq(own, 1, "%s", text);
    free(text);
    hl_stacks_finish(&stacks);
    stop();
}

/*
 * The CUDA driver: a library of that name, with one exported entry and everything else nameless
 */

static const char fake_driver[] = "#include <unistd.h>\n"
                                  "static __attribute__((noinline)) int inner(void) { return pause(); }\n"
                                  "int cuStreamSynchronize(void *s) { return inner() + (s != 0); }\n";
static char fake_folder[] = "/tmp/hanglab-stacks-XXXXXX";

STUCK static void launches_and_waits(void)
{
    char path[64];
    snprintf(path, sizeof path, "%s/libcuda.so.1", fake_folder);
    void *driver = dlopen(path, RTLD_NOW);
    int (*synchronize)(void *) = driver ? (int (*)(void *))dlsym(driver, "cuStreamSynchronize") : NULL;
    say_ready();
    if (synchronize)
        exit(synchronize(NULL) + 1); /* no tail call */
}

Test(stacks, the_driver_call_that_blocks_and_who_made_it, .timeout = 20)
{
    char command[512], path[64];
    struct hl_process_stacks stacks;
    cr_assert(mkdtemp(fake_folder));
    snprintf(path, sizeof path, "%s/driver.c", fake_folder);
    FILE *source = fopen(path, "w");
    cr_assert(source && fputs(fake_driver, source) >= 0 && fclose(source) == 0);
    snprintf(command, sizeof command, "%s -O1 -shared -fPIC -s -o %s/libcuda.so.1 %s", getenv("HANGLAB_CC"),
             fake_folder, path);
    cr_assert_eq(system(command), 0);
    start(launches_and_waits);
    await_state(target, 'S');
    hl_stacks_collect(target, HL_STACK_LIMITS, NULL, &stacks);
    char *text = text_of(&stacks);
    const struct hl_thread_stack *thread = &stacks.threads[0];
    cr_assert_geq(thread->driver_frame, 0, "%s", text);
    cr_assert_str_eq(thread->frames[thread->driver_frame].function, "cuStreamSynchronize", "%s", text);
    cr_assert_geq(thread->caller_frame, 0, "%s", text);
    cr_assert_str_eq(thread->frames[thread->caller_frame].function, "launches_and_waits", "%s", text);
    cr_assert(strstr(text, "inside the CUDA driver: cuStreamSynchronize, called by launches_and_waits at"),
              "%s", text);
    free(text);
    hl_stacks_finish(&stacks);
    stop();
    snprintf(command, sizeof command, "rm -r %s", fake_folder);
    cr_assert_eq(system(command), 0);
}
