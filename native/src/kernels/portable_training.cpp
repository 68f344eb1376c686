// SPDX-License-Identifier: BSD-3-Clause
#include "training_loops.hpp"

namespace bnn::training {

Loops portable_training() { return compiled_loops; }

}  // namespace bnn::training
