// SPDX-License-Identifier: BSD-3-Clause
// Steps of recurrent networks: a scan, and a dot whose products are rounded.
#pragma once

#include "steps.hpp"

namespace bnn {

// Runs the body of a scan over the images of a frame, which are the columns of one sequence. Both
// maps are vectors of form words.
StepPointer scan_step(const Op& scan, const Kernels& kernels, Slot source, Slot target,
                      size_t& weight_bytes);
// Accumulators of a dot with rounded products over a map of form words.
StepPointer rounded_dot_step(const Op& dot, const Edge& read, const Kernels& kernels, Slot source,
                             Slot target, size_t& weight_bytes);

}  // namespace bnn
