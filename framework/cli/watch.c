/* `hanglab watch`: runs any CUDA program, tells when its device or its driver stands still, and keeps what
 * was seen. The processes write pages (watchdog/cupti/page.h); everything is decided out here, where nothing
 * is stuck. */
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../../watchdog/core/dump.h"
#include "../../watchdog/cupti/symbols.h"
#include "../../watchdog/host/stacks.h"
#include "../scenario/words.h"
#include "../verdict/classifier.h"
#include "command.h"
#include "options.h"
#include "watch_bundle.h"
#include "watched.h"

#define TICK_NS 2000000
#define LOOK_NS 50000000u
#define AWAY_NS 100000000u
/* `auto`: so many times the longest time that a process went without progress and then went on, between these
 * two. What goes on is healthy, so the threshold grows with what the program does. */
#define AUTO_FACTOR 10
#define AUTO_LOW_NS 5000000000u
#define AUTO_HIGH_NS 300000000000u
#define ANSWER_MS 1000
/* Of a program that stands still again and again: so many bundles are written, and so many stories told. */
#define BUNDLES_MAX 1024
#define STORIES_MAX 8

struct watch {
    uint64_t threshold_ns; /* 0: auto */
    enum hl_page_detail detail;
    bool kill;
    const char *out_dir;
    char **command;
    char title[1024];
    struct hl_job job;
    struct hl_known_memory memory;
    uint64_t started_ns;
    int reports;
    /* The stall that has been reported and still stands. */
    bool stalled;
    bool dumped; /* its GPU was, so nothing of it goes on */
    struct hl_watch_report report;
    char *bundle;
};

static volatile sig_atomic_t asked_to_end;

static void on_signal(int number) { asked_to_end = number; }

/* One that was ignored before us, as under nohup, stays so. */
static void pass_on(int number)
{
    if (signal(number, on_signal) == SIG_IGN)
        signal(number, SIG_IGN);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static double seconds(uint64_t ns) { return (double)ns / 1e9; }

static uint64_t threshold_of(const struct watch *w, const struct hl_page *page)
{
    if (w->threshold_ns)
        return w->threshold_ns;
    const uint64_t longest_ns = atomic_load(&page->longest_ns);
    if (longest_ns > AUTO_HIGH_NS / AUTO_FACTOR)
        return AUTO_HIGH_NS;
    return longest_ns * AUTO_FACTOR > AUTO_LOW_NS ? longest_ns * AUTO_FACTOR : AUTO_LOW_NS;
}

static struct hl_stall judge(const struct watch *w, const struct hl_watched *watched)
{
    return hl_judge(watched->page, threshold_of(w, watched->page), now_ns());
}

/* Does it stand still although it could go on? Its watchdog thread gets the threshold to come back after a
 * stop. */
static bool stands_still(const struct watch *w, struct hl_watched *watched)
{
    const struct hl_stall stall = judge(w, watched);
    if (stall.kind == HL_STALL_NONE)
        return false;
    if (!hl_process_runs(watched->pid))
        watched->stopped_ns = now_ns();
    return stall.kind != HL_STALL_SILENT ? hl_process_runs(watched->pid)
                                         : now_ns() - watched->stopped_ns > threshold_of(w, watched->page);
}

static bool is_stalled(struct watch *w)
{
    for (int i = 0; i < w->job.n; i++)
        if (stands_still(w, &w->job.watched[i]))
            return true;
    return false;
}

/* Does a process that was reported go on? One that is gone does not. */
static bool has_resumed(const struct watch *w)
{
    bool resumed = false;
    for (int i = 0; i < w->job.n; i++) {
        const struct hl_watched *watched = &w->job.watched[i];
        bool reported = false;
        for (int k = 0; k < w->report.n; k++)
            reported |= w->report.processes[k].device.pid == (uint32_t)watched->pid &&
                        w->report.processes[k].device.stall.kind != HL_STALL_NONE;
        if (!reported || !hl_process_runs(watched->pid))
            continue;
        if (judge(w, watched).kind != HL_STALL_NONE)
            return false;
        resumed = true;
    }
    return resumed;
}

/*
 * The report of a stall
 */

static void report_finish(struct hl_watch_report *report)
{
    for (int i = 0; i < report->n; i++) {
        free(report->processes[i].stack);
        free(report->processes[i].timeline);
        if (report->processes[i].core_path[0])
            unlink(report->processes[i].core_path);
        hl_core_finish(&report->processes[i].core);
    }
    free(report->processes);
    hl_worlds_finish(&report->worlds);
    *report = (struct hl_watch_report){ 0 };
}

/* From a copy: the page goes on changing, and symbols are written to it. */
static void collect_process(const struct watch *w, const struct hl_watched *watched, int index,
                            struct hl_watch_process *process)
{
    struct hl_page *page = malloc(sizeof *page);
    char why[256];
    *process = (struct hl_watch_process){ .rank = watched->page->rank };
    process->device.pid = (uint32_t)watched->pid;
    if (!page)
        return;
    memcpy(page, watched->page, sizeof *page);
    page->command[sizeof page->command - 1] = page->why[sizeof page->why - 1] = '\0';
    snprintf(process->command, sizeof process->command, "%s", page->command);
    if (page->detail == HL_PAGE_PC && !hl_symbolise(page, w->job.folder, why, sizeof why) && !page->why[0])
        snprintf(page->why, sizeof page->why, "source lines: %.200s", why);
    if (watched->unread && !page->why[0])
        snprintf(page->why, sizeof page->why, "memory of the device: %s", watched->unread);
    const struct hl_stall stall = hl_judge(page, threshold_of(w, page), now_ns());
    hl_device_evidence_of(page, &stall, now_ns(), &process->device);
    process->timeline = hl_watch_timeline(page, index);
    free(page);
}

/* All threads of a process, as text. */
static char *read_stack(const struct hl_watched *watched)
{
    char *text = NULL;
    size_t size;
    struct hl_process_stacks stacks;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    struct hl_page *page = (struct hl_page *)(uintptr_t)watched->page;
    hl_stacks_collect((int)watched->pid, HL_STACK_LIMITS, &page->snapshot, &stacks);
    hl_stacks_write(&stacks, out);
    hl_stacks_finish(&stacks);
    return fclose(out) == 0 ? text : NULL;
}

/* Flags and slots of known collectives: before anything that takes longer. */
static void collect_worlds(struct watch *w)
{
    const struct hl_page *pages[HL_WATCHED_MAX];
    const uint64_t begun_ns = now_ns();
    for (int i = 0; i < w->job.n; i++) {
        pages[i] = w->job.watched[i].page;
        w->job.watched[i].unread = NULL;
        w->job.watched[i].deaf = false;
    }
    w->memory = (struct hl_known_memory){ .user = &w->job, .read = hl_job_read };
    if (hl_worlds_collect(pages, w->job.n, &w->memory, begun_ns, &w->report.worlds) < 0)
        hl_worlds_finish(&w->report.worlds);
    w->report.reading_ns = now_ns() - begun_ns;
}

static bool collect(struct watch *w)
{
    struct hl_watch_report *r = &w->report;
    report_finish(r);
    collect_worlds(w);
    const uint64_t ask_ns = now_ns();
    hl_job_ask(&w->job, ANSWER_MS);
    r->asked_ns = now_ns() - ask_ns;
    r->processes = calloc((size_t)w->job.n + 1, sizeof *r->processes);
    if (!r->processes)
        return false;
    r->title = w->title;
    const char *slash = strrchr(w->command[0], '/');
    r->name = slash ? slash + 1 : w->command[0];
    r->number = w->reports;
    r->time_ns = now_ns() - w->started_ns;
    for (; r->n < w->job.n; r->n++) {
        struct hl_watch_process *process = &r->processes[r->n];
        collect_process(w, &w->job.watched[r->n], r->n, process);
        const uint64_t stack_ns = now_ns();
        process->stack = read_stack(&w->job.watched[r->n]);
        r->stacks_ns += now_ns() - stack_ns;
        const struct hl_stall *stall = &process->device.stall;
        const uint64_t for_ns = stall->kind ? process->device.time_ns - stall->since_ns : 0;
        if (for_ns > r->stalled_ns) {
            r->stalled_ns = for_ns;
            r->threshold_ns = threshold_of(w, w->job.watched[r->n].page);
        }
    }
    return r->stalled_ns > 0; /* else it went on while it was looked at */
}

/* Last of all, for the work of the process on its GPU does not survive it. */
static void take_core(struct watch *w, struct hl_watch_process *process)
{
    const int pid = (int)process->device.pid;
    if (process->device.stall.kind == HL_STALL_NONE)
        return;
    snprintf(process->core_path, sizeof process->core_path, "%s/%d.nvcudmp", w->job.folder, pid);
    if (hl_core_dump(w->job.folder, pid, process->core_path, process->core_why, sizeof process->core_why) <
        0) {
        process->core_path[0] = '\0';
        return;
    }
    w->dumped = true;
    process->has_core =
        hl_core_read(process->core_path, &process->core, process->core_why, sizeof process->core_why);
}

/* `hanglab explain` in a child, so that its story goes to stderr: stdout is the command's. */
static void tell(const char *bundle)
{
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        char *argv[] = { "hanglab explain", (char *)(uintptr_t)bundle, NULL };
        dup2(STDERR_FILENO, STDOUT_FILENO);
        _exit(hl_command_explain(2, argv));
    }
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

static void write_bundle(struct watch *w, bool story)
{
    struct hl_error error;
    free(w->bundle);
    w->bundle = NULL;
    if (hl_watch_bundle_write(&w->report, w->out_dir, &w->bundle, &error) != HL_STATUS_OK)
        hl_complain(&error);
    else if (story)
        tell(w->bundle);
}

static void report_stall(struct watch *w)
{
    struct hl_finding finding;
    if (!collect(w))
        return;
    w->stalled = true;
    for (int i = 0; i < w->report.n && w->detail == HL_PAGE_CORE; i++)
        take_core(w, &w->report.processes[i]);
    if (w->reports < BUNDLES_MAX)
        write_bundle(w, w->reports < STORIES_MAX);
    hl_watch_classify(&w->report, &finding);
    fprintf(stderr, "hanglab watch: no progress for %.1f s: %s (%s)\n  %s\n", seconds(w->report.stalled_ns),
            hl_cause_name(finding.cause), hl_words_name(&hl_words_certainties, finding.certainty),
            finding.summary);
    if (w->bundle)
        fprintf(stderr, "  evidence: %s\n", w->bundle);
    w->reports++;
}

static void report_progress(struct watch *w)
{
    w->stalled = false;
    w->report.resumed_ns = now_ns() - w->started_ns - w->report.time_ns + w->report.stalled_ns;
    fprintf(stderr, "hanglab watch: it goes on, after %.1f s: slow, not a hang\n",
            seconds(w->report.resumed_ns));
    if (w->bundle)
        write_bundle(w, false);
}

/* A process that is not watched is told of, once each. */
static void tell_blind(const struct watch *w)
{
    static pid_t told[HL_WATCHED_MAX];
    static int n;
    for (int i = 0; i < w->job.n; i++) {
        const struct hl_page *page = w->job.watched[i].page;
        bool seen = !page->why[0] || atomic_load(&page->state) == HL_PAGE_STARTING;
        for (int k = 0; k < n; k++)
            seen |= told[k] == w->job.watched[i].pid;
        if (seen || n == HL_WATCHED_MAX)
            continue;
        told[n++] = w->job.watched[i].pid;
        fprintf(stderr, "hanglab watch: process %u %s: %.200s\n", page->pid,
                atomic_load(&page->state) == HL_PAGE_BLIND ? "is not watched" : "is watched in part",
                page->why);
    }
}

/*
 * Supervising
 */

/* Its exit status; a death by signal is a crash. Nothing of 128 or above leaves hanglab. */
static int status_of_command(int status)
{
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "hanglab watch: the command died of signal %d (%s)\n", WTERMSIG(status),
                strsignal(WTERMSIG(status)));
        return 2;
    }
    return WEXITSTATUS(status) < 128 ? WEXITSTATUS(status) : 2;
}

/* Whoever stopped or starved us (Ctrl-Z stops a whole job) did so to all: they get time to come back. */
static void forgive(struct watch *w, uint64_t at_ns)
{
    for (int i = 0; i < w->job.n; i++)
        w->job.watched[i].stopped_ns = at_ns;
}

static int supervise(struct watch *w)
{
    int status = 0;
    uint64_t looked_ns = 0, ticked_ns = now_ns();
    while (!hl_job_reap(&w->job, &status)) {
        const uint64_t at_ns = now_ns();
        if (at_ns - ticked_ns > AWAY_NS)
            forgive(w, at_ns);
        ticked_ns = at_ns;
        if (asked_to_end) {
            kill(w->job.pid, asked_to_end);
            asked_to_end = 0;
        }
        if (at_ns - looked_ns > LOOK_NS) {
            hl_job_look(&w->job);
            tell_blind(w);
            looked_ns = at_ns;
        }
        if (!w->stalled && is_stalled(w))
            report_stall(w);
        else if (w->stalled && !w->dumped && has_resumed(w))
            report_progress(w);
        if (w->stalled && w->kill)
            hl_job_kill();
        nanosleep(&(struct timespec){ .tv_nsec = TICK_NS }, NULL);
    }
    const int code = status_of_command(status);
    return w->stalled ? 1 : code;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct watch *w = state->input;
    static const char *const details[] = { "light", "core", "cupti", "node", "pc" };
    switch (key) {
    case 't':
        w->threshold_ns =
            strcmp(text, "auto") == 0 ? 0 : (uint64_t)(hl_option_duration_s(state, "threshold", text) * 1e9);
        return 0;
    case 'd':
        for (int i = HL_PAGE_LIGHT; i <= HL_PAGE_PC; i++)
            if (strcmp(text, details[i]) == 0) {
                w->detail = (enum hl_page_detail)i;
                return 0;
            }
        argp_error(state, "--detail is light, cupti, node, pc or core, and not '%s'", text);
        return 0;
    case 'k': w->kill = true; return 0;
    case 'o': w->out_dir = text; return 0;
    case ARGP_KEY_ARG:
        w->command = &state->argv[state->next - 1];
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which command is to be watched?"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    { "threshold", 't', "TIME", 0,
      "no progress for so long is a stall, e.g. 5s; auto (the default): 10 times the "
      "longest pause that ended, at least 5 s, at most 5 min" },
    { "detail", 'd', "LEVEL", 0,
      "light: driver calls and events (default); cupti: and graph launches; node: and "
      "every kernel, also in graphs; pc: graph launches, and samples with source lines; core: "
      "as light but without CUPTI, and a dump of the GPU, which ends the command's work there" },
    { "kill", 'k', NULL, 0, "end the command and all its children once a stall has been reported" },
    { "out", 'o', "DIR", 0, "where evidence goes (default: hanglab-out)" },
    { 0 }
};

static void join_command(struct watch *w)
{
    size_t n = 0;
    for (char **word = w->command; *word && n + 1 < sizeof w->title; word++)
        n += (size_t)snprintf(w->title + n, sizeof w->title - n, "%s%s", n ? " " : "", *word);
}

int hl_command_watch(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "[--] COMMAND [ARG...]",
        .doc =
            "Runs a command and watches the CUDA work of it and of its children, without a change to them. "
            "When no work ends for the threshold, it says which kernel does not end and which driver calls "
            "do not return, and leaves an evidence bundle.\v"
            "The exit status is the command's own, 1 when a stall still stood at its end, and 2 when it died "
            "of a signal, or with a status of 128 or more."
    };
    static struct watch w = { .out_dir = "hanglab-out" };
    struct hl_error error;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &w);
    join_command(&w);
    w.started_ns = now_ns();
    if (hl_job_start(&w.job, w.command, w.detail, &error) != HL_STATUS_OK)
        return hl_complain(&error);
    signal(SIGINT, SIG_IGN); /* the terminal sends it to the command, too */
    pass_on(SIGTERM);
    pass_on(SIGHUP);
    const int code = supervise(&w);
    report_finish(&w.report);
    free(w.bundle);
    hl_job_finish(&w.job);
    return code;
}
