/* The least that a CUPTI subscriber does: what libhanglab-watch.so is compared with. It takes the same
 * callbacks and records, and does nothing with them. BARE=light, cupti, node or pc, as hanglab's levels; or
 * less than light: subscribed, without any callback, or only those of syncs, graphs or launches. */
#include <cupti.h>
#include <cupti_pcsampling.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "watchdog/cupti/apis.h"

static CUpti_SubscriberHandle subscriber;

static void CUPTIAPI on_callback(void *user, CUpti_CallbackDomain domain, CUpti_CallbackId id,
                                 const void *data)
{
    (void)user, (void)domain, (void)id;
    const CUpti_ResourceData *resource = data;
    if (domain == CUPTI_CB_DOMAIN_RESOURCE && id == CUPTI_CBID_RESOURCE_CONTEXT_CREATED) {
        CUpti_PCSamplingEnableParams params = { .size = CUpti_PCSamplingEnableParamsSize,
                                                .ctx = resource->context };
        cuptiPCSamplingEnable(&params);
    }
}

static void CUPTIAPI on_buffer_wanted(uint8_t **buffer, size_t *bytes, size_t *records)
{
    *bytes = 512 << 10;
    *buffer = malloc(*bytes);
    *records = 0;
}

static void CUPTIAPI on_buffer_full(CUcontext context, uint32_t stream, uint8_t *buffer, size_t bytes,
                                    size_t valid)
{
    (void)context, (void)stream, (void)bytes, (void)valid;
    free(buffer);
}

static bool is_wanted(const char *level, enum hl_api api)
{
    const enum hl_api_kind kind = hl_api_kind(api);
    if (api == HL_API_NONE || strcmp(level, "subscribed") == 0)
        return false;
    return (strcmp(level, "syncs") != 0 || kind == HL_API_SYNC) &&
           (strcmp(level, "graphs") != 0 || kind == HL_API_GRAPH) &&
           (strcmp(level, "launches") != 0 || kind == HL_API_LAUNCH);
}

static bool has_records(const char *level)
{
    return strcmp(level, "cupti") == 0 || strcmp(level, "node") == 0 || strcmp(level, "pc") == 0;
}

__attribute__((visibility("default"))) int InitializeInjection(void);
int InitializeInjection(void)
{
    const char *level = getenv("BARE"), *name;
    if (!level || cuptiSubscribe(&subscriber, (CUpti_CallbackFunc)on_callback, NULL) != CUPTI_SUCCESS)
        return 1;
    for (uint32_t cbid = 1; cbid < CUPTI_DRIVER_TRACE_CBID_SIZE; cbid++)
        if (cuptiGetCallbackName(CUPTI_CB_DOMAIN_DRIVER_API, cbid, &name) == CUPTI_SUCCESS && name &&
            is_wanted(level, hl_api_of_name(name)))
            cuptiEnableCallback(1, subscriber, CUPTI_CB_DOMAIN_DRIVER_API, cbid);
    if (strcmp(level, "pc") == 0)
        cuptiEnableCallback(1, subscriber, CUPTI_CB_DOMAIN_RESOURCE, CUPTI_CBID_RESOURCE_CONTEXT_CREATED);
    if (!has_records(level))
        return 1;
    cuptiActivityRegisterCallbacks(on_buffer_wanted, on_buffer_full);
    cuptiActivityEnable(strcmp(level, "node") == 0 ? CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL
                                                   : CUPTI_ACTIVITY_KIND_GRAPH_TRACE);
    return 1;
}
