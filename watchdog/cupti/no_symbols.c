/* Builds without CUPTI: PC samples of a page keep their addresses, and say why they have no lines. */
#include "symbols.h"
#include <stdio.h>

bool hl_symbolise(struct hl_page *page, const char *folder, char *why, size_t size)
{
    (void)page, (void)folder;
    snprintf(why, size, "source lines of PC samples need a build with CUPTI");
    return false;
}
