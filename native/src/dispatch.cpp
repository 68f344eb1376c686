// SPDX-License-Identifier: BSD-3-Clause
#include <stdexcept>

#include "engine.hpp"
#include "kernels/kernels.hpp"

namespace bnn {

const std::vector<Kernels>& all_kernels() {
#define X(name) name##_kernels(),
  static const std::vector<Kernels> all = {BNN_KERNEL_SETS};
#undef X
  return all;
}

const Kernels& choose_kernels(const std::string& name) {
  std::string known;
  for (const Kernels& kernels : all_kernels()) {
    if (name.empty() ? kernels.available() : name == kernels.name) {
      if (kernels.available()) return kernels;
      throw std::invalid_argument("this CPU cannot run the kernel '" + name + "' (" + kernels.uses + ")");
    }
    known += known.empty() ? kernels.name : std::string(", ") + kernels.name;
  }
  throw std::invalid_argument("no kernel is called '" + name + "'; there are: " + known);
}

}  // namespace bnn
