/* The arguments of known kernels. They are copied while the launch that has them is under way, because what
 * its caller points to is gone behind it; a node of a captured graph has those of the launch that became it.
 */
#include "inside.h"
#include <string.h>

#define SHAPES 64 /* known kernels with arguments: instances of a few templates */
#define PARAMS_MAX 16

/* Where the driver puts a kernel's arguments. Asked for once. */
static struct shape {
    _Atomic uint32_t kernel; /* its index + 1; 0: free */
    _Atomic bool ready;
    uint32_t n;
    size_t at[PARAMS_MAX], bytes[PARAMS_MAX];
} shapes[SHAPES];

/* What the program launches is a CUkernel at times. */
static CUresult param_info(CUfunction function, size_t i, size_t *at, size_t *bytes)
{
    const CUresult result = hl_watcher.cupti.cuFuncGetParamInfo(function, i, at, bytes);
    return result == CUDA_SUCCESS
               ? result
               : hl_watcher.cupti.cuKernelGetParamInfo((CUkernel)(uintptr_t)function, i, at, bytes);
}

static const struct shape *shape_of(uint32_t kernel, CUfunction function)
{
    for (int i = 0; i < SHAPES; i++) {
        struct shape *s = &shapes[i];
        uint32_t taken = 0;
        if (atomic_compare_exchange_strong(&s->kernel, &taken, kernel + 1)) {
            while (s->n < PARAMS_MAX &&
                   param_info(function, s->n, &s->at[s->n], &s->bytes[s->n]) == CUDA_SUCCESS)
                s->n++;
            hl_page_known(hl_watcher.page, kernel, s->n, (uint32_t)s->bytes[0]);
            atomic_store(&s->ready, true);
            return s;
        }
        if (taken == kernel + 1)
            return atomic_load(&s->ready) ? s : NULL; /* another thread has just begun to ask */
    }
    return NULL;
}

static void copy(uint8_t bytes[HL_KNOWN_BYTES_MAX], size_t at, const void *from, size_t size)
{
    if (at < HL_KNOWN_BYTES_MAX && from)
        memcpy(bytes + at, from, size < HL_KNOWN_BYTES_MAX - at ? size : HL_KNOWN_BYTES_MAX - at);
}

/* All arguments in one piece: pairs of a name and a pointer, up to an end. */
static void copy_buffer(uint8_t bytes[HL_KNOWN_BYTES_MAX], void *const *extra)
{
    const void *buffer = NULL;
    size_t size = 0;
    for (int i = 0; extra[i] != CU_LAUNCH_PARAM_END; i += 2) {
        if (extra[i] == CU_LAUNCH_PARAM_BUFFER_POINTER)
            buffer = extra[i + 1];
        else if (extra[i] == CU_LAUNCH_PARAM_BUFFER_SIZE)
            size = *(const size_t *)extra[i + 1];
    }
    copy(bytes, 0, buffer, size);
}

uint64_t hl_params_of(uint32_t kernel, CUcontext context, CUfunction function, const uint32_t grid[3],
                      void *const *params, void *const *extra)
{
    uint8_t bytes[HL_KNOWN_BYTES_MAX] = { 0 };
    const struct shape *shape = shape_of(kernel, function);
    if (!shape)
        return 0;
    if (params) {
        for (uint32_t i = 0; i < shape->n; i++)
            copy(bytes, shape->at[i], params[i], shape->bytes[i]);
    } else if (extra) {
        copy_buffer(bytes, extra);
    }
    return hl_page_params(hl_watcher.page, (uint64_t)(uintptr_t)context, kernel, grid, bytes);
}
