/* Numbers are read and written with a decimal point whatever locale the calling program has set: while a
 * scenario is read or written, the thread uses the C locale. */
#pragma once
#include <locale.h>

/* Returns what hl_c_locale_leave takes. */
locale_t hl_c_locale_enter(void);
void hl_c_locale_leave(locale_t before);
