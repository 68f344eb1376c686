// SPDX-License-Identifier: BSD-3-Clause
#include "bnn/cpu_features.hpp"

#if defined(__linux__) && (defined(__aarch64__) || defined(__arm__))
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace bnn {

std::vector<std::string> cpu_features() {
  std::vector<std::string> names;
  [[maybe_unused]] const auto add = [&names](const char* name, bool present) {
    if (present) names.emplace_back(name);
  };

#if defined(__x86_64__) || defined(__i386__)
  // The builtin also asks whether the operating system saves the wide registers. It takes literals
  // only, hence the macro.
#define BNN_ADD_X86(name) add(name, __builtin_cpu_supports(name) != 0)
  __builtin_cpu_init();
  BNN_ADD_X86("sse2");
  BNN_ADD_X86("ssse3");
  BNN_ADD_X86("sse4.1");
  BNN_ADD_X86("popcnt");
  BNN_ADD_X86("avx");
  BNN_ADD_X86("avx2");
  BNN_ADD_X86("bmi2");
  BNN_ADD_X86("avx512f");
  BNN_ADD_X86("avx512bw");
  BNN_ADD_X86("avx512vl");
  BNN_ADD_X86("avx512vbmi");
  BNN_ADD_X86("avx512vnni");
  BNN_ADD_X86("avx512bitalg");
  BNN_ADD_X86("avx512vpopcntdq");
#undef BNN_ADD_X86

#elif defined(__linux__) && defined(__aarch64__)
  // Features that the C library's headers do not have yet are not reported.
  [[maybe_unused]] const unsigned long caps = getauxval(AT_HWCAP);
  [[maybe_unused]] const unsigned long caps2 = getauxval(AT_HWCAP2);
  add("neon", (caps & HWCAP_ASIMD) != 0);
#ifdef HWCAP_ASIMDDP
  add("dotprod", (caps & HWCAP_ASIMDDP) != 0);
#endif
#ifdef HWCAP_SVE
  add("sve", (caps & HWCAP_SVE) != 0);
#endif
#ifdef HWCAP2_SVE2
  add("sve2", (caps2 & HWCAP2_SVE2) != 0);
#endif
#ifdef HWCAP2_I8MM
  add("i8mm", (caps2 & HWCAP2_I8MM) != 0);
#endif

#elif defined(__linux__) && defined(__arm__)
  add("neon", (getauxval(AT_HWCAP) & HWCAP_NEON) != 0);

#elif defined(__aarch64__)
  add("neon", true);  // part of the base architecture
#endif

  return names;
}

}  // namespace bnn
