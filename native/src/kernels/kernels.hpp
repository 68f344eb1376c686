// SPDX-License-Identifier: BSD-3-Clause
// The kernel sets, one source file each, compiled with its own flags. CMake lists them,
// the best first: BNN_KERNEL_SETS is X(name) for each.
#pragma once

#include "engine.hpp"

namespace bnn {

#define X(name) Kernels name##_kernels();
BNN_KERNEL_SETS
#undef X

}  // namespace bnn
