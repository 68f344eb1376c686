// SPDX-License-Identifier: BSD-3-Clause
// Helpers of the kernels for NEON.
#pragma once

#include <arm_neon.h>

#include "gemm.hpp"

namespace bnn {
namespace {

// A bit for each of four sums: whether it reaches its threshold.
BNN_INLINE uint32_t reach_s32(int32x4_t sums, const int32_t* threshold) {
  const uint16x4_t reached = vmovn_u32(vcgeq_s32(sums, vld1q_s32(threshold)));
  return (vget_lane_u16(reached, 0) & 1u) | (vget_lane_u16(reached, 1) & 2u) |
         (vget_lane_u16(reached, 2) & 4u) | (vget_lane_u16(reached, 3) & 8u);
}

}  // namespace
}  // namespace bnn
