// SPDX-License-Identifier: BSD-3-Clause
#include "bnn/training.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "kernels/training.hpp"
#include "parallel.hpp"

namespace bnn::training {
namespace {

// Rows after which sums in single precision move to double precision.
constexpr int64_t block = 64;

// The loops for sums of type X.
template <class X>
const auto& norm_loops() {
  if constexpr (std::is_same_v<X, Bf16>)
    return loops().reals;
  else
    return loops().integers;
}

// The pools of maps of type X.
template <class X>
const PoolLoops<X>& pool_loops() {
  if constexpr (std::is_same_v<X, Bf16>)
    return loops().real_pools;
  else if constexpr (std::is_same_v<X, int16_t>)
    return loops().sum_pools;
  else
    return loops().code_pools;
}

// Two sums for each channel over all rows: add(rows, offset, first, second) adds those of some
// rows.
template <class Add>
std::pair<std::vector<double>, std::vector<double>> sums(Shape shape, int threads, const Add& add) {
  const size_t channels = size_t(shape.channels);
  const int count = thread_count(shape.rows, shape.rows * shape.channels, threads);
  std::vector<double> first(count * channels), second(count * channels);
  parallel_for(shape.rows, count, [&](int worker, int64_t row, int64_t last) {
    std::vector<float> some(2 * channels);
    for (; row < last; row += block) {
      std::fill(some.begin(), some.end(), 0.0f);
      add(Shape{std::min(block, last - row), shape.channels}, row * shape.channels, some.data(),
          some.data() + channels);
      for (size_t c = 0; c < channels; ++c) {
        first[worker * channels + c] += some[c];
        second[worker * channels + c] += some[channels + c];
      }
    }
  });
  for (size_t at = channels; at < first.size(); ++at) {
    first[at % channels] += first[at];
    second[at % channels] += second[at];
  }
  return {std::move(first), std::move(second)};
}

// z = slope * x + shift
struct Line {
  std::vector<float> slope, shift;

  Line(int channels, const Norm& norm) : slope(size_t(channels)), shift(size_t(channels)) {
    for (size_t c = 0; c < slope.size(); ++c) {
      slope[c] = norm.gamma[c] * norm.inv_std[c];
      shift[c] = norm.beta[c] - norm.mean[c] * slope[c];
    }
  }
};

}  // namespace

template <class X, class Y>
void norm_act_forward(Shape shape, const X* x, const float* gamma, const float* beta, float epsilon,
                      const Quantizer& quantizer, Y* y, float* mean, float* inv_std,
                      float* variance, int threads) {
  const auto [sum, square] =
      sums(shape, threads, [&](Shape some, int64_t offset, float* first, float* second) {
        norm_loops<X>().moments(some, x + offset, first, second);
      });
  for (int c = 0; c < shape.channels; ++c) {
    const double middle = sum[size_t(c)] / double(shape.rows);
    const double spread = std::max(0.0, square[size_t(c)] / double(shape.rows) - middle * middle);
    mean[c] = float(middle);
    variance[c] = float(spread);
    inv_std[c] = float(1 / std::sqrt(spread + epsilon));
  }
  const Line line(shape.channels, {gamma, beta, mean, inv_std});
  const int count = thread_count(shape.rows, shape.rows * shape.channels, threads);
  parallel_for(shape.rows, count, [&](int, int64_t row, int64_t last) {
    const int64_t offset = row * shape.channels;
    norm_loops<X>().quantize({last - row, shape.channels}, x + offset, line.slope.data(),
                             line.shift.data(), quantizer, y + offset);
  });
}

template <class X>
void norm_act_backward(Shape shape, const Bf16* grad, const X* x, const Norm& norm,
                       const Quantizer& quantizer, Bf16* grad_x, float* grad_gamma,
                       float* grad_beta, int threads) {
  const Line line(shape.channels, norm);
  const auto [sum, product] =
      sums(shape, threads, [&](Shape some, int64_t offset, float* first, float* second) {
        norm_loops<X>().gradient_moments(some, grad + offset, x + offset, line.slope.data(),
                                         line.shift.data(), quantizer, first, second);
      });
  // With g the gradient inside the window and h = (x - mean) * inv_std, the gradient of x is
  // slope * (g - mean(g) - h * mean(g * h)): a line in g and x.
  std::vector<float> tilt(line.slope.size()), level(line.slope.size());
  for (size_t c = 0; c < tilt.size(); ++c) {
    const double along = (product[c] - norm.mean[c] * sum[c]) * norm.inv_std[c];
    const double turn = line.slope[c] * along / double(shape.rows) * norm.inv_std[c];
    grad_gamma[c] = float(along);
    grad_beta[c] = float(sum[c]);
    tilt[c] = float(-turn);
    level[c] = float(turn * norm.mean[c] - line.slope[c] * sum[c] / double(shape.rows));
  }
  const int count = thread_count(shape.rows, shape.rows * shape.channels, threads);
  parallel_for(shape.rows, count, [&](int, int64_t row, int64_t last) {
    const int64_t offset = row * shape.channels;
    norm_loops<X>().gradient({last - row, shape.channels}, grad + offset, x + offset,
                             line.slope.data(), line.shift.data(), quantizer, tilt.data(),
                             level.data(), grad_x + offset);
  });
}

template <class X>
void pool_forward(const Maps& maps, const X* x, X* y, int threads) {
  const int64_t row = int64_t(maps.width) * maps.channels, map = row * maps.height;
  const int high = maps.height / 2, wide = maps.width / 2;
  parallel_for(maps.images, thread_count(maps.images, maps.images * map, threads),
               [&](int, int64_t image, int64_t last) {
                 for (; image < last; ++image) {
                   for (int line = 0; line < high; ++line) {
                     pool_loops<X>().pool(wide, maps.width, maps.channels,
                                          x + image * map + 2 * line * row,
                                          y + (image * high + line) * wide * maps.channels);
                   }
                 }
               });
}

template <class X>
void pool_backward(const Maps& maps, const Bf16* grad, const X* x, const X* y, Bf16* grad_x,
                   int threads) {
  const int64_t row = int64_t(maps.width) * maps.channels, map = row * maps.height;
  const int high = maps.height / 2, wide = maps.width / 2;
  const bool whole = maps.height % 2 == 0 && maps.width % 2 == 0;
  parallel_for(maps.images, thread_count(maps.images, maps.images * map, threads),
               [&](int, int64_t image, int64_t last) {
                 if (!whole) std::fill(grad_x + image * map, grad_x + last * map, Bf16(0));
                 for (; image < last; ++image) {
                   for (int line = 0; line < high; ++line) {
                     const int64_t from = image * map + 2 * line * row,
                                   to = (image * high + line) * wide * maps.channels;
                     pool_loops<X>().unpool(wide, maps.width, maps.channels, grad + to, x + from,
                                            y + to, grad_x + from);
                   }
                 }
               });
}

template void norm_act_forward(Shape, const Bf16*, const float*, const float*, float,
                               const Quantizer&, Bf16*, float*, float*, float*, int);
template void norm_act_forward(Shape, const int16_t*, const float*, const float*, float,
                               const Quantizer&, int8_t*, float*, float*, float*, int);
template void norm_act_backward(Shape, const Bf16*, const Bf16*, const Norm&, const Quantizer&,
                                Bf16*, float*, float*, int);
template void norm_act_backward(Shape, const Bf16*, const int16_t*, const Norm&, const Quantizer&,
                                Bf16*, float*, float*, int);
#define BNN_POOLS(X)                                          \
  template void pool_forward(const Maps&, const X*, X*, int); \
  template void pool_backward(const Maps&, const Bf16*, const X*, const X*, Bf16*, int);
BNN_POOLS(Bf16)
BNN_POOLS(int16_t)
BNN_POOLS(int8_t)
#undef BNN_POOLS

}  // namespace bnn::training
