// SPDX-License-Identifier: BSD-3-Clause
// The products of a training step for the layer that reads pictures: its inputs are bytes, and no
// table can have their sums. Shapes are those of training_lut.hpp. Forward sums are exact; results
// do not depend on the number of threads, nor on the instructions.
#pragma once

#include <cstdint>

#include "bnn/training_lut.hpp"

namespace bnn::training {

// y = x * weights, whose products and sums must fit 16 bits.
void correlate_first(const Correlation& correlation, const int16_t* x, const int16_t* weights,
                     int16_t* y, int threads);

// Computes the gradient of the weights from that of y.
void correlate_first_weights(const Correlation& correlation, const Bf16* grad, const int16_t* x,
                             float* grad_weights, int threads);

}  // namespace bnn::training
