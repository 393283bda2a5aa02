/* libdwfl: finds the ELF file of every mapping, unwinds by its call frame information (by frame pointers
 * where it has none), and finds symbols and source lines. Never asks a debuginfod server: a collection has a
 * second.
 */
#include "unwind.h"
#include <elf.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include "process.h"

/* Separate debug information by build-id, as distributions install it. dwfl_standard_find_debuginfo() would
 * go on to the network. */
static const Dwfl_Callbacks callbacks = { .find_elf = dwfl_linux_proc_find_elf,
                                          .find_debuginfo = dwfl_build_id_find_debuginfo };

struct symbols {
    Dwfl *dwfl;
    const struct hl_snapshot *snapshot; /* that is being unwound; NULL: a thread that is held */
};

/* libdwfl's own attachment asserts that no thread it reads ever vanishes (linux-pid-attach.c, elfutils
 * 0.188), so memory and registers of the held threads are read here. */
static bool read_word(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *ret_word, void *user)
{
    const struct hl_snapshot *snapshot = ((const struct symbols *)user)->snapshot;
    if (snapshot) {
        const uint64_t at = address - snapshot->stack_at;
        const bool there = address >= snapshot->stack_at && at + sizeof *ret_word <= snapshot->stack_bytes;
        if (there)
            memcpy(ret_word, snapshot->stack + at, sizeof *ret_word);
        return there;
    }
    struct iovec to = { ret_word, sizeof *ret_word },
                 from = { (void *)(uintptr_t)address, sizeof *ret_word }; // NOLINT: another address space
    return process_vm_readv(dwfl_pid(dwfl), &to, 1, &from, 1, 0) == sizeof *ret_word;
}

static bool set_registers_of(Dwfl_Thread *thread, const struct hl_snapshot *snapshot)
{
    Dwarf_Word dwarf[HL_SNAPSHOT_REGISTERS];
    for (int i = 0; i < HL_SNAPSHOT_REGISTERS; i++)
        dwarf[i] = snapshot->registers[i];
#if defined __x86_64__
    return dwfl_thread_state_registers(thread, 0, 17, dwarf);
#else
    dwfl_thread_state_register_pc(thread, dwarf[32]);
    return dwfl_thread_state_registers(thread, 0, 32, dwarf);
#endif
}

static bool set_registers(Dwfl_Thread *thread, void *user)
{
    const struct hl_snapshot *snapshot = ((const struct symbols *)user)->snapshot;
    struct user_regs_struct regs;
    struct iovec to = { &regs, sizeof regs };
    if (snapshot)
        return set_registers_of(thread, snapshot);
    if (ptrace(PTRACE_GETREGSET, dwfl_thread_tid(thread), (void *)NT_PRSTATUS, &to) < 0)
        return false;
#if defined __x86_64__ /* in the order of DWARF (System V ABI for AMD64, figure 3.36) */
    const Dwarf_Word dwarf[] = { regs.rax, regs.rdx, regs.rcx, regs.rbx, regs.rsi, regs.rdi,
                                 regs.rbp, regs.rsp, regs.r8,  regs.r9,  regs.r10, regs.r11,
                                 regs.r12, regs.r13, regs.r14, regs.r15, regs.rip };
    return dwfl_thread_state_registers(thread, 0, sizeof dwarf / sizeof dwarf[0], dwarf);
#elif defined __aarch64__
    Dwarf_Word dwarf[32];
    for (int i = 0; i < 31; i++)
        dwarf[i] = regs.regs[i];
    dwarf[31] = regs.sp;
    dwfl_thread_state_register_pc(thread, regs.pc);
    return dwfl_thread_state_registers(thread, 0, 32, dwarf);
#else
    return false;
#endif
}

/* The only thread there is: threads are asked for one by one. */
static pid_t no_thread(Dwfl *dwfl, void *user, void **thread_argument)
{
    (void)dwfl, (void)user, (void)thread_argument;
    return 0;
}

static bool this_thread(Dwfl *dwfl, pid_t tid, void *user, void **thread_argument)
{
    (void)dwfl, (void)tid;
    *thread_argument = user;
    return true;
}

static const Dwfl_Thread_Callbacks held_threads = { .next_thread = no_thread,
                                                    .get_thread = this_thread,
                                                    .memory_read = read_word,
                                                    .set_initial_registers = set_registers };

void *hl_unwind_open(int pid, int *ret_error)
{
    struct symbols *symbols = calloc(1, sizeof *symbols);
    if (symbols)
        symbols->dwfl = dwfl_begin(&callbacks);
    *ret_error = symbols && symbols->dwfl ? dwfl_linux_proc_report(symbols->dwfl, pid) : ENOMEM;
    if (*ret_error == 0 && dwfl_report_end(symbols->dwfl, NULL, NULL) == 0 &&
        dwfl_attach_state(symbols->dwfl, NULL, pid, &held_threads, symbols))
        return symbols;
    if (symbols)
        hl_unwind_close(symbols);
    return NULL;
}

void hl_unwind_close(void *symbols)
{
    dwfl_end(((struct symbols *)symbols)->dwfl);
    free(symbols);
}

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

void hl_unwind_thread(void *user, const struct hl_snapshot *snapshot, int frames_max, uint64_t deadline_ns,
                      struct hl_thread_stack *thread)
{
    struct symbols *symbols = user;
    struct walk walk = { .thread = thread, .frames_max = frames_max, .deadline_ns = deadline_ns };
    thread->frames = calloc((size_t)frames_max, sizeof thread->frames[0]);
    if (!thread->frames) {
        end_early(thread, "out of memory");
        return;
    }
    symbols->snapshot = snapshot;
    if (dwfl_getthread_frames(symbols->dwfl, thread->tid, take_frame, &walk) < 0 && !thread->why_not[0])
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

/* NVIDIA's code between a program and its driver. The runtime is often linked into the program itself, as are
 * the stubs of kernels; there they are told by their names, mangled ones included. */
static bool is_runtime(const struct hl_frame *frame)
{
    return starts_with(frame->object, "libcudart") || starts_with(frame->object, "libcupti") ||
           starts_with(frame->function, "cuda") || starts_with(frame->function, "libcudart_static") ||
           (frame->function &&
            (strstr(frame->function, "__cuda") || strstr(frame->function, "__device_stub__")));
}

/* libcuda.so exports its entry points and names nothing else: the outermost of its frames is the entry. A
 * thread whose outermost has no name is one of the driver's own. */
static void find_driver_call(struct hl_thread_stack *thread)
{
    int entry = -1;
    for (int i = 0; i < thread->n_frames; i++) {
        const struct hl_frame *frame = &thread->frames[i];
        if (starts_with(frame->object, "libcuda.so"))
            entry = i;
        else if (entry >= 0 && !is_runtime(frame)) {
            if (starts_with(thread->frames[entry].function, "cu")) {
                thread->driver_frame = entry;
                thread->caller_frame = i;
            }
            return;
        }
    }
    if (entry >= 0 && starts_with(thread->frames[entry].function, "cu"))
        thread->driver_frame = entry;
}

void hl_unwind_name(void *user, struct hl_thread_stack *thread, uint64_t deadline_ns)
{
    const struct symbols *symbols = user;
    for (int i = 0; i < thread->n_frames; i++)
        name_frame(symbols->dwfl, hl_process_now_ns() < deadline_ns, &thread->frames[i]);
    find_driver_call(thread);
}
