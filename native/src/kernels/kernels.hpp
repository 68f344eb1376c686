// SPDX-License-Identifier: BSD-3-Clause
// The kernel sets, one source file each, compiled with flags of its own.
#pragma once

#include "engine.hpp"

namespace bnn {

Kernels portable_kernels();
#if defined(__x86_64__)
Kernels avx2_kernels();
Kernels avx512_kernels();
#endif
#if defined(__ARM_NEON)
Kernels neon_kernels();
#endif

}  // namespace bnn
