// SPDX-License-Identifier: BSD-3-Clause
// Which loops of a training step this CPU can run. Compiled without any set's flags, like dispatch.cpp.
#include <cstdlib>
#include <string>
#include <utility>

#include "kernels/look_up.hpp"
#include "kernels/training.hpp"

namespace bnn::training {
namespace {

#if defined(__x86_64__)
bool avx2() { return __builtin_cpu_supports("avx2"); }
bool avx512() { return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"); }
bool avx512_bytes() {
  return avx512() && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni");
}
#endif

// The best, or the one that BNN_KERNEL names; not every kernel set has its own.
template <class Set>
Set choose(const std::vector<std::pair<std::string, Set>>& sets) {
  const char* wanted = std::getenv("BNN_KERNEL");
  for (const auto& [name, set] : sets)
    if (wanted != nullptr && name == wanted) return set;
  return sets.front().second;
}

std::vector<std::pair<std::string, Loops>> all_loops() {
  std::vector<std::pair<std::string, Loops>> all;
#if defined(__x86_64__)
  if (avx512()) all.emplace_back("avx512", avx512_training());
  if (avx2()) all.emplace_back("avx2", avx2_training());
#endif
  all.emplace_back("portable", portable_training());
  return all;
}

}  // namespace

std::vector<std::pair<std::string, LookUp>> look_ups() {
  std::vector<std::pair<std::string, LookUp>> all;
#if defined(__x86_64__)
  if (avx512_bytes()) all.emplace_back("avx512", avx512_look_up());
  if (avx2()) all.emplace_back("avx2", avx2_look_up());
#elif defined(__aarch64__)
  all.emplace_back("neon", neon_look_up());
#endif
  all.emplace_back("portable", portable_look_up());
  return all;
}

const LookUp& look_up() {
  static const LookUp chosen = choose(look_ups());
  return chosen;
}

const Loops& loops() {
  static const Loops chosen = choose(all_loops());
  return chosen;
}

}  // namespace bnn::training
