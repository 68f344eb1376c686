// SPDX-License-Identifier: BSD-3-Clause
// Which kernel sets this CPU can run. Compiled without any set's flags: asking must be possible everywhere.
#include <stdexcept>

#include "engine.hpp"
#include "kernels/kernels.hpp"

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

// For every set that CMake may name: what it is built on, and whether it can run.
[[maybe_unused]] constexpr const char* portable_uses = "plain C++";
[[maybe_unused]] bool portable_available() { return true; }

#if defined(__x86_64__)
constexpr const char *avx2_uses = "AVX2", *avx512_uses = "AVX-512 with VPOPCNTDQ and VNNI",
                     *amx_uses = "AMX tiles of 8-bit integers, and AVX-512";

bool avx2_available() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("bmi2");
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
      throw std::invalid_argument("this CPU cannot run the kernel '" + name + "' (" + set.uses + ")");
    }
    known += known.empty() ? set.name : std::string(", ") + set.name;
  }
  throw std::invalid_argument("no kernel is called '" + name + "'; there are: " + known);
}

}  // namespace bnn
