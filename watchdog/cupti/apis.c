/* Names of the watched driver calls. */
#include "apis.h"
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    enum hl_api_kind kind;
} apis[] = {
#define X(name, kind) { #name, kind },
    HL_APIS(X)
#undef X
};

const char *hl_api_name(enum hl_api api) { return api < HL_API_COUNT ? apis[api].name : ""; }

enum hl_api_kind hl_api_kind(enum hl_api api)
{
    return api < HL_API_COUNT ? apis[api].kind : HL_API_BLOCKING;
}

/* _v2, _ptsz, _v2_ptds and the like, up to the end. */
static bool is_suffix(const char *text)
{
    static const char *const twins[] = { "_ptsz", "_ptds" };
    if (text[0] == '_' && text[1] == 'v' && text[2] >= '2' && text[2] <= '9')
        text += 3;
    for (size_t i = 0; i < sizeof twins / sizeof twins[0]; i++)
        if (strcmp(text, twins[i]) == 0)
            return true;
    return *text == '\0';
}

enum hl_api hl_api_of_name(const char *name)
{
    for (size_t i = 0; i < HL_API_COUNT; i++) {
        const size_t n = strlen(apis[i].name);
        if (strncmp(name, apis[i].name, n) == 0 && is_suffix(name + n))
            return (enum hl_api)i;
    }
    return HL_API_NONE;
}
