/* `hanglab schema`: the scenario format for editors and validators. */
#include <argp.h>
#include <stdio.h>
#include "../scenario/scenario.h"
#include "command.h"

int hl_command_schema(int argc, char **argv)
{
    static const struct argp argp = { .doc = "Prints the whole format of scenario files as JSON Schema." };
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    hl_schema_write(stdout);
    return hl_finish_output(0);
}
