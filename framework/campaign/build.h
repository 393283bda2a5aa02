/* Which build of hanglab is running. */
#pragma once
#include <stdbool.h>

enum { HL_BUILD_TEXT = 33 };

/* A hash of the program's bytes, as text. False: they cannot be read. */
bool hl_build_text(char text[HL_BUILD_TEXT]);
