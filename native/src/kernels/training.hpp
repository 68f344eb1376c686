// SPDX-License-Identifier: BSD-3-Clause
// The loops of training.cpp over rows of channels: one set of function pointers for each set of
// instructions. The compiler vectorises them; the same source is the portable one.
#pragma once

#include "bnn/training.hpp"

namespace bnn::training {

// The loops of batch norm and activation, from sums X to activations Y.
template <class X, class Y>
struct NormLoops {
  // Adds each channel's sum of x and of x * x to sum and square.
  void (*moments)(Shape shape, const X* x, float* sum, float* square);
  // y = q(slope * x + shift)
  void (*quantize)(Shape shape, const X* x, const float* slope, const float* shift,
                   const Quantizer& quantizer, Y* y);
  // With g the gradient that passes: adds each channel's sum of g and of g * x.
  void (*gradient_moments)(Shape shape, const Bf16* grad, const X* x, const float* slope,
                           const float* shift, const Quantizer& quantizer, float* sum,
                           float* product);
  // to = slope * g + tilt * x + level
  void (*gradient)(Shape shape, const Bf16* grad, const X* x, const float* slope,
                   const float* shift, const Quantizer& quantizer, const float* tilt,
                   const float* level, Bf16* to);
};

// The loops of a pool, for a row of windows: x points to its upper left pixel, y to its result.
template <class X>
struct PoolLoops {
  void (*pool)(int windows, int width, int channels, const X* x, X* y);
  void (*unpool)(int windows, int width, int channels, const Bf16* grad, const X* x, const X* y,
                 Bf16* to);
};

struct Loops {
  NormLoops<Bf16, Bf16> reals;
  NormLoops<int16_t, int8_t> integers;
  PoolLoops<Bf16> real_pools;
  PoolLoops<int16_t> sum_pools;
  PoolLoops<int8_t> code_pools;
};

// The ones in use.
const Loops& loops();

Loops portable_training();
Loops avx2_training();
Loops avx512_training();

}  // namespace bnn::training
