/* Opens the CUDA driver; see driver.h. */
#include "driver.h"
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

/* The name of a symbol after cuda.h's macros have given it its version. */
#define SYMBOL(name) SYMBOL_TEXT(name)
#define SYMBOL_TEXT(name) #name

/* Copies a symbol's address into a function pointer of the table: POSIX lets the two be the same bits. */
static bool look_up(void *library, const char *symbol, void *ret_function)
{
    void *address = dlsym(library, symbol);
    memcpy(ret_function, &address, sizeof address);
    return address != NULL;
}

enum hl_status hl_driver_load(struct hl_driver *driver, struct hl_error *error)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return hl_fail(error, HL_STATUS_NO_GPU, "no CUDA driver here (%s); --engine sim needs no GPU",
                       dlerror());
#define X(name) \
    if (!look_up(library, SYMBOL(name), &driver->name)) \
        return hl_fail(error, HL_STATUS_NO_GPU, \
                       "the CUDA driver here has no %s: it is older than hanglab needs", SYMBOL(name));
    HL_DRIVER_CALLS(X)
#undef X
#define X(name) driver->name = name;
    HL_LAUNCH_CALLS(X)
#undef X
    return HL_STATUS_OK;
}

enum hl_status hl_driver_check(const struct hl_driver *driver, int result, const char *what,
                               struct hl_error *error)
{
    const char *name = NULL;
    if (result == CUDA_SUCCESS)
        return HL_STATUS_OK;
    if (driver->cuGetErrorName((CUresult)result, &name) != CUDA_SUCCESS || !name)
        name = "an unknown CUDA error";
    return hl_fail(error, HL_STATUS_INTERNAL, "%s: %s (%d)", what, name, result);
}
