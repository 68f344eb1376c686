// SPDX-License-Identifier: BSD-3-Clause
// Helpers of the products of training_lut.cpp: scales of gradients, and sums of table entries.
#pragma once

#include <algorithm>

#include "kernels/bf16.hpp"
#include "kernels/training_lut.hpp"

namespace bnn::training {

inline int round_up(int value, int to) { return (value + to - 1) / to * to; }

// Of `lanes` channels each.
inline int panels_of(int channels) { return round_up(channels, lanes) / lanes; }

// Below `limit`, so that the largest value stays within it whichever way it is rounded.
inline float scale_for(uint16_t largest, int limit) {
  const float value = wide(largest);
  // A gradient that is NaN or infinite must not become an index; the loss reports it.
  return value > 1e-30f && value < 1e30f ? (float(limit) - 0.01f) / value : 0.0f;
}

inline float inverse(float scale) { return scale > 0 ? 1 / scale : 0.0f; }

// Collects runs of look-ups, and sums them whenever max_word_lookups are collected.
class Summing {
 public:
  explicit Summing(int bias) : sum_(bias <= 4 ? lut().sum_small : lut().sum) {}

  void begin(int32_t* first, int32_t* second) { sums_[0] = first, sums_[1] = second; }

  void add(const uint8_t* first, const uint8_t* second, const uint8_t* codes, int64_t count) {
    while (count > 0) {
      const auto now = int(std::min<int64_t>(count, max_word_lookups - used_));
      stretches_[held_++] = {{first, second}, codes, now};
      used_ += now;
      if (used_ == max_word_lookups || held_ == max_held) flush();
      first += now * table_bytes, second += now * table_bytes, codes += now * lanes;
      count -= now;
    }
  }

  void flush() {
    if (held_ > 0) sum_(stretches_, held_, sums_);
    held_ = used_ = 0;
  }

 private:
  static constexpr int max_held = 32;
  decltype(LutLoops::sum) sum_;
  int32_t* sums_[2] = {};
  Stretch stretches_[max_held];
  int held_ = 0, used_ = 0;
};

}  // namespace bnn::training
