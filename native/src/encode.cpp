// SPDX-License-Identifier: BSD-3-Clause
#include "encode.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

namespace bnn {
namespace {

// Bits 0, 8, ... of a word as eight bits.
uint64_t gather_bits(uint64_t bytes) {
  constexpr uint64_t ones = 0x0101010101010101, places = 0x0102040810204080;
  return (bytes & ones) * places >> 56;
}

// Which of at most 64 weights of -1, 0, +1 are negative, and which are 0; weight 0 in bit 0.
struct Signs {
  uint64_t negative, zero;
};

Signs signs_of(const int8_t* weights, int count) {
  Signs signs{0, 0};
  for (int i = 0; i < count; i += 8) {
    const int now = std::min(8, count - i);
    uint64_t bytes = 0;
    std::memcpy(&bytes, weights + i, size_t(now));
    if constexpr (std::endian::native == std::endian::big) bytes = __builtin_bswap64(bytes);
    const uint64_t some = (uint64_t(1) << now) - 1;
    signs.negative |= gather_bits(bytes >> 7) << i;
    signs.zero |= (~gather_bits(bytes) & some) << i;  // bit 0 of -1 and of +1 is set
  }
  return signs;
}

int64_t ceil_div(int64_t value, int64_t divisor) {  // divisor > 0
  return value / divisor + (value % divisor > 0);
}

}  // namespace

int bit_planes(const Op& dot) {
  bool zeros = false;
  for (const RowSums& row : dot.sums) {
    if (row.low < -1 || row.high > 1) return 0;
    zeros |= row.zeros > 0;
  }
  return zeros ? 2 : 1;
}

BitWeights bit_weights(const Weights& weights, int planes, const PatchLayout& layout) {
  const int words = (layout.channels + 63) / 64;  // of a pixel
  BitWeights bits{weights.rows, layout.rows, layout.run * words, planes, {}};
  const size_t each = size_t(bits.rows) * size_t(bits.groups) * size_t(planes);
  bits.words.resize(each * size_t(weights.rows));
  uint64_t* to = bits.words.data();
  std::vector<int8_t> room;
  for (int row = 0; row < weights.rows; ++row) {
    const int8_t* pixel = weights.narrow_row(row, room);
    for (int at = 0; at < weights.columns; at += layout.channels, pixel += layout.channels)
      for (int first = 0; first < layout.channels; first += 64) {
        const Signs signs = signs_of(pixel + first, std::min(64, layout.channels - first));
        // w = (s1 + s2) / 2 with s1 = s2 = w for +1 and -1, and s1 = +1, s2 = -1 for 0.
        for (int plane = 0; plane < planes; ++plane)
          *to++ = plane == 1 ? signs.negative | signs.zero : signs.negative;
      }
  }
  return bits;
}

EncodedDot encode_dot(const Op& dot, const Lattice& lattice, int weight_planes) {
  EncodedDot encoded;
  encoded.step = lattice.step;
  encoded.divisor = weight_planes == 2 ? 2 : 1;
  const int last = lattice.codes - 1;
  for (int row = 0; row < dot.weights.rows; ++row) {
    const RowSums& sums = dot.sums[size_t(row)];
    const int64_t sum = sums.positive + sums.negative;
    encoded.offset.push_back((dot.bias.empty() ? 0 : dot.bias[size_t(row)]) + lattice.base * sum);
    // By bits, plane by plane: sum s * b over the bits b of a plane = (equal codes) - #{s = -1}:
    // a bit xor 1 counts the zeros under the negative weights, a bit xor 0 the ones elsewhere.
    const int64_t zero =
        weight_planes > 0 ? last * (sums.negatives * weight_planes + sums.zeros) : 0;
    encoded.zero.push_back(zero);
    encoded.low.push_back(zero + encoded.divisor * last * sums.negative);
    encoded.high.push_back(zero + encoded.divisor * last * sums.positive);
  }
  return encoded;
}

EncodedThresholds encode_thresholds(const Op& op, const EncodedDot& dot) {
  const int channels = op.thresholds.rows, levels = op.thresholds.columns;
  const int panels = (channels + panel_channels - 1) / panel_channels;
  constexpr int32_t never = std::numeric_limits<int32_t>::max();
  EncodedThresholds encoded;
  encoded.levels.assign(size_t(panels) * size_t(levels) * panel_channels, never);
  encoded.falling.assign(size_t(panels), 0);
  std::vector<int32_t> reached(static_cast<size_t>(levels));
  for (int c = 0; c < channels; ++c) {
    const auto at = size_t(c);
    const bool negative = !op.signs.empty() && op.signs[at] < 0;
    for (int level = 0; level < levels; ++level) {
      // T <= acc, or T <= -acc for a falling channel; the latter is not (1 - T <= acc).
      const int64_t threshold = op.thresholds.row(c)[level];
      const int64_t least = negative ? 1 - threshold : threshold;
      const int64_t raw = dot.zero[at] + dot.divisor * ceil_div(least - dot.offset[at], dot.step);
      reached[size_t(level)] = int32_t(std::clamp(raw, dot.low[at], dot.high[at] + 1));
    }
    std::sort(reached.begin(), reached.end());
    const int panel = c / panel_channels, lane = c % panel_channels;
    for (int level = 0; level < levels; ++level)
      encoded.levels[(size_t(panel) * size_t(levels) + size_t(level)) * panel_channels +
                     size_t(lane)] = reached[size_t(level)];
    if (negative != (op.step < 0)) encoded.falling[size_t(panel)] |= uint64_t(1) << lane;
  }
  return encoded;
}

}  // namespace bnn
