/* Pages of watched processes: what is written by callbacks is read as stalls, unfinished work and evidence.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../watchdog/cupti/device.h"
#include "../watchdog/cupti/feed.h"
#include "../watchdog/cupti/track.h"

#define SECOND 1000000000ull
#define CONTEXT 0x1000
#define STREAM 0x2000

static struct hl_page *page;

static void make(enum hl_page_detail detail)
{
    page = calloc(1, sizeof *page);
    cr_assert_not_null(page);
    hl_page_init(page, 42, detail, 1);
    atomic_store(&page->state, HL_PAGE_WATCHING);
}
static void setup(void) { make(HL_PAGE_LIGHT); }
static void teardown(void) { free(page); }
TestSuite(page, .init = setup, .fini = teardown, .timeout = 30);

static void set_detail(enum hl_page_detail detail) { page->detail = detail; }

static uint32_t launch_kernel(uint32_t stream, uint64_t at_ns, uint32_t correlation, const char *name)
{
    const struct hl_page_launch launch = { .at_ns = at_ns,
                                           .correlation = correlation,
                                           .kernel = hl_page_kernel(page, strlen(name) + 16, name),
                                           .exec = HL_PAGE_NONE,
                                           .grid = { 4, 1, 1 } };
    hl_page_mark(page, stream, hl_page_launch(page, stream, &launch));
    return launch.kernel;
}

static void launch_graph(uint32_t stream, uint64_t at_ns, uint32_t correlation, uint64_t handle)
{
    const struct hl_page_launch launch = {
        .at_ns = at_ns, .correlation = correlation, .kernel = HL_PAGE_NONE, .exec = hl_page_exec(page, handle)
    };
    hl_page_mark(page, stream, hl_page_launch(page, stream, &launch));
}

static uint32_t one_stream(void) { return hl_page_stream(page, CONTEXT, STREAM, 0); }

static void expect_stall(enum hl_stall_kind kind, uint64_t beat_ns)
{
    atomic_store(&page->beat_ns, beat_ns);
    const struct hl_stall stall = hl_judge(page, SECOND, beat_ns);
    cr_assert_eq(stall.kind, kind, "%d, and not %d", stall.kind, kind);
}

/* A captured graph of n kernels "k0", "k1", .. and its executable copy, as CUPTI tells of them. */
static void make_graph(uint32_t n, uint64_t handle)
{
    const uint32_t thread = hl_page_thread(page, 7);
    for (uint32_t i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "k%u", i);
        hl_page_enter(page, thread, HL_API_cuLaunchKernel, STREAM, hl_page_kernel(page, 100 + i, name), 1);
        hl_page_node(page, 1, 0x100 + i, 0, thread);
        cr_assert(page->threads[thread].recorded, "a captured launch runs nothing");
        hl_page_exit(page, thread);
    }
    hl_page_enter(page, thread, HL_API_cuGraphInstantiateWithFlags, 0, HL_PAGE_NONE, 1);
    for (uint32_t i = 0; i < n; i++) {
        hl_page_node(page, 2, 0x200 + i, 0, thread);
        hl_page_node_clone(page, 2, 0x200 + i, 0x100 + i, 0);
    }
    hl_page_node(page, 2, 0x200 + n, 0, thread); /* the driver adds one of its own */
    hl_page_exec_made(page, handle, 2);
    hl_page_exit(page, thread);
}

static void finish(uint32_t correlation, uint64_t node)
{
    hl_page_finish(page, &(struct hl_page_finished){ correlation, node, 5, 6 });
}

Test(page, apis_are_found_under_all_their_names)
{
    cr_expect_eq(hl_api_of_name("cuLaunchKernel"), HL_API_cuLaunchKernel);
    cr_expect_eq(hl_api_of_name("cuLaunchKernel_ptsz"), HL_API_cuLaunchKernel);
    cr_expect_eq(hl_api_of_name("cuLaunchKernelEx_ptsz"), HL_API_cuLaunchKernelEx);
    cr_expect_eq(hl_api_of_name("cuMemcpyDtoH_v2_ptds"), HL_API_cuMemcpyDtoH);
    cr_expect_eq(hl_api_of_name("cuCtxSynchronize_v2"), HL_API_cuCtxSynchronize);
    cr_expect_eq(hl_api_of_name("cuMemcpyDtoHAsync_v2"), HL_API_cuMemcpyDtoHAsync);
    cr_expect_eq(hl_api_of_name("cuMemcpyDtoD_v2"), HL_API_NONE);
    cr_expect_eq(hl_api_of_name("cuStreamBeginCaptureToGraph"), HL_API_cuStreamBeginCaptureToGraph);
    cr_expect_eq(hl_api_of_name("cuLaunchKernelExC"), HL_API_NONE);
    cr_expect_str_eq(hl_api_name(HL_API_cuGraphLaunch), "cuGraphLaunch");
}

Test(page, work_that_ends_is_no_stall)
{
    const uint32_t stream = one_stream();
    for (uint64_t i = 1; i < 100; i++) {
        launch_kernel(stream, i * SECOND / 2, (uint32_t)i, "work");
        hl_page_complete(page, stream, i, i * SECOND / 2 + 1000);
    }
    expect_stall(HL_STALL_NONE, 500 * SECOND); /* idle for long, and nothing is pending */
}

Test(page, work_that_does_not_end_is_a_stall_of_the_device)
{
    const uint32_t stream = one_stream(), kernel = launch_kernel(stream, 10 * SECOND, 5, "spin");
    expect_stall(HL_STALL_NONE, 10 * SECOND + SECOND / 2);
    expect_stall(HL_STALL_DEVICE, 12 * SECOND);
    const struct hl_unfinished u = hl_find_unfinished(page, stream);
    cr_assert(u.known);
    cr_assert_eq(u.kernel, kernel);
    cr_assert_eq(u.behind, 0);
    cr_assert_eq(u.launch.grid[0], 4);
}

/* What is slow goes on: an event every now and then is enough. */
Test(page, slow_work_is_no_stall)
{
    const uint32_t stream = one_stream();
    for (uint64_t i = 0; i < 20; i++)
        launch_kernel(stream, SECOND, (uint32_t)i, "slow");
    for (uint64_t i = 1; i <= 20; i++) {
        hl_page_complete(page, stream, i, SECOND + i * SECOND * 9 / 10);
        expect_stall(HL_STALL_NONE, SECOND + i * SECOND * 9 / 10 + SECOND / 2);
    }
    cr_assert_eq(atomic_load(&page->longest_ns), SECOND * 9 / 10);
}

/* A thread in a synchronising call is a stall of its own only if no work is pending. */
Test(page, a_host_that_waits_for_nothing_is_told_from_the_device)
{
    const uint32_t thread = hl_page_thread(page, 7), stream = one_stream();
    hl_page_enter(page, thread, HL_API_cuEventSynchronize, 0, HL_PAGE_NONE, 10 * SECOND);
    expect_stall(HL_STALL_NONE, 12 * SECOND); /* a call may take some seconds by itself */
    expect_stall(HL_STALL_HOST, 16 * SECOND);
    launch_kernel(stream, 11 * SECOND + SECOND / 2, 1, "spin");
    expect_stall(HL_STALL_NONE, 12 * SECOND);
    expect_stall(HL_STALL_DEVICE, 13 * SECOND);
    hl_page_complete(page, stream, 1, 13 * SECOND);
    hl_page_exit(page, thread);
    expect_stall(HL_STALL_NONE, 20 * SECOND);
}

/* A process that was stopped has not looked, so its time has not gone on. */
Test(page, time_is_that_of_the_watchdog_thread)
{
    launch_kernel(one_stream(), 10 * SECOND, 1, "work");
    atomic_store(&page->beat_ns, 10 * SECOND + 1);
    cr_assert_eq(hl_judge(page, 100 * SECOND, 50 * SECOND).kind, HL_STALL_NONE);
    cr_assert_eq(hl_judge(page, SECOND, 50 * SECOND).kind, HL_STALL_SILENT);
}

Test(page, a_stream_that_stays_gets_more_time_while_others_go_on)
{
    const uint32_t stays = one_stream(), goes = hl_page_stream(page, CONTEXT, STREAM + 1, 0);
    launch_kernel(stays, SECOND, 1, "persistent");
    for (uint64_t at = 2; at < 12; at++) {
        launch_kernel(goes, at * SECOND, 2, "work");
        hl_page_complete(page, goes, at - 1, at * SECOND);
        expect_stall(at < 12 ? HL_STALL_NONE : HL_STALL_DEVICE, at * SECOND + 1);
    }
    hl_page_complete(page, goes, 20, 13 * SECOND);
    expect_stall(HL_STALL_DEVICE, 13 * SECOND);
}

Test(page, nodes_know_their_kernels_and_the_first_without_a_record_is_the_stuck_one)
{
    set_detail(HL_PAGE_NODE);
    make_graph(5, 0x77);
    const uint32_t stream = one_stream();
    launch_graph(stream, SECOND, 10, 0x77);
    launch_graph(stream, SECOND, 11, 0x77);
    for (uint32_t i = 0; i < 5; i++)
        finish(10, 0x200 + i);
    finish(11, 0x200);
    finish(11, 0x201);
    hl_page_finish(page, &(struct hl_page_finished){ 11, 0x202, 0, 0 }); /* a forced record of what runs */
    const struct hl_unfinished u = hl_find_unfinished(page, stream);
    cr_assert(u.by_record);
    cr_assert_eq(u.number, 1, "the first launch has ended");
    cr_assert_eq(u.nodes, 5);
    cr_assert_eq(u.finished, 2);
    cr_assert_eq(u.node, 2);
    cr_assert_str_eq(hl_kernel_name(page, u.kernel), "k2");
}

Test(page, a_graph_record_tells_the_launch_and_not_the_node)
{
    set_detail(HL_PAGE_CUPTI);
    make_graph(3, 0x77);
    const uint32_t stream = one_stream();
    launch_graph(stream, SECOND, 10, 0x77);
    launch_graph(stream, SECOND, 11, 0x77);
    finish(10, 0);
    const struct hl_unfinished u = hl_find_unfinished(page, stream);
    cr_assert_eq(u.number, 1);
    cr_assert_eq(u.nodes, 3);
    cr_assert_eq(u.kernel, HL_PAGE_NONE);
}

Test(page, samples_name_the_kernel_that_spins_and_none_means_that_nothing_runs)
{
    set_detail(HL_PAGE_PC);
    make_graph(3, 0x77);
    const uint32_t stream = one_stream();
    launch_graph(stream, SECOND, 10, 0x77);
    atomic_store(&page->asked, 1);
    atomic_store(&page->answered, 1);
    cr_assert_eq(hl_find_unfinished(page, stream).device, HL_DEVICE_IDLE);
    hl_page_sample(page, hl_page_kernel(page, 900, "cold"), 1, 0x10, 3);
    hl_page_sample(page, hl_page_kernel(page, 901, "hot"), 1, 0x40, 90);
    hl_page_sample(page, hl_page_kernel(page, 901, "hot"), 1, 0x50, 7);
    page->samples[1].line = page->samples[2].line = 17;
    strcpy(page->samples[1].file, "a.cu");
    strcpy(page->samples[2].file, "a.cu");
    atomic_store(&page->beat_ns, 9 * SECOND);
    const struct hl_stall stall = hl_judge(page, SECOND, 9 * SECOND);
    struct hl_device_evidence *e = malloc(sizeof *e);
    hl_device_evidence_of(page, &stall, 9 * SECOND, e);
    cr_expect_eq(e->unfinished.device, HL_DEVICE_SPINS);
    cr_expect_str_eq(e->kernel, "hot");
    cr_expect(e->unfinished.by_samples);
    cr_expect_eq(e->samples, 100);
    cr_assert_eq(e->n_lines, 2);
    cr_expect_eq(e->lines[0].samples, 97, "two PCs of one line are one");
    cr_expect_eq(e->lines[0].pc, 0x40);
    cr_expect_str_eq(e->lines[1].kernel, "cold");
    free(e);
}

Test(page, full_tables_lose_entries_and_count_them)
{
    for (uint32_t i = 0; i < HL_PAGE_STREAMS + 5; i++)
        hl_page_stream(page, CONTEXT, 0x5000 + i, 0);
    cr_expect_eq(atomic_load(&page->lost), 5);
    for (uint32_t tid = 1; tid <= HL_PAGE_THREADS + 3; tid++)
        hl_page_thread(page, tid);
    cr_expect_eq(atomic_load(&page->lost), 8);
    hl_page_thread_over(page, 9);
    cr_expect_eq(hl_page_thread(page, 99999), 9, "a thread that is over makes room");
    for (uint64_t i = 0; i < HL_PAGE_KERNELS + 1; i++)
        hl_page_kernel(page, 1 + i, "k");
    cr_expect_eq(atomic_load(&page->lost), 9);
}

Test(page, old_launches_and_ended_contexts_are_let_go)
{
    const uint32_t stream = one_stream();
    for (uint32_t i = 0; i < HL_PAGE_LAUNCHES + 10; i++)
        launch_kernel(stream, SECOND, i, "work");
    const struct hl_unfinished u = hl_find_unfinished(page, stream);
    cr_expect_not(u.known, "the first that is kept is not the first that has not ended");
    cr_expect_eq(u.kernel, HL_PAGE_NONE);
    cr_expect_eq(u.behind, HL_PAGE_LAUNCHES + 9);
    expect_stall(HL_STALL_DEVICE, 9 * SECOND);
    hl_page_context_over(page, CONTEXT);
    expect_stall(HL_STALL_NONE, 9 * SECOND);
}

static void *launch_many(void *stream)
{
    for (uint32_t i = 0; i < 20000; i++) {
        const struct hl_page_launch launch = { .at_ns = i,
                                               .kernel = hl_page_kernel(page, 1 + i % 97, "k"),
                                               .exec = HL_PAGE_NONE };
        hl_page_launch(page, *(uint32_t *)stream, &launch);
    }
    return NULL;
}

Test(page, threads_write_at_once_and_nothing_is_lost)
{
    uint32_t stream = one_stream(), kernels = 0;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, launch_many, &stream), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(atomic_load(&page->streams[stream].launched), 80000);
    cr_assert_eq(atomic_load(&page->lost), 0);
    for (uint32_t i = 0; i < HL_PAGE_KERNELS; i++)
        kernels += page->kernels[i].function != 0;
    cr_assert(kernels >= 97 && kernels < 97 + 97 * 3, "%u", kernels); /* two may see one for the first time */
}

Test(page, a_recording_writes_the_same_page_again)
{
    char *text;
    size_t size;
    hl_feed_out = open_memstream(&text, &size);
    set_detail(HL_PAGE_NODE);
    make_graph(4, 0x77);
    const uint32_t stream = one_stream();
    launch_graph(stream, SECOND, 10, 0x77);
    launch_kernel(stream, 2 * SECOND, 11, "spin(int volatile *)");
    hl_page_complete(page, stream, 1, 3 * SECOND);
    finish(10, 0x200);
    hl_page_sample(page, 3, 4, 5, 6);
    fclose(hl_feed_out);
    hl_feed_out = NULL;
    struct hl_page *first = page;
    make(HL_PAGE_NODE);
    FILE *in = fmemopen(text, size, "r");
    cr_assert_eq(hl_feed_play(in, page), 0, "%s", text);
    fclose(in);
    free(text);
    cr_expect_eq(memcmp(first->streams, page->streams, sizeof page->streams), 0);
    cr_expect_eq(memcmp(first->kernels, page->kernels, sizeof page->kernels), 0);
    cr_expect_eq(memcmp(first->execs, page->execs, sizeof page->execs), 0);
    cr_expect_eq(memcmp(first->nodes, page->nodes, sizeof page->nodes), 0);
    cr_expect_eq(page->finished[0].correlation, 10);
    cr_expect_eq(page->finished[0].node, 0x200);
    cr_expect_eq(page->samples[0].pc, 5);
    cr_expect_eq(page->samples[0].samples, 6);
    free(first);
}

Test(page, a_damaged_recording_is_refused_with_its_line)
{
    /* The second names a graph and a kernel below those that there are. */
    char texts[][64] = { "# a comment\nstream 1 2\n", "beat 1\nlaunch 0 1 1 -2 -2 1 1 1 1 1 1 1\n" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        FILE *in = fmemopen(texts[i], strlen(texts[i]), "r");
        cr_expect_eq(hl_feed_play(in, page), 2, "%s", texts[i]);
        fclose(in);
    }
}

/*
 * Recordings of an H100 (tests/bench/cuda/hangs.cu under `hanglab watch`)
 */

static void play(const char *name, enum hl_page_detail detail)
{
    char path[512];
    snprintf(path, sizeof path, "%s/tests/recordings/h100/%s.feed", getenv("HANGLAB_SOURCE"), name);
    FILE *in = fopen(path, "r");
    cr_assert_not_null(in, "cannot open %s", path);
    set_detail(detail);
    cr_assert_eq(hl_feed_play(in, page), 0);
    fclose(in);
    atomic_store(&page->asked, 1);
    atomic_store(&page->answered, 1);
}

static struct hl_device_evidence *evidence_of(const char *name, enum hl_page_detail detail)
{
    struct hl_device_evidence *e = malloc(sizeof *e);
    play(name, detail);
    const uint64_t beat_ns = atomic_load(&page->beat_ns);
    const struct hl_stall stall = hl_judge(page, SECOND / 4, beat_ns);
    cr_assert_eq(stall.kind, HL_STALL_DEVICE, "%s: %d", name, stall.kind);
    hl_device_evidence_of(page, &stall, beat_ns, e);
    cr_expect_eq(atomic_load(&page->lost), 0);
    cr_expect_eq(e->n_calls, 1);
    cr_expect_str_eq(hl_api_name(e->calls[0].api), "cuCtxSynchronize");
    cr_expect_eq(e->unfinished.number,
                 atomic_load(&page->streams[stall.stream].launched) - 1 - e->unfinished.behind);
    return e;
}

Test(page, of_an_h100_with_records_of_nodes)
{
    struct hl_device_evidence *e = evidence_of("node-graph", HL_PAGE_NODE);
    cr_expect_str_eq(e->kernel, "_Z13wait_for_peerPVi");
    cr_expect_str_eq(e->before, "_Z4workPf");
    cr_expect_eq(e->unfinished.nodes, 5);
    cr_expect_eq(e->unfinished.finished, 3);
    cr_expect_eq(e->unfinished.node, 3);
    cr_expect(e->unfinished.by_record);
    free(e);
}

Test(page, of_an_h100_with_records_of_graphs)
{
    struct hl_device_evidence *e = evidence_of("cupti-graph", HL_PAGE_CUPTI);
    cr_expect_str_empty(e->kernel, "a graph's record does not tell the node");
    cr_expect_eq(e->unfinished.nodes, 5);
    cr_expect_eq(e->unfinished.behind, 0);
    free(e);
}

Test(page, of_an_h100_with_samples)
{
    struct hl_device_evidence *e = evidence_of("pc-graph", HL_PAGE_PC);
    cr_expect_str_eq(e->kernel, "_Z13wait_for_peerPVi");
    cr_expect_eq(e->unfinished.device, HL_DEVICE_SPINS);
    cr_expect_eq(e->unfinished.node, 3, "its place in the graph: %u", e->unfinished.node);
    cr_expect_eq(e->lines[0].pc, 0x40);
    free(e);
}

/* The same feed, with its samples and as `light` would have seen it: every launch behind a sync has an event.
 */
Test(page, of_an_h100_with_and_without_samples)
{
    static const enum hl_page_detail details[] = { HL_PAGE_PC, HL_PAGE_LIGHT };
    for (int i = 0; i < 2; i++) {
        struct hl_device_evidence *e = evidence_of("pc-direct", details[i]);
        cr_expect_str_eq(e->kernel, "_Z13wait_for_peerPVi");
        cr_expect_eq(e->unfinished.launch.grid[0], 4);
        cr_expect_eq(e->unfinished.behind, 1);
        cr_expect_eq(e->unfinished.by_samples, details[i] == HL_PAGE_PC);
        free(e);
        free(page);
        make(HL_PAGE_LIGHT);
    }
}

/* Other ways to stand still. Of a launch with more behind it than are kept, nothing is said that is not
 * known; a stream that waits for another one's event is not the one that is stuck. */
Test(page, of_an_h100_that_stands_still_in_other_ways)
{
    static const struct {
        const char *name;
        enum hl_page_detail detail;
        const char *kernel;
        uint64_t behind;
    } ways[] = { { "light-event", HL_PAGE_LIGHT, "_Z13wait_for_peerPVi", 0 },
                 { "light-queue", HL_PAGE_LIGHT, "", 500 },
                 { "cupti-direct", HL_PAGE_CUPTI, "_Z13wait_for_peerPVi", 1 },
                 { "node-direct", HL_PAGE_NODE, "_Z13wait_for_peerPVi", 1 },
                 { "node-event", HL_PAGE_NODE, "_Z13wait_for_peerPVi", 0 } };
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct hl_device_evidence *e = evidence_of(ways[i].name, ways[i].detail);
        cr_expect_str_eq(e->kernel, ways[i].kernel, "%s: %s", ways[i].name, e->kernel);
        cr_expect_eq(e->unfinished.behind, ways[i].behind, "%s: %u", ways[i].name, e->unfinished.behind);
        free(e);
        free(page);
        make(HL_PAGE_LIGHT);
    }
}

/* One stood still for a second and went on, the other ran kernels of a tenth of a second. */
Test(page, of_an_h100_that_goes_on)
{
    play("light-resume", HL_PAGE_LIGHT);
    cr_expect_eq(hl_judge(page, SECOND / 4, atomic_load(&page->beat_ns)).kind, HL_STALL_NONE);
    cr_expect_gt(atomic_load(&page->longest_ns), SECOND * 9 / 10);
    free(page);
    make(HL_PAGE_LIGHT);
    play("light-slow", HL_PAGE_LIGHT);
    cr_expect_lt(atomic_load(&page->longest_ns), SECOND / 2);
}
