// SPDX-License-Identifier: BSD-3-Clause
// Encoding: from the meaning of a dot (values, weights, bias, thresholds, signs) to a kernel's data
// (codes, packed weights, raw sums, one comparison for each threshold).
#pragma once

#include <cstdint>
#include <vector>

#include "bnn/program.hpp"
#include "engine.hpp"

namespace bnn {

// The order of the columns of a dot's weights in the patches that a kernel reads.
struct PatchLayout {
  int rows = 1;      // kernel rows
  int run = 1;       // pixels of a kernel row
  int channels = 1;  // of a pixel
  int columns() const { return rows * run * channels; }
};

// A dot as a kernel sees it. With r the raw sum of a channel (Job),
//   accumulator = offset + step * ((r - zero) / divisor), and low <= r <= high.
struct EncodedDot {
  std::vector<int64_t> offset, zero, low, high;  // per channel
  int step = 1, divisor = 1;
};

// Planes of bits that the weights need (1 or 2), or 0 if they have other values than -1, 0, +1.
int bit_planes(const Op& dot);

BitWeights bit_weights(const Weights& weights, int planes, const PatchLayout& layout);

// The dot over codes of `lattice`, by bits (of so many weight planes) or, with 0 planes, by bytes.
EncodedDot encode_dot(const Op& dot, const Lattice& lattice, int weight_planes);

// Thresholds of the raw sum, [panel][level][64], ascending, and which channels fall.
struct EncodedThresholds {
  std::vector<int32_t> levels;
  std::vector<uint64_t> falling;  // [panel]
};
EncodedThresholds encode_thresholds(const Op& threshold, const EncodedDot& dot);

}  // namespace bnn
