/* The engines of this build, by name. */
#pragma once
#include "engine.h"

/* `auto` is cuda where there is a GPU, else sim. HL_STATUS_NO_GPU: cuda was asked for in vain. */
enum hl_status hl_find_engine(const char *name, const struct hl_engine **ret_engine, struct hl_error *error);
/* Does it run on a GPU? There, cases take turns and sizes are as written, unless the user says otherwise. */
bool hl_is_cuda(const struct hl_engine *engine);
