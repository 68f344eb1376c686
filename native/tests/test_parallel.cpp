// SPDX-License-Identifier: BSD-3-Clause
// Work that is shared between threads is done once each, also where no thread can be started.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "parallel.hpp"

#if defined(__linux__)
#include <sys/resource.h>
#endif

namespace {

// Whether every unit was worked on once, and every worker's number is its own.
bool all_done_once(int64_t units, int count) {
  std::vector<std::atomic<int>> times(static_cast<size_t>(units));
  std::vector<std::atomic<int>> workers(static_cast<size_t>(count));
  bnn::training::parallel_for(units, count, [&](int worker, int64_t first, int64_t last) {
    ++workers[size_t(worker)];
    for (int64_t unit = first; unit < last; ++unit) ++times[size_t(unit)];
  });
  for (const auto& each : times)
    if (each != 1) return false;
  for (const auto& each : workers)
    if (each != 1) return false;
  return true;
}

bool check(const char* what, bool right) {
  if (!right) std::fprintf(stderr, "%s: not every unit was done once\n", what);
  return right;
}

#if defined(__linux__)
// First of all, while no stack of an ended thread can be used again: no address space for one
// more, as in a container with a tight limit.
[[maybe_unused]] bool without_threads() {
  rlimit before{};
  getrlimit(RLIMIT_AS, &before);
  const rlimit none{1 << 20, before.rlim_max};
  setrlimit(RLIMIT_AS, &none);
  bool right = check("no threads", all_done_once(64, 16));
  {
    bnn::training::Threads threads(1);
    if (threads.start([] {})) {
      std::fprintf(stderr, "a thread was started, so the case was not tested\n");
      right = false;
    }
  }
  setrlimit(RLIMIT_AS, &before);
  return right;
}
#endif

}  // namespace

int main() {
  bool right = true;
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // An emulator does not pass the limit on: tools/cross-test says so.
  if (std::getenv("BNN_EMULATED") == nullptr) right &= without_threads();
#endif
  for (const int64_t units : {0, 1, 2, 7, 64, 1000})
    for (const int count : {1, 2, 3, 16}) right &= check("threads", all_done_once(units, count));
  return right ? 0 : 1;
}
