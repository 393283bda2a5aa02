/* Nothing here trusts what it reads. */
#include "json.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *hl_json_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

long long hl_json_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (long long)json_integer_value(value) : -1;
}

json_t *hl_json_string_of_bytes(const char *bytes, size_t size)
{
    json_t *string = json_stringn(bytes, size);
    if (string)
        return string;
    char *ascii = malloc(size + 1);
    if (!ascii)
        return NULL;
    for (size_t i = 0; i < size; i++)
        ascii[i] = (unsigned char)bytes[i] < 0x80 ? bytes[i] : '?';
    string = json_stringn(ascii, size);
    free(ascii);
    return string;
}

json_t *hl_json_text_file(const char *folder, const char *name, size_t size_max)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return NULL;
    FILE *file = fopen(path, "re");
    char *bytes = file ? malloc(size_max) : NULL;
    json_t *text = NULL;
    if (bytes) {
        const size_t size = fread(bytes, 1, size_max, file);
        text = ferror(file) ? NULL : hl_json_string_of_bytes(bytes, size);
    }
    free(bytes);
    if (file)
        fclose(file);
    return text;
}
