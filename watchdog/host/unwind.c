/* libdwfl: finds the ELF file of every mapping, unwinds by its call frame information (by frame pointers
 * where it has none), and finds symbols and source lines. Never asks a debuginfod server: a collection has a
 * second.
 */
#include "unwind.h"
#include <elfutils/libdwfl.h>
#include <stdlib.h>
#include <string.h>
#include "process.h"

/* Separate debug information by build-id, as distributions install it. dwfl_standard_find_debuginfo() would
 * go on to the network. */
static const Dwfl_Callbacks callbacks = { .find_elf = dwfl_linux_proc_find_elf,
                                          .find_debuginfo = dwfl_build_id_find_debuginfo };

void *hl_unwind_open(int pid)
{
    Dwfl *dwfl = dwfl_begin(&callbacks);
    if (!dwfl)
        return NULL;
    /* `true`: threads are stopped by us, libdwfl must not attach with its own SIGSTOP. */
    if (dwfl_linux_proc_report(dwfl, pid) == 0 && dwfl_report_end(dwfl, NULL, NULL) == 0 &&
        dwfl_linux_proc_attach(dwfl, pid, true) == 0)
        return dwfl;
    dwfl_end(dwfl);
    return NULL;
}

void hl_unwind_close(void *symbols) { dwfl_end(symbols); }

struct walk {
    struct hl_thread_stack *thread;
    int frames_max;
    uint64_t deadline_ns;
};

static void end_early(struct hl_thread_stack *thread, const char *why)
{
    snprintf(thread->why_not, sizeof thread->why_not, "%s", why);
}

/* A return address lies behind its call, which may be the last instruction of its function: one byte less
 * lies in the call. The pc of the innermost frame, and of one that a signal interrupted, is exact. */
static int take_frame(Dwfl_Frame *state, void *user)
{
    struct walk *walk = user;
    struct hl_thread_stack *thread = walk->thread;
    Dwarf_Addr pc;
    bool exact;
    if (thread->n_frames == walk->frames_max) {
        end_early(thread, "more frames than are kept");
        return DWARF_CB_ABORT;
    }
    if (hl_process_now_ns() > walk->deadline_ns) {
        end_early(thread, "the time for stacks was over");
        return DWARF_CB_ABORT;
    }
    if (!dwfl_frame_pc(state, &pc, &exact))
        return DWARF_CB_ABORT;
    if (pc == 0)
        return DWARF_CB_OK;
    thread->frames[thread->n_frames++] = (struct hl_frame){ .pc = exact ? pc : pc - 1 };
    return DWARF_CB_OK;
}

void hl_unwind_thread(void *symbols, int frames_max, uint64_t deadline_ns, struct hl_thread_stack *thread)
{
    struct walk walk = { .thread = thread, .frames_max = frames_max, .deadline_ns = deadline_ns };
    thread->frames = calloc((size_t)frames_max, sizeof thread->frames[0]);
    if (!thread->frames) {
        end_early(thread, "out of memory");
        return;
    }
    if (dwfl_getthread_frames(symbols, thread->tid, take_frame, &walk) < 0 && !thread->why_not[0])
        snprintf(thread->why_not, sizeof thread->why_not, "no further: %.64s", dwfl_errmsg(-1));
}

/*
 * Names
 */

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void name_frame(Dwfl *dwfl, bool with_line, struct hl_frame *frame)
{
    Dwfl_Module *module = dwfl_addrmodule(dwfl, frame->pc);
    if (!module)
        return;
    Dwarf_Addr start;
    GElf_Sym symbol;
    GElf_Off offset;
    const char *path;
    dwfl_module_info(module, NULL, &start, NULL, NULL, NULL, &path, NULL);
    if (!path)
        path = dwfl_module_info(module, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    frame->object = file_name(path);
    frame->offset = frame->pc - start;
    const char *name = dwfl_module_addrinfo(module, frame->pc, &offset, &symbol, NULL, NULL, NULL);
    if (name) {
        frame->function = name;
        frame->offset = offset;
    }
    Dwfl_Line *line = with_line ? dwfl_module_getsrc(module, frame->pc) : NULL;
    if (line)
        frame->file = dwfl_lineinfo(line, NULL, &frame->line, NULL, NULL, NULL);
}

static bool starts_with(const char *text, const char *start)
{
    return text && strncmp(text, start, strlen(start)) == 0;
}

static bool is_driver(const struct hl_frame *frame) { return starts_with(frame->object, "libcuda.so"); }

/* NVIDIA's libraries between a program and its driver. The runtime is often linked into the program itself,
 * and there it is told by its names. */
static bool is_runtime(const struct hl_frame *frame)
{
    return starts_with(frame->object, "libcudart") || starts_with(frame->object, "libcupti") ||
           starts_with(frame->function, "cuda") || starts_with(frame->function, "__cuda") ||
           starts_with(frame->function, "libcudart_static");
}

/* libcuda.so exports its entry points and names nothing else: the outermost of its frames is the entry, if
 * its name is known at all. */
static void find_driver_call(struct hl_thread_stack *thread)
{
    thread->driver_frame = thread->caller_frame = -1;
    for (int i = 0; i < thread->n_frames; i++) {
        const struct hl_frame *frame = &thread->frames[i];
        if (is_driver(frame))
            thread->driver_frame = i;
        else if (thread->driver_frame >= 0 && !is_runtime(frame)) {
            thread->caller_frame = i;
            return;
        }
    }
}

void hl_unwind_name(void *symbols, struct hl_thread_stack *thread, uint64_t deadline_ns)
{
    for (int i = 0; i < thread->n_frames; i++)
        name_frame(symbols, hl_process_now_ns() < deadline_ns, &thread->frames[i]);
    find_driver_call(thread);
}
