// SPDX-License-Identifier: BSD-3-Clause
// A convolution whose channels do not meet, as loops that compilers vectorise for each set's
// instructions. Sums are made modulo 2^16 or 2^32; the plan has proved that they fit.
#pragma once

#include <cstring>

#include "engine.hpp"

namespace bnn {
namespace {

template <class T, int Lanes>
struct Together {
  typedef T type __attribute__((vector_size(sizeof(T) * Lanes)));
};

// Channels whose sums fit one register.
#if defined(__AVX512BW__)
constexpr int sum_bytes = 64;
#elif defined(__AVX2__)
constexpr int sum_bytes = 32;
#else
constexpr int sum_bytes = 16;
#endif

// The sums of `Lanes` channels. They are of a vector type: a compiler may keep an array in memory.
template <int Lanes, class Sum, class Value, class Weight>
inline void depthwise_sums(const DepthwiseJob& job, const Value* patch, const Weight* weights,
                           Sum* to) {
  const size_t channels = size_t(job.channels);
  using Sums = typename Together<Sum, Lanes>::type;
  Sums sums{};
  for (int row = 0; row < job.rows; ++row, patch += job.row_stride)
    for (int column = 0; column < job.run; ++column, weights += channels) {
      typename Together<Value, Lanes>::type values;
      typename Together<Weight, Lanes>::type factors;
      std::memcpy(&values, patch + size_t(column) * channels, sizeof values);
      std::memcpy(&factors, weights, sizeof factors);
      sums += __builtin_convertvector(values, Sums) * __builtin_convertvector(factors, Sums);
    }
  std::memcpy(to, &sums, sizeof sums);
}

// The sums of `Lanes` channels from `channel` on, to results. Sum: unsigned, as wide as needed.
template <int Lanes, class Sum, class Value, class Weight>
inline void depthwise_lanes(const DepthwiseJob& job, const Value* patch, const Weight* weights,
                            int part, int channel, size_t position) {
  Sum sums[Lanes];
  const size_t channels = size_t(job.channels);
  depthwise_sums<Lanes, Sum>(job, patch + channel, weights + channel, sums);
  int32_t made[Lanes];
  const size_t first = size_t(part) * channels + size_t(channel);
  const int32_t* offset = job.offset + first;
  for (int i = 0; i < Lanes; ++i) {
    // As a signed number of its own width.
    const int32_t sum = sizeof(Sum) == 2 ? int32_t(int16_t(sums[i])) : int32_t(sums[i]);
    made[i] = int32_t(uint32_t(offset[i]) + uint32_t(job.step) * uint32_t(sum));
  }
  const size_t parts = size_t(job.parts);
  const size_t to = (position * channels + size_t(channel)) * parts + size_t(part);
  if (job.levels == 0) {
    int32_t* out = job.sums + to;
    if (parts == 1)
      for (int i = 0; i < Lanes; ++i) out[i] = made[i];
    else
      for (int i = 0; i < Lanes; ++i) out[size_t(i) * parts] = made[i];
    return;
  }
  int32_t codes[Lanes];
  for (int i = 0; i < Lanes; ++i) codes[i] = job.none[first + size_t(i)];
  const int32_t *least = job.least + first, *turn = job.turn + first;
  for (int level = 0; level < job.levels; ++level, least += parts * channels)
    for (int i = 0; i < Lanes; ++i) codes[i] += made[i] >= least[i] ? turn[i] : 0;
  uint8_t* out = job.codes + to;
  if (parts == 1)
    for (int i = 0; i < Lanes; ++i) out[i] = uint8_t(codes[i]);
  else
    for (int i = 0; i < Lanes; ++i) out[size_t(i) * parts] = uint8_t(codes[i]);
}

// All channels, `Lanes` at a time; the last lanes are some that were made already.
template <int Lanes, class Sum, class Value, class Weight>
inline void depthwise_channels(const DepthwiseJob& job, const Value* patch, const Weight* weights,
                               int part, size_t position) {
  int channel = 0;
  for (; channel + Lanes <= job.channels; channel += Lanes)
    depthwise_lanes<Lanes, Sum>(job, patch, weights, part, channel, position);
  if (channel < job.channels)
    depthwise_lanes<Lanes, Sum>(job, patch, weights, part, job.channels - Lanes, position);
}

template <class Sum, class Value, class Weight>
inline void run_depthwise_of(const DepthwiseJob& job, const Value* source, const Weight* weights) {
  const size_t each = size_t(job.rows) * size_t(job.run) * size_t(job.channels);
  for (int position = 0; position < job.positions; ++position) {
    const Value* patch = source + job.patches[position];
    for (int part = 0; part < job.parts; ++part) {
      const Weight* own = weights + size_t(part) * each;
      constexpr int lanes = sum_bytes / int(sizeof(Sum));
      if (job.channels >= lanes)
        depthwise_channels<lanes, Sum>(job, patch, own, part, size_t(position));
      else if (job.channels >= 8)
        depthwise_channels<8, Sum>(job, patch, own, part, size_t(position));
      else
        depthwise_channels<1, Sum>(job, patch, own, part, size_t(position));
    }
  }
}

inline void run_depthwise(const DepthwiseJob& job) {
  if (job.words != nullptr)
    run_depthwise_of<uint32_t>(job, job.words, job.weights);
  else if (job.is_short)
    run_depthwise_of<uint16_t>(job, job.bytes, job.short_weights);
  else
    run_depthwise_of<uint32_t>(job, job.bytes, job.weights);
}

}  // namespace
}  // namespace bnn
