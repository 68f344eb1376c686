// SPDX-License-Identifier: BSD-3-Clause
// The three matrix products of a training step for layers whose weights and inputs are -1, +1 or
// -1, 0, +1, by table look-up (native/README.md has the picture). Forward sums are exact. Gradients
// become integers of 6 bits (7 where the other factor is ternary) by stochastic rounding, so that
// the products are right on average.
//
// Maps are (images, height, width, channels) and weights (outputs, kernel rows, kernel columns,
// inputs), row-major; gradients of maps are bfloat16 as raw bits. Results do not depend on the
// number of threads.
#pragma once

#include <array>
#include <cstdint>

#include "bnn/training.hpp"

namespace bnn::training {

// A convolution of stride 1; a dense layer is a 1x1 convolution on maps of 1x1.
struct Correlation {
  int64_t images;
  int height, width, inputs;   // of the map
  int outputs;                 // channels of the result
  std::array<int, 2> kernel;   // rows, columns
  std::array<int, 4> padding;  // top, left, bottom, right: zeros

  int rows() const { return height + padding[0] + padding[2] - kernel[0] + 1; }
  int columns() const { return width + padding[1] + padding[3] - kernel[1] + 1; }
  int64_t values() const { return images * rows() * columns() * outputs; }  // of the result
  int64_t fan_in() const { return int64_t(kernel[0]) * kernel[1] * inputs; }
};

// The instructions in use: "portable" where that is slower than floating-point products.
const char* lut_kernel();

// The values that a factor may have.
enum class Signs { bipolar, ternary };

// y = x * weights; x has -1, 0 and +1 only. Throws std::invalid_argument if sums exceed 16 bits.
void correlate(const Correlation& correlation, const int8_t* x, const int8_t* weights,
               Signs weight_signs, int16_t* y, int threads);

// Computes the gradient of x from that of y; each image has a scale of its own.
void correlate_back(const Correlation& correlation, const Bf16* grad, const int8_t* weights,
                    Signs weight_signs, uint32_t seed, Bf16* grad_x, int threads);

// Computes the gradient of the weights from that of y; each output channel has its own scale.
void correlate_weights(const Correlation& correlation, const Bf16* grad, const int8_t* x,
                       Signs x_signs, uint32_t seed, float* grad_weights, int threads);

}  // namespace bnn::training
