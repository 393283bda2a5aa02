/* Every header of the tree compiles alone, as C11: nobody has to know what to include before it. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct header {
    char path[PATH_MAX]; /* relative to the source root */
};

static const char *required_env(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL) {
        fprintf(stderr, "%s is not set; meson test sets it\n", name);
        exit(2);
    }
    return value;
}

/* CUDA headers (.cuh) are for nvcc. kernels/step.h includes one of its two bodies in its own middle, so
 * sim/step_sim.h is compiled there and not alone. */
#define STEP_BODY "kernels/sim/step_sim.h"
/* Includes CUDA's headers, which are not on every machine; its own suite compiles it where they are. */
#define GPU_HEADER "tests/fake_gpu.h"
static const char *const patterns[] = {
    "framework/include/hanglab/*.h",
    "framework/*/*.h",
    "framework/engine/sim/*.h",
    "kernels/*.h",
    "kernels/sim/*.h",
    "watchdog/*.h",
    "reports/*.h",
    "tests/*.h",
    "tests/bench/*.h",
};

/* The compiler's messages go to this suite's stderr. */
static bool compiles_alone(const char *path, const char *options)
{
    char command[3 * PATH_MAX];
    int length = snprintf(command, sizeof(command),
                          "cd '%s' && printf '#include \"%s\"\nextern int alone;\n' | "
                          "%s -std=c11 -Wall -Wextra -Werror -fsyntax-only -Iframework/include -I. %s -x c -",
                          required_env("HANGLAB_SOURCE"), path, required_env("HANGLAB_CC"), options);
    cr_assert_lt(length, (int)sizeof(command));
    return system(command) == 0;
}

/* All headers, as absolute paths; to be freed with globfree(). */
static glob_t find_headers(void)
{
    glob_t found = { 0 };
    const char *root = required_env("HANGLAB_SOURCE");
    for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++) {
        char pattern[PATH_MAX];
        snprintf(pattern, sizeof(pattern), "%s/%s", root, patterns[i]);
        glob(pattern, i == 0 ? 0 : GLOB_APPEND, NULL, &found);
    }
    return found;
}

static void free_headers(struct criterion_test_params *params) { cr_free(params->params); }

ParameterizedTestParameters(headers, compile_alone)
{
    glob_t found = find_headers();
    struct header *headers = cr_malloc((found.gl_pathc + 1) * sizeof(*headers));
    size_t n = 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *path = found.gl_pathv[i] + strlen(required_env("HANGLAB_SOURCE")) + 1;
        if (strcmp(path, STEP_BODY) != 0 && strcmp(path, GPU_HEADER) != 0)
            snprintf(headers[n++].path, PATH_MAX, "%s", path);
    }
    globfree(&found);
    return cr_make_param_array(struct header, headers, n, free_headers);
}

ParameterizedTest(struct header *header, headers, compile_alone)
{
    const char *options =
        strncmp(header->path, "framework/include/", 18) == 0 ? "-pedantic-errors" : "-D_GNU_SOURCE";
    cr_assert(compiles_alone(header->path, options), "%s does not compile alone (see above)", header->path);
}

Test(headers, are_found)
{
    glob_t found = find_headers();
    cr_assert_gt(found.gl_pathc, 20, "only %zu headers found", found.gl_pathc);
    globfree(&found);
}

Test(headers, a_broken_header_is_noticed)
{
    cr_assert(compiles_alone("kernels/words.h", ""));
    cr_assert_not(compiles_alone("kernels/words.h", "-Denum=broken 2>/dev/null"));
}
