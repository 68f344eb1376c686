// SPDX-License-Identifier: BSD-3-Clause
// Work of a training step, shared between threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

namespace bnn::training {

// Values below which a thread costs more than it brings.
constexpr int64_t share = 1 << 16;

inline int workers(int64_t units, int64_t values, int threads) {
  return int(std::clamp<int64_t>(std::min<int64_t>(threads, values / share), 1, std::max<int64_t>(units, 1)));
}

// Threads that are joined wherever their owner ends, by an exception too.
class Threads {
 public:
  explicit Threads(size_t most) { threads_.reserve(most); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  ~Threads() {
    for (auto& thread : threads_) thread.join();
  }
  // False where the machine gives no more threads.
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
void divide(int64_t units, int count, const Work& work) {
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
