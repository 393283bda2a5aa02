/* C++ names as people write them. The C++ library is opened if it is there: hanglab is C and must not need
 * it. */
#include "demangle.h"
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef char *(*demangle_fn)(const char *name, char *buffer, size_t *size, int *ret_status);

static demangle_fn find_demangler(void)
{
    static bool looked;
    static demangle_fn found;
    if (!looked) {
        void *library = dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL);
        void *symbol = library ? dlsym(library, "__cxa_demangle") : NULL;
        memcpy(&found, &symbol, sizeof found);
        looked = true;
    }
    return found;
}

/* Templates of allreduces have arguments by the dozen: they are cut after so many letters. */
#define SHOWN_MAX 96

const char *hl_demangle(const char *name, char text[HL_DEMANGLED_MAX])
{
    int status = -1;
    const demangle_fn demangle = strncmp(name, "_Z", 2) == 0 ? find_demangler() : NULL;
    char *plain = demangle ? demangle(name, NULL, NULL, &status) : NULL;
    if (status != 0 || !plain)
        snprintf(text, HL_DEMANGLED_MAX, "%s", name);
    else if (strlen(plain) <= SHOWN_MAX)
        snprintf(text, HL_DEMANGLED_MAX, "%s", plain);
    else
        snprintf(text, HL_DEMANGLED_MAX, "%.*s..", SHOWN_MAX, plain);
    free(plain);
    return text;
}
