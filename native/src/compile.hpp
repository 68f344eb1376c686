// SPDX-License-Identifier: BSD-3-Clause
// From a program to steps over buffers.
#pragma once

#include "steps.hpp"

namespace bnn {

struct Compiled {
  std::vector<StepPointer> steps;
  std::vector<Buffer> buffers;  // offsets are still to be laid out
  size_t weight_bytes = 0;
};

Compiled compile(const Program& program, int scores, int decision, const Kernels& kernels);

}  // namespace bnn
