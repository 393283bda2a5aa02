/* What a report is made of: the result lines and the bundles of some --out folders. */
#pragma once
#include "hanglab/error.h"
#include "json.h"

struct hl_collection {
    json_t *cases;    /* result lines; "bundle": index into `bundles` */
    json_t *explored; /* lines of `explore` */
    json_t *summary;  /* of the last folder that has one; NULL: none */
    char **bundles;   /* paths: those of the cases first, then what else lies there */
    size_t n_bundles;
};

/* A folder may also be a bundle itself. */
enum hl_status hl_collection_load(char *const *folders, size_t n_folders,
                                  struct hl_collection *ret_collection, struct hl_error *error);
void hl_collection_finish(struct hl_collection *collection);

/* Names of what `run` leaves in its folder. */
#define HL_RESULTS_NAME "results.jsonl"
#define HL_PAGE_NAME "report.html"
