// SPDX-License-Identifier: BSD-3-Clause
#include "bnn/first_layer.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "share.hpp"
#include "summing.hpp"

namespace bnn::training {
namespace {

// What sums of the weights' gradient are split into, at most; no more threads than these can share it.
constexpr int64_t most_parts = 16;

// The patches that make a row of results: [column][kernel row][kernel column][input], 0 outside the map.
class Patches {
 public:
  explicit Patches(const Correlation& by)
      : by_(by), values_(size_t(by.columns()) * size_t(by.fan_in())) {}

  const int16_t* of(const int16_t* map, int y) {
    const int across = by_.kernel[1] * by_.inputs;
    int16_t* to = values_.data();
    for (int x = 0; x < by_.columns(); ++x) {
      const int first = x - by_.padding[1];
      const int from = std::max(first, 0), last = std::min(first + by_.kernel[1], by_.width);
      for (int tap = 0; tap < by_.kernel[0]; ++tap, to += across) {
        const int line = y + tap - by_.padding[0];
        std::fill(to, to + across, int16_t(0));
        if (line < 0 || line >= by_.height || from >= last) continue;
        std::memcpy(to + (from - first) * by_.inputs, map + (int64_t(line) * by_.width + from) * by_.inputs,
                    size_t(last - from) * size_t(by_.inputs) * sizeof *map);
      }
    }
    return values_.data();
  }

 private:
  const Correlation& by_;
  std::vector<int16_t> values_;
};

}  // namespace

void correlate_first(const Correlation& by, const int16_t* x, const int16_t* weights, int16_t* y, int threads) {
  check(by);
  const auto terms = int(by.fan_in());
  // [panel][term][lane]
  std::vector<int16_t> packed(size_t(panels_of(by.outputs)) * size_t(terms) * lanes);
  for (int out = 0; out < by.outputs; ++out)
    for (int term = 0; term < terms; ++term)
      packed[(size_t(out / lanes) * size_t(terms) + size_t(term)) * lanes + size_t(out % lanes)] = weights[int64_t(out) * terms + term];
  divide(by.images, workers(by.images, by.values(), threads), [&](int, int64_t image, int64_t last) {
    Patches patches(by);
    for (; image < last; ++image)
      for (int row = 0; row < by.rows(); ++row) {
        const int16_t* from = patches.of(x + image * by.height * by.width * by.inputs, row);
        int16_t* to = y + (image * by.rows() + row) * by.columns() * by.outputs;
        for (int panel = 0; panel < panels_of(by.outputs); ++panel)
          look_up().multiply(from, by.columns(), terms, packed.data() + int64_t(panel) * terms * lanes,
                             std::min(lanes, by.outputs - panel * lanes), by.outputs, to + panel * lanes);
      }
  });
}

void correlate_first_weights(const Correlation& by, const Bf16* grad, const int16_t* x, float* grad_weights,
                             int threads) {
  check(by);
  const auto terms = int(by.fan_in());
  const int64_t wide = int64_t(panels_of(by.outputs)) * lanes, map = int64_t(by.height) * by.width * by.inputs;
  // Of each part of the images, [term][output]: their order must not depend on threads.
  const int64_t parts = std::min<int64_t>(by.images, most_parts);
  std::vector<float> sums(size_t(parts * terms * wide));
  divide(parts, workers(parts, by.values(), threads), [&](int, int64_t part, int64_t last) {
    Patches patches(by);
    std::vector<float> reals(size_t(by.columns()) * size_t(wide + terms));
    float *grads = reals.data(), *factors = grads + by.columns() * wide;
    for (; part < last; ++part)
      for (int64_t image = by.images * part / parts; image < by.images * (part + 1) / parts; ++image)
        for (int row = 0; row < by.rows(); ++row) {
          const int16_t* from = patches.of(x + image * map, row);
          for (int64_t i = 0; i < int64_t(by.columns()) * terms; ++i) factors[i] = float(from[i]);
          const Bf16* line = grad + (image * by.rows() + row) * by.columns() * by.outputs;
          for (int column = 0; column < by.columns(); ++column)
            look_up().widen(line + int64_t(column) * by.outputs, by.outputs, grads + column * wide);
          look_up().outer(factors, grads, by.columns(), terms, wide, sums.data() + part * terms * wide);
        }
  });
  for (int out = 0; out < by.outputs; ++out)
    for (int term = 0; term < terms; ++term) {
      float sum = 0;
      for (int64_t part = 0; part < parts; ++part) sum += sums[size_t((part * terms + term) * wide + out)];
      grad_weights[int64_t(out) * terms + term] = sum;
    }
}

}  // namespace bnn::training
