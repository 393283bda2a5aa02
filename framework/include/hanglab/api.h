/* What libhanglab exports. All else in it is hidden, so that nobody comes to depend on it. */
#pragma once

#define HL_API __attribute__((visibility("default")))
