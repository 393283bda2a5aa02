/* Libraries under the names of libcupti and libcuda, in which another tool already is CUPTI's one subscriber.
 */
#include <stdio.h>
#include "watchdog/cupti/calls.h"

/* As CUPTI's CUpti_SubscriberParams. */
struct params {
    size_t size;
    const char *name;
    char *holder;
    size_t holder_size;
};

#ifdef HL_FAKE_CUPTI
#define PUBLIC __attribute__((visibility("default")))
#define cuptiSubscribe_v2 unused_subscribe
#define X(name) \
    PUBLIC int name(void); \
    int name(void) { return 0; }
HL_CUPTI_CALLS(X)
#undef cuptiSubscribe_v2
PUBLIC int cuptiSubscribe_v2(void **subscriber, void *callback, void *user, struct params *params);
int cuptiSubscribe_v2(void **subscriber, void *callback, void *user, struct params *params)
{
    (void)subscriber, (void)callback, (void)user;
    snprintf(params->holder, params->holder_size, "CUPTI for another-profiler");
    return 39; /* CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED */
}
#else
#define cuMemcpyDtoHAsync cuMemcpyDtoHAsync_v2 /* as cuda.h names it */
#define PUBLIC __attribute__((visibility("default")))
#define X(name) \
    PUBLIC int name(void); \
    int name(void) { return 0; }
HL_WATCH_DRIVER_CALLS(X)
#endif
