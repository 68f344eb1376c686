// SPDX-License-Identifier: BSD-3-Clause
// The operations as bnn.program.semantics defines them, in plain loops, which plans must equal.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "bnn/program.hpp"

namespace naive {

using Values = std::vector<int64_t>;  // [height][width][channel]

template <class F>
void each_position(const bnn::Shape& from, const bnn::Shape& to, const bnn::Slide& slide,
                   F&& body) {
  for (int y = 0; y < to.height; ++y)
    for (int x = 0; x < to.width; ++x)
      for (int r = 0; r < slide.kernel[0]; ++r)
        for (int c = 0; c < slide.kernel[1]; ++c) {
          const int row = y * slide.stride[0] + r - slide.padding[0];
          const int column = x * slide.stride[1] + c - slide.padding[1];
          const bool inside = row >= 0 && row < from.height && column >= 0 && column < from.width;
          const size_t pixel = inside ? size_t(row) * size_t(from.width) + size_t(column) : 0;
          body(size_t(y) * size_t(to.width) + size_t(x), r * slide.kernel[1] + c, inside, pixel);
        }
}

inline Values window(const bnn::Op& op, const bnn::Shape& from, const bnn::Shape& to,
                     const Values& in) {
  Values out(to.values());
  const auto channels = size_t(from.channels);
  each_position(from, to, op.slide, [&](size_t position, int tap, bool inside, size_t pixel) {
    for (size_t i = 0; i < channels; ++i)
      out[position * size_t(to.channels) + size_t(tap) * channels + i] =
          inside ? in[pixel * channels + i] : op.pad_value;
  });
  return out;
}

// exact / 2^shift. The quotient and what is left over, both from the definition: no shift, no mask.
inline int64_t quotient(int64_t exact, int shift, bnn::Rounding rounding) {
  const int64_t unit = int64_t(1) << shift;
  int64_t whole = exact / unit, rest = exact % unit;
  if (rest < 0) --whole, rest += unit;
  const uint64_t twice = 2 * uint64_t(rest);
  const bool half = twice == uint64_t(unit), above = twice > uint64_t(unit);
  if (rounding != bnn::Rounding::floor && above) ++whole;
  if (half && rest > 0)
    whole += rounding == bnn::Rounding::up || (rounding == bnn::Rounding::even && whole % 2 != 0) ||
             (rounding == bnn::Rounding::zero && whole < 0);
  return whole;
}

inline Values dot(const bnn::Op& op, const Values& in, size_t pixels) {
  Values out;
  std::vector<int16_t> room;
  for (size_t pixel = 0; pixel < pixels; ++pixel)
    for (int row = 0; row < op.weights.rows; ++row) {
      int64_t sum = op.bias.empty() ? 0 : op.bias[size_t(row)];
      const int16_t* weights = op.weights.row(row, room);
      for (int i = 0; i < op.weights.columns; ++i)
        sum += quotient(weights[i] * in[pixel * size_t(op.weights.columns) + size_t(i)],
                        op.product_shift, op.rounding);
      out.push_back(sum);
    }
  return out;
}

inline Values depthwise(const bnn::Op& op, const Values& in, const bnn::Shape& from) {
  Values out;
  std::vector<int16_t> room;
  const int taps = op.weights.columns, channels = from.channels / taps;
  for (size_t pixel = 0; pixel < from.pixels(); ++pixel)
    for (int row = 0; row < op.weights.rows; ++row) {
      int64_t sum = op.bias.empty() ? 0 : op.bias[size_t(row)];
      const int16_t* weights = op.weights.row(row, room);
      for (int tap = 0; tap < taps; ++tap)
        sum += weights[tap] * in[pixel * size_t(from.channels) +
                                 size_t(tap * channels + row / (op.weights.rows / channels))];
      out.push_back(sum);
    }
  return out;
}

inline Values threshold(const bnn::Op& op, const Values& in) {
  Values out;
  for (size_t i = 0; i < in.size(); ++i) {
    const auto c = int(i % size_t(op.thresholds.rows));
    const int64_t value = in[i] * (op.signs.empty() ? 1 : op.signs[size_t(c)]);
    int64_t count = 0;
    for (int level = 0; level < op.thresholds.columns; ++level)
      count += op.thresholds.row(c)[level] <= value;
    out.push_back(op.base + op.step * count);
  }
  return out;
}

inline Values pool(const bnn::Op& op, const bnn::Shape& from, const bnn::Shape& to,
                   const Values& in) {
  Values out(to.values(), std::numeric_limits<int64_t>::min());
  const auto channels = size_t(from.channels);
  each_position(from, to, op.slide, [&](size_t position, int, bool inside, size_t pixel) {
    for (size_t i = 0; inside && i < channels; ++i)
      out[position * channels + i] =
          std::max(out[position * channels + i], in[pixel * channels + i]);
  });
  return out;
}

inline int64_t rescaled(const bnn::Scaling& by, size_t channel, int64_t value) {
  const int64_t exact =
      by.multipliers[channel] * value + (by.offsets.empty() ? 0 : by.offsets[channel]);
  const int64_t whole = quotient(exact, by.shift, by.rounding);
  if (!by.wraps) return std::clamp<int64_t>(whole, by.low, by.high);
  const int64_t size = int64_t(by.high) - by.low + 1;
  return ((whole - by.low) % size + size) % size + by.low;
}

inline Values rescale(const bnn::Op& op, const Values& in) {
  Values out;
  const size_t channels = op.scaling.multipliers.size();
  for (size_t i = 0; i < in.size(); ++i) out.push_back(rescaled(op.scaling, i % channels, in[i]));
  return out;
}

inline Values concat(const Values& one, const Values& two, size_t pixels) {
  const size_t a = one.size() / pixels, b = two.size() / pixels;
  Values out;
  for (size_t pixel = 0; pixel < pixels; ++pixel) {
    out.insert(out.end(), one.begin() + int64_t(pixel * a), one.begin() + int64_t((pixel + 1) * a));
    out.insert(out.end(), two.begin() + int64_t(pixel * b), two.begin() + int64_t((pixel + 1) * b));
  }
  return out;
}

inline int64_t arg_max(const bnn::Op& op, const Values& in) {
  const bool fired = std::any_of(in.begin(), in.end(), [](int64_t value) { return value > 0; });
  if (op.rule == bnn::Rule::first) return std::max_element(in.begin(), in.end()) - in.begin();
  if (!fired) return 0;
  if (op.rule == bnn::Rule::first_positive)
    return std::max_element(in.begin(), in.end()) - in.begin();
  auto last = int64_t(in.size()) - 1;
  while (in[size_t(last)] <= 0) --last;
  return last;
}

// Every edge of one image, from the values of edge 0.
inline std::vector<Values> evaluate(const bnn::Program& program, Values input) {
  std::vector<Values> edges{std::move(input)};
  for (int number = 1; number <= program.size(); ++number) {
    const bnn::Op& op = program.op(number);
    const bnn::Shape &from = program.edge(op.source).shape, &to = program.edge(number).shape;
    const Values& in = edges[size_t(op.source)];
    switch (op.kind) {
      case bnn::Kind::window: edges.push_back(window(op, from, to, in)); break;
      case bnn::Kind::dot: edges.push_back(dot(op, in, from.pixels())); break;
      case bnn::Kind::depthwise: edges.push_back(depthwise(op, in, from)); break;
      case bnn::Kind::threshold: edges.push_back(threshold(op, in)); break;
      case bnn::Kind::pool: edges.push_back(pool(op, from, to, in)); break;
      case bnn::Kind::add: {
        Values sum = in;
        for (size_t i = 0; i < sum.size(); ++i) sum[i] += edges[size_t(op.other)][i];
        edges.push_back(sum);
        break;
      }
      case bnn::Kind::multiply: {
        Values product = in;
        for (size_t i = 0; i < product.size(); ++i) product[i] *= edges[size_t(op.other)][i];
        edges.push_back(product);
        break;
      }
      case bnn::Kind::scan:
      case bnn::Kind::carried: throw bnn::ProgramError("one image is not a sequence");
      case bnn::Kind::concat:
        edges.push_back(concat(in, edges[size_t(op.other)], to.pixels()));
        break;
      case bnn::Kind::rescale: edges.push_back(rescale(op, in)); break;
      case bnn::Kind::arg_max: edges.push_back({arg_max(op, in)}); break;
    }
  }
  return edges;
}

}  // namespace naive
