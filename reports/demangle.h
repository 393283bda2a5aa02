/* Names of kernels as people write them. */
#pragma once

#define HL_DEMANGLED_MAX 256

/* "wait_for_peer(int volatile*)" for "_Z13wait_for_peerPVi"; the name itself where it is none of C++. */
const char *hl_demangle(const char *name, char text[HL_DEMANGLED_MAX]);
