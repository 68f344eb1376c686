// SPDX-License-Identifier: BSD-3-Clause
// A convolution whose channels do not meet, as a step.
#pragma once

#include "dot_step.hpp"

namespace bnn {

// `task.source` is of form bytes or words: of a window that has its border already, or patches.
// `task.target` is of form words, or bytes if there is a threshold; there is no pool.
// `run`: kernel columns of a patch; `channels`: of a pixel under the kernel.
StepPointer depthwise_step(const DotTask& task, const Edge& sums, int run, int channels,
                           const Kernels& kernels, Needs& needs);

}  // namespace bnn
