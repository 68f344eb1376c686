// SPDX-License-Identifier: BSD-3-Clause
// The loops of training.cpp over rows of channels: one set of function pointers for each set of
// instructions. The compiler vectorises them; the same source is the portable one.
#pragma once

#include "bnn/training.hpp"

namespace bnn::training {

struct Loops {
  // Adds each channel's sum of x and of x * x to sum and square.
  void (*moments)(Shape shape, const Bf16* x, float* sum, float* square);
  // y = q(slope * x + shift)
  void (*quantize)(Shape shape, const Bf16* x, const float* slope, const float* shift, const Quantizer& quantizer,
                   Bf16* y);
  // With g the gradient that passes: adds each channel's sum of g and of g * x.
  void (*gradient_moments)(Shape shape, const Bf16* grad, const Bf16* x, const float* slope, const float* shift,
                           const Quantizer& quantizer, float* sum, float* product);
  // to = slope * g + tilt * x + level
  void (*gradient)(Shape shape, const Bf16* grad, const Bf16* x, const float* slope, const float* shift,
                   const Quantizer& quantizer, const float* tilt, const float* level, Bf16* to);
  // A row of windows of a map: x points to its upper left pixel, y to its first result.
  void (*pool)(int windows, int width, int channels, const Bf16* x, Bf16* y);
  void (*unpool)(int windows, int width, int channels, const Bf16* grad, const Bf16* x, const Bf16* y, Bf16* to);
};

Loops portable_training();
Loops avx2_training();
Loops avx512_training();

}  // namespace bnn::training
