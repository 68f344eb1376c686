// SPDX-License-Identifier: BSD-3-Clause
// The only file that knows Python: it turns calls into calls of the core and adds nothing.
// Its signatures are written down in src/bnn/_native.pyi.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bnn/cpu_features.hpp"

namespace nb = nanobind;

NB_MODULE(_native, m) {
  m.doc() = "The C++ core of bnn. Private: use the runtimes of bnn instead.";

  m.def("cpu_features", &bnn::cpu_features,
        "Names of the SIMD features that this CPU offers, from old to new.");
}
