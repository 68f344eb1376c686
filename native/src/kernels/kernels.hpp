// SPDX-License-Identifier: BSD-3-Clause
// The kernel sets, one source file each, compiled with flags of its own; CMake says
// which ones there are by BNN_KERNELS_<NAME>.
#pragma once

#include "engine.hpp"

namespace bnn {

Kernels portable_kernels();
Kernels avx2_kernels();
Kernels avx512_kernels();
Kernels amx_kernels();
Kernels neon_kernels();

}  // namespace bnn
