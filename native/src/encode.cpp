// SPDX-License-Identifier: BSD-3-Clause
#include "encode.hpp"

#include <algorithm>
#include <limits>

namespace bnn {
namespace {

// Which of at most 64 weights are negative, and which are 0; weight 0 in bit 0.
struct Signs {
  uint64_t negative, zero;
};

Signs signs_of(const int16_t* weights, int count) {
  Signs signs{0, 0};
  for (int i = 0; i < count; ++i) {
    signs.negative |= uint64_t(weights[i] < 0) << i;
    signs.zero |= uint64_t(weights[i] == 0) << i;
  }
  return signs;
}

// Sums over the weights of a row, and how many are negative or 0.
struct RowSums {
  int64_t positive = 0, negative = 0, negatives = 0, zeros = 0;
};

RowSums sums_of(const int16_t* weights, int count) {
  constexpr int piece = 1 << 15;  // sums of so many weights fit 32 bits, which are added faster
  RowSums sums;
  for (int first = 0; first < count; first += piece) {
    int32_t positive = 0, negative = 0, negatives = 0, zeros = 0;
    for (int i = first; i < std::min(count, first + piece); ++i) {
      const int32_t weight = weights[i];
      positive += std::max(weight, 0);
      negative += std::min(weight, 0);
      negatives += weight < 0;
      zeros += weight == 0;
    }
    sums.positive += positive;
    sums.negative += negative;
    sums.negatives += negatives;
    sums.zeros += zeros;
  }
  return sums;
}

int64_t ceil_div(int64_t value, int64_t divisor) {  // divisor > 0
  return value / divisor + (value % divisor > 0);
}

}  // namespace

int bit_planes(const Matrix<int16_t>& weights) {
  const auto [low, high] = std::minmax_element(weights.values.begin(), weights.values.end());
  if (*low < -1 || *high > 1) return 0;
  return std::find(weights.values.begin(), weights.values.end(), 0) == weights.values.end() ? 1 : 2;
}

BitWeights bit_weights(const Matrix<int16_t>& weights, int planes, const PatchLayout& layout) {
  const int words = (layout.channels + 63) / 64;  // of a pixel
  BitWeights bits{weights.rows, layout.rows, layout.run * words, planes, {}};
  const size_t each = size_t(bits.rows) * size_t(bits.groups) * size_t(planes);
  bits.words.resize(each * size_t(weights.rows));
  uint64_t* to = bits.words.data();
  for (int row = 0; row < weights.rows; ++row) {
    const int16_t* pixel = weights.row(row);
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

ByteWeights byte_weights(const Matrix<int16_t>& weights, const PatchLayout& layout, int each) {
  const int run = layout.run * layout.channels;  // codes of a kernel row
  ByteWeights bytes{weights.rows, layout.rows, (run + each - 1) / each, each, {}};
  const size_t padded = size_t(bytes.groups) * size_t(each);
  bytes.values.resize(padded * size_t(bytes.rows) * size_t(weights.rows));
  int16_t* to = bytes.values.data();
  for (int row = 0; row < weights.rows; ++row)
    for (int kernel_row = 0; kernel_row < layout.rows; ++kernel_row, to += padded)
      std::copy_n(weights.row(row) + size_t(kernel_row) * size_t(run), run, to);
  return bytes;
}

EncodedDot encode_dot(const Op& dot, const Lattice& lattice, int weight_planes) {
  EncodedDot encoded;
  encoded.step = lattice.step;
  encoded.divisor = weight_planes == 2 ? 2 : 1;
  const int last = lattice.codes - 1;
  for (int row = 0; row < dot.weights.rows; ++row) {
    const RowSums sums = sums_of(dot.weights.row(row), dot.weights.columns);
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
