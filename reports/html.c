/* Puts data into the page's template. Everything from outside goes in as JSON whose `<` is escaped, so that
 * no name can end a script element, and the page's script makes text of it, never markup. */
#include "html.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "../framework/include/hanglab/causes.h"
#include "bundle_page.h"
#include "page.h" /* made of html/ by the build */

static const struct {
    const char *name, *meaning, *evidence, *hint, *incidents;
} causes[] = {
#define ROW(id, name, meaning, evidence, hint, incidents) { name, meaning, evidence, hint, incidents },
    HL_CAUSES(ROW)
#undef ROW
};

struct page {
    FILE *out;
    size_t size; /* so far, of the data */
};

static int put(const char *text, size_t size, void *user)
{
    struct page *page = user;
    page->size += size;
    for (const char *at = text, *end = text + size; at < end;) {
        const char *less = memchr(at, '<', (size_t)(end - at));
        const size_t plain = (size_t)((less ? less : end) - at);
        if (fwrite(at, 1, plain, page->out) != plain || (less && fputs("\\u003c", page->out) == EOF))
            return -1;
        at += plain + (less != NULL);
    }
    return 0;
}

static void write_data(struct page *page, const char *id, const json_t *json)
{
    fprintf(page->out, "<script type=\"application/json\" id=\"%s\">", id);
    json_dump_callback(json, put, page, JSON_COMPACT | JSON_REAL_PRECISION(6));
    fputs("</script>\n", page->out);
}

/* The rows of the cause table that the cases need. */
static json_t *causes_json(const struct hl_collection *c)
{
    json_t *used = json_object();
    size_t k;
    json_t *line;
    json_array_foreach(c->cases, k,
                       line) for (size_t i = 0; i < sizeof causes / sizeof causes[0];
                                  i++) if (strcmp(causes[i].name, hl_json_text(line, "cause")) == 0 &&
                                           !json_object_get(used, causes[i].name))
        json_object_set_new(used, causes[i].name,
                            json_pack("{s:s, s:s, s:s, s:s}", "meaning", causes[i].meaning, "evidence",
                                      causes[i].evidence, "hint", causes[i].hint, "incidents",
                                      causes[i].incidents));
    return used;
}

static int write_all_data(const struct hl_collection *c, FILE *out)
{
    struct page page = { .out = out };
    json_t *main =
        json_pack("{s:O, s:O, s:O?, s:o, s:I}", "cases", c->cases, "explored", c->explored, "summary",
                  c->summary, "causes", causes_json(c), "bundles", (json_int_t)c->n_bundles);
    if (!main)
        return -1;
    write_data(&page, "data", main);
    json_decref(main);
    for (size_t i = 0; i < c->n_bundles; i++) {
        char id[32];
        json_t *bundle = hl_bundle_page_json(c->bundles[i], page.size < HL_HTML_BYTES_MAX);
        if (!bundle)
            bundle = json_pack("{s:s}", "path", c->bundles[i]); /* damaged: the page says so */
        snprintf(id, sizeof id, "bundle-%zu", i);
        write_data(&page, id, bundle);
        json_decref(bundle);
    }
    return 0;
}

int hl_html_write(const struct hl_collection *c, FILE *out)
{
    static const char mark_style[] = "{{style}}", mark_data[] = "{{data}}", mark_script[] = "{{script}}";
    const char *style = strstr(hl_page_html, mark_style), *data = strstr(hl_page_html, mark_data),
               *script = strstr(hl_page_html, mark_script);
    fprintf(out, "%.*s%s", (int)(style - hl_page_html), hl_page_html, hl_page_css);
    style += sizeof mark_style - 1;
    fprintf(out, "%.*s", (int)(data - style), style);
    errno = 0;
    if (write_all_data(c, out) < 0)
        return -1;
    data += sizeof mark_data - 1;
    fprintf(out, "%.*s%s%s", (int)(script - data), data, hl_page_js, script + sizeof mark_script - 1);
    return ferror(out) ? -1 : 0;
}
