/* A program that does nothing, with and without libhanglab: bench_startup.c measures the difference. */
#ifdef LINKED
#include "hanglab/hanglab.h"
int main(void) { return hl_version()[0] == '\0'; }
#else
int main(void) { return 0; }
#endif
