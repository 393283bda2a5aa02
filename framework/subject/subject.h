/* Subjects that come as shared objects: finding, loading and checking them, and reading their workspaces as
 * if they were hanglab's own.
 *
 * Loading runs somebody else's code, so it is done only in a process that may die: the CUDA engine's runner,
 * or a child of the command that lists subjects. Includes no CUDA header. */
#pragma once
#include <stdbool.h>
#include "hanglab/error.h"
#include "hanglab/subject.h"
#include "kernels/layout.h"

#define HL_SUBJECT_PATH_MAX 4096

/* The file of a subject. A name with a slash is a path; anything else, such as flashinfer@0.6.9, is a folder
 * with a subject.so in the folder of subjects. */
enum hl_status hl_subject_find(const char *name, char ret_path[HL_SUBJECT_PATH_MAX], struct hl_error *error);
/* The folder of subjects: $HANGLAB_SUBJECTS, else hanglab/subjects in the user's data folder. */
enum hl_status hl_subject_folder(char ret_path[HL_SUBJECT_PATH_MAX], struct hl_error *error);
/* Names of the subjects in that folder, sorted by version; NULL-terminated, to be freed with
 * hl_subject_names_free(). */
enum hl_status hl_subject_names(char ***ret_names, struct hl_error *error);
void hl_subject_names_free(char **names);

/* Opens the file and checks its descriptor. It stays open: kernels may still run when nobody calls it. */
enum hl_status hl_subject_load(const char *path, const struct hl_subject_plugin **ret_plugin,
                               struct hl_error *error);

/* Can the plugin take what calls of this shape ask for? */
enum hl_status hl_subject_check_shape(const struct hl_subject_plugin *plugin,
                                      const struct hl_subject_shape *shape, struct hl_error *error);
/* Asks for the layout and checks it: everything inside the workspace, nothing twice, the family's sentinel,
 * room for the calls. */
enum hl_status hl_subject_describe(const struct hl_subject_plugin *plugin, void *state,
                                   const struct hl_subject_shape *shape, struct hl_subject_layout *ret_layout,
                                   struct hl_error *error);

struct hl_subject_shape hl_subject_shape_of(const struct hl_layout *layout, uint32_t strategies);

/* A run of words that hanglab's layout of the family has at `first` and the plugin has at `at`. */
struct hl_subject_span {
    uint32_t first, words, at;
    bool of_rank_0; /* shared: it is in rank 0's workspace */
};
/* The flags, the barrier flags, and two halves of three buffers. */
#define HL_SUBJECT_SPANS_MAX (HL_SUBJECT_FLAGS_MAX + 1 + 6)
struct hl_subject_map {
    struct hl_subject_span spans[HL_SUBJECT_SPANS_MAX];
    int n;
};
void hl_subject_map_init(struct hl_subject_map *map, const struct hl_layout *layout,
                         const struct hl_subject_layout *subject);
/* The part of [first, first + count) that begins at `first`: where it is in the plugin's workspace and how
 * long. False: these `ret_span->words` words of the layout are nothing that the plugin has. */
bool hl_subject_map_find(const struct hl_subject_map *map, uint32_t first, uint32_t count,
                         struct hl_subject_span *ret_span);
