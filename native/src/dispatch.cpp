// SPDX-License-Identifier: BSD-3-Clause
// The only file that finds out what this CPU can run: kernel sets of programs, and loops of
// training steps. It is compiled without the flags of any set, because it must run on every CPU.
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>

#include "engine.hpp"
#include "kernels/kernels.hpp"
#include "kernels/training.hpp"
#include "kernels/training_lut.hpp"

#ifdef __linux__
#if defined(__aarch64__) || defined(__arm__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#elif defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace bnn {
namespace {

// For every set that CMake may name: its instructions, and whether this CPU has them.
[[maybe_unused]] constexpr const char* portable_uses = "plain C++";
[[maybe_unused]] bool portable_available() { return true; }

#if defined(__x86_64__)
constexpr const char *avx2_uses = "AVX2", *avx512_uses = "AVX-512 with VPOPCNTDQ and VNNI",
                     *amx_uses = "AMX tiles of 8-bit integers, and AVX-512";

bool avx2_available() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt") &&
         __builtin_cpu_supports("bmi2");
}

bool avx512_available() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") &&
         __builtin_cpu_supports("avx512vpopcntdq") && avx2_available();
}

bool amx_available() {
#ifdef __linux__
  constexpr int request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM
  // Not __builtin_cpu_supports, whose names of AMX older versions of clang do not know.
  constexpr unsigned tiles_and_int8 = 3u << 24;
  unsigned a = 0, b = 0, c = 0, d = 0;
  return avx512_available() && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 &&
         (d & tiles_and_int8) == tiles_and_int8 &&
         syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}
#endif

#if defined(__aarch64__) || defined(__arm__)
constexpr const char* neon_uses = "NEON";

bool neon_available() {
#if defined(__linux__) && defined(__arm__)
  return (getauxval(AT_HWCAP) & HWCAP_NEON) != 0;
#else
  return true;  // part of AArch64
#endif
}
#endif

#if defined(__aarch64__)
constexpr const char* dotprod_uses = "NEON with the dot product of Armv8.2";

bool dotprod_available() {
#ifdef __linux__
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
  return false;
#endif
}
#endif

#if defined(__wasm_simd128__)
constexpr const char* simd128_uses = "WebAssembly SIMD";

// A module with these instructions does not load where they are missing.
bool simd128_available() { return true; }
#endif

}  // namespace

const std::vector<KernelSet>& kernel_sets() {
#define X(name) {#name, name##_uses, name##_available, name##_kernels},
  static const std::vector<KernelSet> all = {BNN_KERNEL_SETS};
#undef X
  return all;
}

const KernelSet& choose_kernels(const std::string& name) {
  std::string known;
  for (const KernelSet& set : kernel_sets()) {
    if (name.empty() ? set.available() : name == set.name) {
      if (set.available()) return set;
      throw std::invalid_argument("this CPU cannot run the kernel '" + name + "' (" + set.uses +
                                  ")");
    }
    known += known.empty() ? set.name : std::string(", ") + set.name;
  }
  throw std::invalid_argument("no kernel is called '" + name + "'; there are: " + known);
}

}  // namespace bnn

namespace bnn::training {
namespace {

#if defined(__x86_64__)
bool avx2() { return __builtin_cpu_supports("avx2"); }
bool avx512() { return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"); }
bool avx512_bytes() {
  return avx512() && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni");
}
#endif

// The first of `sets` (those that this CPU can run, the best first), or the one that BNN_KERNEL
// names: not every kernel set has loops of its own.
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

std::vector<std::pair<std::string, LutLoops>> all_luts() {
  std::vector<std::pair<std::string, LutLoops>> all;
#if defined(__x86_64__)
  if (avx512_bytes()) all.emplace_back("avx512", avx512_training_lut());
  if (avx2()) all.emplace_back("avx2", avx2_training_lut());
#elif defined(__aarch64__)
  all.emplace_back("neon", neon_training_lut());
#endif
  all.emplace_back("portable", portable_training_lut());
  return all;
}

const LutLoops& lut() {
  static const LutLoops chosen = choose(all_luts());
  return chosen;
}

const Loops& loops() {
  static const Loops chosen = choose(all_loops());
  return chosen;
}

}  // namespace bnn::training
