// SPDX-License-Identifier: BSD-3-Clause
// A matrix of 16-bit weights times one vector of 16-bit values, as loops that compilers vectorise
// for each set's instructions.
#pragma once

#include "engine.hpp"

namespace bnn {
namespace {

struct Exact {
  int32_t operator()(int32_t product) const { return product; }
};
// The product / 2^shift: `below` is what is added before the shift, besides what the rounding adds.
template <int Rounding>
struct Shifted {
  int shift;
  int32_t below;
  int32_t operator()(int32_t product) const {
    if constexpr (Rounding == 0) return (product + below + (product >> shift & 1)) >> shift;
    if constexpr (Rounding == 2) return (product + below + (product < 0)) >> shift;
    return (product + below) >> shift;
  }
};

template <class Of>
inline void vector_sums(const VectorJob& job, Of of) {
  const size_t columns = size_t(job.columns);
  const int16_t* weights = job.weights;
  for (int row = 0; row < job.rows; ++row, weights += columns) {
    int32_t sum = 0;
    for (size_t i = 0; i < columns; ++i) sum += of(int32_t(weights[i]) * int32_t(job.source[i]));
    job.out[row] = sum + job.offset[row];
  }
}

inline void run_vector(const VectorJob& job) {
  if (job.shift == 0) return vector_sums(job, Exact{});
  const int32_t half = int32_t(1) << (job.shift - 1);
  switch (job.rounding) {  // the order of bnn::Rounding
    case 0: return vector_sums(job, Shifted<0>{job.shift, half - 1});
    case 1: return vector_sums(job, Shifted<1>{job.shift, half});
    case 2: return vector_sums(job, Shifted<2>{job.shift, half - 1});
    default: return vector_sums(job, Shifted<3>{job.shift, 0});
  }
}

}  // namespace
}  // namespace bnn
