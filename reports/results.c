/* The lines first: the page is made of them, as `hanglab report` would do it later. */
#include "results.h"
#include <limits.h>
#include "html.h"
#include "report.h"

static int write_lines(void *user, FILE *out)
{
    const struct hl_campaign *campaign = user;
    const struct hl_report report = { .out = out };
    for (size_t i = 0; i < campaign->n_finished; i++)
        hl_report_json.on_case(&report, campaign, &campaign->items[i]);
    hl_report_json.end(&report, campaign);
    return ferror(out) ? -1 : 0;
}

static int write_page(void *user, FILE *out) { return hl_html_write(user, out); }

enum hl_status hl_results_leave(const char *out_dir, hl_write_fn write, void *user, struct hl_error *error)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/" HL_RESULTS_NAME, out_dir) >= (int)sizeof path)
        return hl_fail(error, HL_STATUS_IO, "%s: the path is too long", out_dir);
    enum hl_status status = hl_whole_file_write(path, write, user, error);
    struct hl_collection collection;
    if (status == HL_STATUS_OK)
        status = hl_collection_load((char *const *)&out_dir, 1, &collection, error);
    if (status != HL_STATUS_OK)
        return status;
    snprintf(path, sizeof path, "%s/" HL_PAGE_NAME, out_dir);
    status = hl_whole_file_write(path, write_page, &collection, error);
    hl_collection_finish(&collection);
    return status;
}

enum hl_status hl_results_write(const struct hl_campaign *campaign, struct hl_error *error)
{
    return hl_results_leave(campaign->run.out_dir, write_lines, (void *)campaign, error);
}
