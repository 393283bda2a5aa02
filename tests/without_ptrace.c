/* Runs a command that may trace nobody. */
#include <stdio.h>
#include <unistd.h>
#include "no_ptrace.h"

int main(int argc, char **argv)
{
    if (argc < 2 || forbid_ptrace() < 0)
        return 90;
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    return 91;
}
