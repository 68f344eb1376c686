// SPDX-License-Identifier: BSD-3-Clause
#include "bnn/first_layer.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "parallel.hpp"
#include "summing.hpp"

namespace bnn::training {
namespace {

// Most parts that the sums of the weights' gradient are split into, and so most threads for them.
constexpr int64_t max_parts = 16;

// The patches that make a row of results: [column][kernel row][kernel column][input], 0 outside the
// map.
class Patches {
 public:
  explicit Patches(const Correlation& correlation)
      : correlation_(correlation),
        values_(size_t(correlation.columns()) * size_t(correlation.fan_in())) {}

  const int16_t* of(const int16_t* map, int y) {
    const int across = correlation_.kernel[1] * correlation_.inputs;
    int16_t* to = values_.data();
    for (int x = 0; x < correlation_.columns(); ++x) {
      const int first = x - correlation_.padding[1];
      const int from = std::max(first, 0),
                last = std::min(first + correlation_.kernel[1], correlation_.width);
      for (int tap = 0; tap < correlation_.kernel[0]; ++tap, to += across) {
        const int line = y + tap - correlation_.padding[0];
        std::fill(to, to + across, int16_t(0));
        if (line < 0 || line >= correlation_.height || from >= last) continue;
        std::memcpy(to + (from - first) * correlation_.inputs,
                    map + (int64_t(line) * correlation_.width + from) * correlation_.inputs,
                    size_t(last - from) * size_t(correlation_.inputs) * sizeof *map);
      }
    }
    return values_.data();
  }

 private:
  const Correlation& correlation_;
  std::vector<int16_t> values_;
};

}  // namespace

void correlate_first(const Correlation& correlation, const int16_t* x, const int16_t* weights,
                     int16_t* y, int threads) {
  check(correlation);
  const auto terms = int(correlation.fan_in());
  // [panel][term][lane]
  std::vector<int16_t> packed(size_t(panels_of(correlation.outputs)) * size_t(terms) * lanes);
  for (int out = 0; out < correlation.outputs; ++out)
    for (int term = 0; term < terms; ++term)
      packed[(size_t(out / lanes) * size_t(terms) + size_t(term)) * lanes + size_t(out % lanes)] =
          weights[int64_t(out) * terms + term];
  parallel_for(correlation.images, thread_count(correlation.images, correlation.values(), threads),
               [&](int, int64_t image, int64_t last) {
                 Patches patches(correlation);
                 for (; image < last; ++image)
                   for (int row = 0; row < correlation.rows(); ++row) {
                     const int16_t* from = patches.of(
                         x + image * correlation.height * correlation.width * correlation.inputs,
                         row);
                     int16_t* to = y + (image * correlation.rows() + row) * correlation.columns() *
                                           correlation.outputs;
                     for (int panel = 0; panel < panels_of(correlation.outputs); ++panel)
                       lut().multiply(from, correlation.columns(), terms,
                                      packed.data() + int64_t(panel) * terms * lanes,
                                      std::min(lanes, correlation.outputs - panel * lanes),
                                      correlation.outputs, to + panel * lanes);
                   }
               });
}

void correlate_first_weights(const Correlation& correlation, const Bf16* grad, const int16_t* x,
                             float* grad_weights, int threads) {
  check(correlation);
  const auto terms = int(correlation.fan_in());
  const int64_t wide = int64_t(panels_of(correlation.outputs)) * lanes,
                map = int64_t(correlation.height) * correlation.width * correlation.inputs;
  // Of each part of the images, [term][output]: their order must not depend on threads.
  const int64_t parts = std::min<int64_t>(correlation.images, max_parts);
  std::vector<float> sums(size_t(parts * terms * wide));
  parallel_for(parts, thread_count(parts, correlation.values(), threads),
               [&](int, int64_t part, int64_t last) {
                 Patches patches(correlation);
                 std::vector<float> reals(size_t(correlation.columns()) * size_t(wide + terms));
                 float *grads = reals.data(), *factors = grads + correlation.columns() * wide;
                 for (; part < last; ++part)
                   for (int64_t image = correlation.images * part / parts;
                        image < correlation.images * (part + 1) / parts; ++image)
                     for (int row = 0; row < correlation.rows(); ++row) {
                       const int16_t* from = patches.of(x + image * map, row);
                       for (int64_t i = 0; i < int64_t(correlation.columns()) * terms; ++i)
                         factors[i] = float(from[i]);
                       const Bf16* line = grad + (image * correlation.rows() + row) *
                                                     correlation.columns() * correlation.outputs;
                       for (int column = 0; column < correlation.columns(); ++column)
                         lut().widen(line + int64_t(column) * correlation.outputs,
                                     correlation.outputs, grads + column * wide);
                       lut().outer(factors, grads, correlation.columns(), terms, wide,
                                   sums.data() + part * terms * wide);
                     }
               });
  for (int out = 0; out < correlation.outputs; ++out)
    for (int term = 0; term < terms; ++term) {
      float sum = 0;
      for (int64_t part = 0; part < parts; ++part)
        sum += sums[size_t((part * terms + term) * wide + out)];
      grad_weights[int64_t(out) * terms + term] = sum;
    }
}

}  // namespace bnn::training
