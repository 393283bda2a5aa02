/* Reading JSON that may be foreign or damaged: a bundle's files, and lines of results. */
#pragma once
#include <jansson.h>

/* Members of objects: "" and -1 when they are not there or of another type. */
const char *hl_json_text(const json_t *object, const char *key);
long long hl_json_number(const json_t *object, const char *key);

/* A string of bytes that may not be UTF-8: what is not becomes '?'. NULL when out of memory. */
json_t *hl_json_string_of_bytes(const char *bytes, size_t size);
/* The text of a whole file as such a string, at most `size_max` bytes of it; NULL when it cannot be read. */
json_t *hl_json_text_file(const char *folder, const char *name, size_t size_max);
