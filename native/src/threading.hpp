// SPDX-License-Identifier: BSD-3-Clause
// Locks and threads for a plan that shares its work. A browser's WebAssembly has one thread:
// there locks do nothing, and no other thread starts.
#pragma once

#ifndef __wasm__
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#endif

namespace bnn {

#ifdef __wasm__

struct Mutex {};
struct Lock {
  explicit Lock(Mutex&) {}
};
struct Condition {
  void notify_one() {}
  // No other thread could make it true.
  template <class Holds>
  void wait(Lock&, const Holds&) {}
};

template <class Work>
bool start_thread(const Work&) {
  return false;
}

#else

using Mutex = std::mutex;
using Lock = std::unique_lock<std::mutex>;
using Condition = std::condition_variable;

// Returns false if the system cannot start another thread.
template <class Work>
bool start_thread(const Work& work) {
  try {
    std::thread(work).detach();
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

#endif

}  // namespace bnn
