// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <vector>

namespace bnn {

// Names of the SIMD features that this CPU and its operating system offer, in a fixed order from
// old to new, spelled as GCC spells its -m options ("popcnt", "avx2", "avx512vpopcntdq") or as
// Arm names its extensions ("neon", "dotprod", "sve"). Empty on other architectures.
std::vector<std::string> cpu_features();

}  // namespace bnn
