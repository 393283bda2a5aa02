/* One value: from text to its place in a struct and back, as its field row says. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "fields.h"
#include "yaml.h"

enum { HL_VALUE_TEXT_MAX = 1024 };

/* Sets the value from a node; false, reported, when the node does not hold such a value. */
bool hl_value_read(const struct hl_field *field, const struct hl_node *node, void *base,
                   struct hl_diagnostics *diagnostics);
/* Sets every value of the table to its default. */
void hl_values_init(const struct hl_field_table *table, void *base);
/* Was the value given, or has it a default? Absent ones are not written. */
bool hl_value_is_present(const struct hl_field *field, const void *base);
/* The canonical text: equal values have equal texts, and reading the text gives the value again. */
void hl_value_format(const struct hl_field *field, const void *base, char text[HL_VALUE_TEXT_MAX]);
/* "an integer from 1 to 256": what the field takes. */
void hl_field_expectation(const struct hl_field *field, char *text, size_t size);
/* A duration's canonical text, such as 20ms. */
void hl_duration_format(uint64_t duration_ns, char *text, size_t size);
