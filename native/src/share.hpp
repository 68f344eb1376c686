// SPDX-License-Identifier: BSD-3-Clause
// Work of a training step, shared between threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

namespace bnn::training {

// Values below which a thread costs more than it brings.
constexpr int64_t share = 1 << 16;

inline int workers(int64_t units, int64_t values, int threads) {
  return int(std::clamp<int64_t>(std::min<int64_t>(threads, values / share), 1, std::max<int64_t>(units, 1)));
}

// Calls work(worker, first, last) for shares of [0, units), each in a thread of its own.
template <class Work>
void divide(int64_t units, int count, const Work& work) {
  std::vector<std::thread> others;
  for (int worker = 1; worker < count; ++worker) {
    others.emplace_back([=, &work] { work(worker, units * worker / count, units * (worker + 1) / count); });
  }
  work(0, 0, units / count);
  for (auto& other : others) other.join();
}

}  // namespace bnn::training
