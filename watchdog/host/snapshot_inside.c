/* The side of a snapshot that is in the process that is looked at. All of the handler is safe in a signal
 * (signal-safety(7)), whatever its thread was at. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include "snapshot.h"

static struct hl_snapshot *own;

static void copy_registers(const ucontext_t *context, struct hl_snapshot *s)
{
#if defined __x86_64__ /* System V ABI for AMD64, figure 3.36 */
    static const int order[] = { REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                 REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                 REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP };
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        s->registers[i] = (uint64_t)context->uc_mcontext.gregs[order[i]];
    s->stack_at = (uint64_t)context->uc_mcontext.gregs[REG_RSP];
#elif defined __aarch64__
    for (int i = 0; i < 31; i++)
        s->registers[i] = context->uc_mcontext.regs[i];
    s->registers[31] = s->stack_at = context->uc_mcontext.sp;
    s->registers[32] = context->uc_mcontext.pc;
#endif
}

/* By way of /proc, because a copy from beyond the stack's end would be a fault; a read ends there. */
static void copy_stack(struct hl_snapshot *s)
{
    const int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? 0 : pread(fd, s->stack, sizeof s->stack, (off_t)s->stack_at);
    s->stack_bytes = n > 0 ? (uint32_t)n : 0;
    if (fd >= 0)
        close(fd);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    const int before = errno;
    uint32_t tid = (uint32_t)syscall(SYS_gettid);
    if (atomic_compare_exchange_strong(&own->wanted, &tid, 0)) {
        copy_registers(context, own);
        copy_stack(own);
        atomic_store(&own->done, 1);
    }
    errno = before;
}

void hl_snapshot_allow(struct hl_snapshot *snapshot)
{
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK },
                     before;
    own = snapshot;
    for (int number = SIGRTMAX - 3; number > SIGRTMIN + 3; number--) {
        if (sigaction(number, NULL, &before) < 0 || before.sa_handler != SIG_DFL ||
            sigaction(number, &action, NULL) < 0)
            continue;
        snapshot->signal = number;
        return;
    }
}
