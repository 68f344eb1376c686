// SPDX-License-Identifier: BSD-3-Clause
// From a program to steps over buffers.
#pragma once

#include "steps.hpp"

namespace bnn {

// For whom a step is: the edge that was being made.
struct Note {
  int edge = 0;
  const char* what = "";
};

struct Compiled {
  std::vector<StepPointer> steps;
  std::vector<Note> notes;      // of each step
  std::vector<Buffer> buffers;  // offsets are still to be laid out
  size_t weight_bytes = 0;
};

Compiled compile(const Program& program, int scores, int decision, const Kernels& kernels);

}  // namespace bnn
