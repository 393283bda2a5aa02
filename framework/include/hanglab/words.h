/* The words of the kernels. In the tree they stand in kernels/words.h, which knows nothing of the rest; where
 * hanglab is installed, that file is this one. */
#pragma once
#include "../../../kernels/words.h"
