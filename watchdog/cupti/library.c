/* Looks for libcupti where an installation, a bundle or a toolkit has it. */
#include "library.h"
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The folder of the file that this code is in: its own library, or the program. */
static const char *own_folder(char path[PATH_MAX])
{
    Dl_info info;
    if (!dladdr((void *)(uintptr_t)hl_cupti_load, &info) || !info.dli_fname ||
        !realpath(info.dli_fname, path))
        return NULL;
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = '\0';
    return path;
}

static void *open_in(const char *folder, const char *below, const char *name)
{
    char path[PATH_MAX];
    if (!folder || snprintf(path, sizeof path, "%s/%s%s", folder, below, name) >= (int)sizeof path)
        return NULL;
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

/* One that the program has already loaded is taken first: two of them would not know of each other. */
static void *open_cupti(void)
{
    static const char *const names[] = { "libcupti.so.13", "libcupti.so" };
    char path[PATH_MAX];
    const char *own = own_folder(path);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        void *library = dlopen(names[i], RTLD_NOW | RTLD_NOLOAD);
        if (!library)
            library = open_in(own, "", names[i]);
        if (!library)
            library = open_in(own, "../lib/", names[i]);
        if (!library)
            library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (!library)
            library = open_in("/usr/local/cuda", "lib64/", names[i]);
        if (!library)
            library = open_in("/usr/local/cuda", "extras/CUPTI/lib64/", names[i]);
        if (library)
            return library;
    }
    return NULL;
}

#define HL_TEXT_(x) #x
#define HL_TEXT(x) HL_TEXT_(x)

static bool take(void *library, const char *name, void *at, char *why, size_t size)
{
    void *symbol = dlsym(library, name);
    if (!symbol)
        snprintf(why, size, "%s is missing: CUPTI of CUDA 13 or later and its driver are needed", name);
    memcpy(at, &symbol, sizeof symbol);
    return symbol != NULL;
}

bool hl_cupti_load(struct hl_cupti *cupti, char *why, size_t size)
{
    void *library = open_cupti();
    if (!library) {
        snprintf(why, size,
                 "libcupti.so.13 cannot be opened (%s); it comes with the CUDA 13 toolkit: name its "
                 "folder in LD_LIBRARY_PATH",
                 dlerror());
        return false;
    }
#define X(name) \
    if (!take(library, #name, &cupti->name, why, size)) \
        return false;
    HL_CUPTI_CALLS(X)
#undef X
    return true;
}

bool hl_cupti_load_driver(struct hl_cupti *cupti, char *why, size_t size)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!driver) {
        snprintf(why, size, "libcuda.so.1 cannot be opened: %s", dlerror());
        return false;
    }
    /* cuda.h's macros give the versioned names. */
#define X(name) \
    if (!take(driver, HL_TEXT(name), &cupti->name, why, size)) \
        return false;
    HL_WATCH_DRIVER_CALLS(X)
#undef X
    return true;
}
