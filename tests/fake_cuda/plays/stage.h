/* What the stand-ins for libcupti and libcuda and the program that plays on them agree on. */
#pragma once
#include <cupti.h>

/* Of the fake CUPTI: calls its subscriber. */
#define HL_FAKE_CALLBACK "hl_fake_callback"
typedef void (*hl_fake_callback_fn)(CUpti_CallbackDomain domain, CUpti_CallbackId id, const void *data);
