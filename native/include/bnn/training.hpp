// SPDX-License-Identifier: BSD-3-Clause
// The passes of training that take most of its memory traffic, combined as far as possible: batch
// norm and quantizer in one pass, and 2x2 maximum pooling. The matrix products are PyTorch's.
//
// Gradients are bfloat16 as raw bits. Maps are too; or, for sums of integers, int16 before the
// activation and int8 after it. Row-major, channels last; statistics are in double precision.
// Results depend on the number of threads only by the rounding of these sums.
#pragma once

#include <cstdint>

namespace bnn::training {

using Bf16 = uint16_t;

// rows x channels values. A position of a map is a row.
struct Shape {
  int64_t rows;
  int channels;
};

// q(z), z = gamma * (x - mean) * inv_std + beta; its gradient is 0 outside a window.
struct Quantizer {
  float low, high;  // least and largest value
  bool bipolar;     // q = z >= 0 ? +1 : -1; else floor(clip(z) + 1/2)
  bool quadratic;   // gradient 2 - 2|z| within (-1, 1); else 1 within (low, high)
};

struct Norm {
  const float *gamma, *beta, *mean, *inv_std;  // (channels)
};

// Writes batch statistics to mean, inv_std and (biased) variance, each (channels), and q(z) to y.
// X and Y: both Bf16, or int16_t and int8_t.
template <class X, class Y>
void norm_act_forward(Shape shape, const X* x, const float* gamma, const float* beta, float epsilon,
                      const Quantizer& quantizer, Y* y, float* mean, float* inv_std,
                      float* variance, int threads);

// Computes the gradients of x, gamma and beta from that of q(z).
template <class X>
void norm_act_backward(Shape shape, const Bf16* grad, const X* x, const Norm& norm,
                       const Quantizer& quantizer, Bf16* grad_x, float* grad_gamma,
                       float* grad_beta, int threads);

// Maps of images x height x width pixels; an odd last row or column is not pooled.
struct Maps {
  int64_t images;
  int height, width, channels;
};

// X: Bf16, int16_t or int8_t.
template <class X>
void pool_forward(const Maps& maps, const X* x, X* y, int threads);

// The gradient goes to the first maximum of each window, row by row.
template <class X>
void pool_backward(const Maps& maps, const Bf16* grad, const X* x, const X* y, Bf16* grad_x,
                   int threads);

}  // namespace bnn::training
