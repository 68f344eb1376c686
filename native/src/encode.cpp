// SPDX-License-Identifier: BSD-3-Clause
#include "encode.hpp"

#include <algorithm>
#include <limits>

namespace bnn {
namespace {

int64_t ceil_div(int64_t value, int64_t divisor) {  // divisor > 0
  return value / divisor + (value % divisor > 0);
}

}  // namespace

int bit_planes(const Matrix<int16_t>& weights) {
  const auto [low, high] = std::minmax_element(weights.values.begin(), weights.values.end());
  if (*low < -1 || *high > 1) return 0;
  return std::find(weights.values.begin(), weights.values.end(), 0) == weights.values.end() ? 1 : 2;
}

BitWeights bit_weights(const Matrix<int16_t>& weights, int planes, const PatchLayout& layout,
                       int source_planes) {
  const int words = (layout.channels + 63) / 64 * source_planes;  // of a pixel
  BitWeights bits{weights.rows, layout.rows, layout.run * words, planes, source_planes, {}};
  const size_t each = size_t(bits.rows) * size_t(bits.groups) * size_t(planes);
  bits.words.resize(each * size_t(weights.rows));
  for (int row = 0; row < weights.rows; ++row) {
    uint64_t* to = bits.words.data() + size_t(row) * each;
    for (int column = 0; column < weights.columns; ++column) {
      const int channel = column % layout.channels, pixel = column / layout.channels;
      const size_t word = size_t(pixel) * size_t(words) + size_t(channel / 64 * source_planes);
      const int weight = weights.row(row)[column];
      // w = (s1 + s2) / 2 with s1 = s2 = w for +1 and -1, and s1 = +1, s2 = -1 for 0.
      for (int source = 0; source < source_planes; ++source)
        for (int plane = 0; plane < planes; ++plane)
          if (weight < 0 || (weight == 0 && plane == 1))
            to[(word + size_t(source)) * size_t(planes) + size_t(plane)] |= uint64_t(1)
                                                                            << channel % 64;
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
    const int16_t* weights = dot.weights.row(row);
    int64_t sum = 0, lowest = 0, highest = 0;
    for (int column = 0; column < dot.weights.columns; ++column) {
      const int64_t weight = weights[column];
      sum += weight;
      (weight < 0 ? lowest : highest) += weight * last;
    }
    encoded.offset.push_back((dot.bias.empty() ? 0 : dot.bias[size_t(row)]) + lattice.base * sum);
    // By bits, plane by plane: sum s * b over the bits b of a plane = (equal codes) - #{s = -1}:
    // a bit xor 1 counts the zeros under the negative weights, a bit xor 0 the ones elsewhere.
    int64_t zero = 0;
    if (weight_planes > 0)
      for (int column = 0; column < dot.weights.columns; ++column)
        zero += last * (weights[column] < 0 ? weight_planes : weights[column] == 0 ? 1 : 0);
    encoded.zero.push_back(zero);
    encoded.low.push_back(zero + encoded.divisor * lowest);
    encoded.high.push_back(zero + encoded.divisor * highest);
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
