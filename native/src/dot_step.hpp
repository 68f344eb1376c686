// SPDX-License-Identifier: BSD-3-Clause
// The fused dot as a step.
#pragma once

#include "encode.hpp"
#include "steps.hpp"

namespace bnn {

// Window (already bordered), dot, and the operations fused after it.
struct DotTask {
  const Op* dot = nullptr;
  const Op* threshold = nullptr;  // or none: accumulators
  const Op* pool = nullptr;       // or none; its windows lie side by side
  bool pool_first = false;        // the pool comes before the threshold
  Slide slide{};                  // of the window
  Lattice lattice{};              // of what the dot reads
  Map source{}, target{};
  Slot from = 0, to = 0, scratch = 0;
  int weight_planes = 0;  // of the weights, with a source of form bits
};

// Whether the raw sums fit what kernels compare (32 bits).
bool fits_kernels(const Op& dot, const Lattice& lattice, int weight_planes);
// Memory that a step needs besides its maps.
struct Needs {
  size_t weights = 0;  // bytes of packed weights, summed up
  size_t scratch = 0;  // bytes of working memory: the maximum over all steps
};
StepPointer dot_step(const DotTask& task, const Kernels& kernels, Needs& needs);
// Accumulators of a dot over values (source of form words).
StepPointer word_dot_step(const DotTask& task, const Kernels& kernels, Needs& needs);
// Accumulators of any dot, slowly, in 64 bits.
StepPointer wide_dot_step(const DotTask& task);

}  // namespace bnn
