/* What commands do with subjects from shared objects: put one into every case, list them, make them an axis.
 */
#pragma once
#include "../campaign/inputs.h"

/* Gives every case the subject; NULL: as its scenario says. Fails when there is no such file. */
enum hl_status hl_inputs_set_subject(struct hl_inputs *inputs, const char *name, struct hl_error *error);

/* Is `over` an axis of releases, such as flashinfer=0.6.2..0.6.15? */
bool hl_is_release_axis(const char *over);
/* The same axis over the parameter subject.plugin: the installed releases from the one to the other, to be
 * freed. */
enum hl_status hl_release_axis(const char *over, char **ret_over, struct hl_error *error);

/* Prints what each of the named subjects (all installed ones when there is none) says of itself. Each is
 * loaded in a child, which may crash. Returns an exit code. */
int hl_list_subjects(char **names, size_t n_names);
