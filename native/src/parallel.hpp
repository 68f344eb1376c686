// SPDX-License-Identifier: BSD-3-Clause
// Loops of a training step, shared between threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

namespace bnn::training {

// A thread with fewer values than these costs more than it saves.
constexpr int64_t values_per_thread = 1 << 16;

inline int thread_count(int64_t units, int64_t values, int threads) {
  return int(std::clamp<int64_t>(std::min<int64_t>(threads, values / values_per_thread), 1,
                                 std::max<int64_t>(units, 1)));
}

// Threads that are joined wherever their owner ends, by an exception too.
class Threads {
 public:
  explicit Threads(size_t max_threads) { threads_.reserve(max_threads); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  ~Threads() {
    for (auto& thread : threads_) thread.join();
  }
  // Returns false if the system cannot start another thread.
  template <class Work>
  bool start(const Work& work) {
    try {
      threads_.emplace_back(work);
      return true;
    } catch (const std::system_error&) {
      return false;
    }
  }

 private:
  std::vector<std::thread> threads_;
};

// Calls work(worker, first, last) for shares of [0, units), each in a thread of its own where
// there is one; this thread does the shares of those that cannot be started.
template <class Work>
void parallel_for(int64_t units, int count, const Work& work) {
  const auto share_of = [&work, units, count](int worker) {
    work(worker, units * worker / count, units * (worker + 1) / count);
  };
  Threads others(size_t(std::max(count - 1, 0)));
  int started = 1;
  while (started < count && others.start([share_of, started] { share_of(started); })) ++started;
  share_of(0);
  for (int worker = started; worker < count; ++worker) share_of(worker);
}

}  // namespace bnn::training
