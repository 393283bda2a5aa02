/* See terminal.h. */
#include "terminal.h"
#include <sys/ioctl.h>
#include <unistd.h>

int hl_text_columns(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return 120;
    return size.ws_col < 80 ? 80 : size.ws_col > 120 ? 120 : size.ws_col;
}
