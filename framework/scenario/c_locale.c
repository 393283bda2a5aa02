/* The C locale is created once and lives as long as the process. */
#include <pthread.h>
#include "c_locale.h"

static locale_t c_locale;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void create(void) { c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

locale_t hl_c_locale_enter(void)
{
    pthread_once(&once, create);
    return c_locale ? uselocale(c_locale) : (locale_t)0;
}

void hl_c_locale_leave(locale_t before)
{
    if (before)
        uselocale(before);
}
