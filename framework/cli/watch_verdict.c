/* What a stall of a watched command is: from the device evidence of its processes alone. */
#include <stdio.h>
#include <string.h>
#include "../../reports/demangle.h"
#include "../verdict/findings.h"
#include "watch_bundle.h"

/* The process that tells most: one whose device does not end something, the earliest first; then one in a
 * driver call; then one that does not answer. */
static int most_telling(const struct hl_watch_report *report)
{
    int best = -1;
    for (int i = 0; i < report->n; i++) {
        const struct hl_stall *stall = &report->processes[i].device.stall,
                              *other = best < 0 ? NULL : &report->processes[best].device.stall;
        if (stall->kind != HL_STALL_NONE &&
            (!other || stall->kind < other->kind ||
             (stall->kind == other->kind && stall->since_ns < other->since_ns)))
            best = i;
    }
    return best;
}

/* The kernel of a GPU core that polls; NULL: none is seen to. */
static const struct hl_core_grid *polling_grid(const struct hl_watch_process *p)
{
    for (uint32_t i = 0; p->has_core && i < p->core.n_grids; i++)
        if (p->core.grids[i].kernel && p->core.grids[i].side_lanes[HL_CORE_IN] > 0)
            return &p->core.grids[i];
    return NULL;
}

static int describe_kernel(const struct hl_watch_process *p, char *text, size_t size)
{
    const struct hl_device_evidence *d = &p->device;
    const struct hl_unfinished *u = &d->unfinished;
    const struct hl_core_grid *grid = polling_grid(p);
    const char *name = grid ? grid->kernel : d->kernel;
    char plain[HL_DEMANGLED_MAX];
    int n = snprintf(text, size, "%s%s", name[0] ? "kernel " : "a kernel that this detail does not name",
                     hl_demangle(name, plain));
    if (grid)
        n += snprintf(text + n, size - (size_t)n, " (grid %ux%ux%u)", grid->grid[0], grid->grid[1],
                      grid->grid[2]);
    else if (u->known && u->launch.kernel != HL_PAGE_NONE)
        n += snprintf(text + n, size - (size_t)n, " (grid %ux%ux%u)", u->launch.grid[0], u->launch.grid[1],
                      u->launch.grid[2]);
    else if (u->node != HL_PAGE_NONE)
        n += snprintf(text + n, size - (size_t)n, " (node %u of a graph with %u kernels)", u->node, u->nodes);
    else if (u->known && u->nodes > 0)
        n += snprintf(text + n, size - (size_t)n, " (in a graph with %u kernels)", u->nodes);
    else if (u->known)
        n += snprintf(text + n, size - (size_t)n, " (in a graph)");
    return n;
}

static void describe_lanes(const struct hl_core_grid *grid, char *text, size_t size)
{
    const struct hl_core_place *first = &grid->places[0];
    if (first->file)
        snprintf(text, size, "; %u of its lanes poll, at %s:%d", grid->side_lanes[HL_CORE_IN], first->file,
                 first->line);
    else
        snprintf(text, size, "; %u of its lanes poll", grid->side_lanes[HL_CORE_IN]);
}

static void describe_device(const struct hl_watch_process *p, const char *who, struct hl_finding *f)
{
    const struct hl_device_evidence *d = &p->device;
    const struct hl_core_grid *grid = polling_grid(p);
    char kernel[320];
    describe_kernel(p, kernel, sizeof kernel);
    int n = snprintf(f->summary, sizeof f->summary, "%s: %s does not end", who, kernel);
    if (d->stall.kind == HL_STALL_SILENT && d->n_calls)
        n += snprintf(f->summary + n, sizeof f->summary - (size_t)n,
                      ", and the driver holds the watchdog thread as it holds %s",
                      hl_api_name(d->calls[0].api));
    if (d->unfinished.device == HL_DEVICE_IDLE)
        n += snprintf(f->summary + n, sizeof f->summary - (size_t)n, "; no kernel executes anything");
    if (n > 0 && (size_t)n < sizeof f->summary && d->n_lines > 0 && d->lines[0].line)
        n += snprintf(f->summary + n, sizeof f->summary - (size_t)n, "; it executes %s:%u", d->lines[0].file,
                      d->lines[0].line);
    if (n > 0 && (size_t)n < sizeof f->summary && grid)
        describe_lanes(grid, f->summary + n, sizeof f->summary - (size_t)n);
}

void hl_watch_classify(const struct hl_watch_report *report, struct hl_finding *f)
{
    const int at = most_telling(report);
    if (hl_watch_classify_worlds(report, f))
        return;
    *f = (struct hl_finding){ .verdict = report->resumed_ns ? HL_VERDICT_SLOW : HL_VERDICT_HANG,
                              .cause = HL_CAUSE_UNKNOWN,
                              .certainty = HL_CERTAINTY_SUSPECTED,
                              .other_cause = HL_CAUSE_NONE };
    hl_blame_nobody(&f->culprit);
    f->culprit.rank = at;
    if (at < 0)
        return;
    const struct hl_watch_process *p = &report->processes[at];
    const struct hl_device_evidence *d = &p->device;
    char who[64];
    snprintf(who, sizeof who, "process %d (%u)", at, d->pid);
    if (d->stall.stream != HL_PAGE_NONE) {
        const bool idle = d->unfinished.device == HL_DEVICE_IDLE;
        f->cause = idle ? HL_CAUSE_DRIVER_STALL : HL_CAUSE_FOREIGN_KERNEL;
        if (d->unfinished.device != HL_DEVICE_UNKNOWN || (d->unfinished.by_record && d->kernel[0]) ||
            polling_grid(p))
            f->certainty = HL_CERTAINTY_OBSERVED;
        if (d->unfinished.node != HL_PAGE_NONE)
            f->culprit.node = (int)d->unfinished.node;
        describe_device(p, who, f);
    } else if (d->stall.kind == HL_STALL_HOST) {
        f->cause = HL_CAUSE_DRIVER_STALL;
        f->certainty = HL_CERTAINTY_OBSERVED;
        snprintf(f->summary, sizeof f->summary, "%s: %s does not return, and no launch is pending", who,
                 d->n_calls ? hl_api_name(d->calls[0].api) : "a driver call");
    } else {
        f->cause = HL_CAUSE_DRIVER_STALL;
        snprintf(f->summary, sizeof f->summary,
                 "%s: its watchdog thread has not come back from the driver since; nothing else can be known "
                 "of it",
                 who);
    }
}
