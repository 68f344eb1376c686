// SPDX-License-Identifier: BSD-3-Clause
// The dot over values of 32 bits, as a loop that compilers vectorise for each set's instructions.
#pragma once

#include "engine.hpp"

namespace bnn {
namespace {

// Four channels at a time share the loads of a patch.
template <int Channels>
inline void word_sums(const WordJob& job, const int32_t* patch, int channel, int32_t* out) {
  uint32_t sums[Channels] = {};
  const size_t run = size_t(job.run), each = size_t(job.rows) * run;
  const int32_t* weights = job.weights + size_t(channel) * each;
  for (int row = 0; row < job.rows; ++row, weights += run, patch += job.row_stride)
    for (size_t i = 0; i < run; ++i)
      for (size_t c = 0; c < Channels; ++c)
        sums[c] += uint32_t(weights[c * each + i]) * uint32_t(patch[i]);
  for (int c = 0; c < Channels; ++c)
    out[channel + c] = int32_t(sums[c] + uint32_t(job.offset[channel + c]));
}

inline void run_words(const WordJob& job) {
  int32_t* out = job.out;
  for (int position = 0; position < job.positions; ++position, out += job.channels) {
    const int32_t* patch = job.source + job.patches[position];
    int channel = 0;
    for (; channel + 4 <= job.channels; channel += 4) word_sums<4>(job, patch, channel, out);
    for (; channel < job.channels; ++channel) word_sums<1>(job, patch, channel, out);
  }
}

}  // namespace
}  // namespace bnn
