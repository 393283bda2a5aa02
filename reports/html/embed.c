/* A tool of the build: writes a C header that holds the pieces of the page as strings.
 *
 * embed OUT page.html page.css *.js: files of one kind are joined in the order given. */
#include <stdio.h>
#include <string.h>

static void write_string(FILE *in, FILE *out)
{
    int c;
    fputs("    \"", out);
    while ((c = getc(in)) != EOF) {
        switch (c) {
        case '\n': fputs("\\n\"\n    \"", out); break;
        case '"':
        case '\\':
        case '?': fprintf(out, "\\%c", c); break; /* ? begins a trigraph */
        default:
            if (c < 0x20 || c > 0x7e)
                fprintf(out, "\\%03o", (unsigned)c);
            else
                putc(c, out);
        }
    }
    fputs("\"\n", out);
}

int main(int argc, char **argv)
{
    static const char *const kinds[] = { "html", "css", "js" };
    FILE *out = argc > 1 ? fopen(argv[1], "w") : NULL;
    if (!out)
        return 1;
    fputs("/* Made of reports/html by the build. */\n#pragma once\n", out);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        fprintf(out, "static const char hl_page_%s[] =\n", kinds[k]);
        for (int i = 2; i < argc; i++) {
            const char *dot = strrchr(argv[i], '.');
            FILE *in = dot && strcmp(dot + 1, kinds[k]) == 0 ? fopen(argv[i], "r") : NULL;
            if (!in)
                continue;
            write_string(in, out);
            fclose(in);
        }
        fputs("    ;\n", out);
    }
    return fclose(out) ? 1 : 0;
}
