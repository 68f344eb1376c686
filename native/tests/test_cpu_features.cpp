// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cstdio>
#include <string>

#include "bnn/cpu_features.hpp"

int main() {
  const auto names = bnn::cpu_features();
  const auto has = [&names](const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  for (const auto& name : names) std::printf("%s\n", name.c_str());

#if defined(__x86_64__)
  if (!has("sse2")) return std::puts("sse2 is part of x86-64, yet it is not reported"), 1;
  if (has("avx2") && !has("avx")) return std::puts("avx2 reported without avx"), 1;
#elif defined(__aarch64__)
  if (!has("neon")) return std::puts("neon is part of AArch64, yet it is not reported"), 1;
#endif
  return has("") ? 1 : 0;
}
