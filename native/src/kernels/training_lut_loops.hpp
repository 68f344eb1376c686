// SPDX-License-Identifier: BSD-3-Clause
// The loops that compilers vectorise by themselves, for the including source's instructions; in an
// unnamed namespace for the reason given in training_loops.hpp.
#pragma once

#include <cstring>

#include "bf16.hpp"
#include "training_lut.hpp"

namespace bnn::training {
namespace {

// A pseudo-random number for each index: a hash, so that the order of work does not matter.
inline uint32_t scatter(uint32_t place) {
  place *= 0x9e3779b1u;
  place ^= place >> 15;
  place *= 0x85ebca77u;
  return place ^ place >> 13;
}

void round_values(const Bf16* __restrict values, const float* __restrict scale, int64_t count,
                  uint32_t seed, int8_t* __restrict to) {
  for (int i = 0; i < int(count); ++i) {  // as narrow as the hash: half the work of vectors
    // Of 16 bits, so that 0 + chance + 128 is not rounded: 0 stays 0. Above 0, truncation is floor.
    const float chance = float(int32_t(scatter(seed + uint32_t(i)) >> 16)) * 0x1p-16f;
    // The scale of gradients that are NaN or infinite is 0: they cannot be converted to integers.
    const float scaled = scale[i] > 0 ? wide(values[i]) * scale[i] : 0.0f;
    to[i] = int8_t(int32_t(scaled + chance + 128.0f) - 128);
  }
}

void largest_values(const Bf16* __restrict values, int64_t count, uint16_t* __restrict largest) {
  for (int64_t i = 0; i < count; ++i) {
    const auto size = uint16_t(values[i] & 0x7fff);
    largest[i] = size > largest[i] ? size : largest[i];
  }
}

void interleave_values(const int8_t* const* images, int channels, Signs signs, int64_t stride,
                       int8_t* __restrict to) {
  const int8_t *a = images[0], *b = images[1];
  if (signs == Signs::ternary) {
    for (int c = 0; c < channels; ++c, to += stride) to[0] = a[c], to[1] = b[c];
    return;
  }
  const int8_t *d = images[2], *e = images[3];
  for (int c = 0; c < channels; ++c, to += stride) {
    const int8_t bytes[4] = {a[c], b[c], d[c], e[c]};
    std::memcpy(to, bytes, sizeof bytes);
  }
}

[[maybe_unused]] void keep_order(uint8_t*, int64_t) {}

void finish_as_sums(int32_t* __restrict sums, int32_t excess, int count, int16_t* __restrict to) {
  for (int lane = 0; lane < count; ++lane) to[lane] = int16_t(sums[lane] - excess);
  std::memset(sums, 0, lanes * sizeof *sums);
}

void finish_as_reals(int32_t* __restrict sums, int32_t excess, float unit, int count,
                     Bf16* __restrict to) {
  for (int lane = 0; lane < count; ++lane) to[lane] = narrow(unit * float(sums[lane] - excess));
  std::memset(sums, 0, lanes * sizeof *sums);
}

void codes_of(const int8_t* const* images, int channels, Signs signs, uint8_t* __restrict to) {
  const int8_t *a = images[0], *b = images[1];
  if (signs == Signs::ternary) {
    for (int c = 0; c < channels; ++c) to[c] = uint8_t(((a[c] + 1) & 3) | ((b[c] + 1) & 3) << 2);
    return;
  }
  const int8_t *d = images[2], *e = images[3];
  for (int c = 0; c < channels; ++c)
    to[c] = uint8_t(uint8_t(a[c] > 0) | uint8_t(b[c] > 0) << 1 | uint8_t(d[c] > 0) << 2 |
                    uint8_t(e[c] > 0) << 3);
}

void multiply_rows(const int16_t* factors, int rows, int terms, const int16_t* __restrict weights,
                   int count, int64_t stride, int16_t* __restrict to) {
  constexpr int some = 4;  // rows that a weight is loaded for
  for (int row = 0; row < rows; row += some) {
    int16_t sums[some][lanes] = {};
    const int16_t* from[some];
    for (int i = 0; i < some; ++i)
      from[i] = factors + int64_t(row + i < rows ? row + i : row) * terms;
    for (int term = 0; term < terms; ++term)
      for (int i = 0; i < some; ++i)
        for (int lane = 0; lane < lanes; ++lane)
          sums[i][lane] = int16_t(sums[i][lane] + from[i][term] * weights[term * lanes + lane]);
    for (int i = 0; i < some && row + i < rows; ++i)
      std::memcpy(to + (row + i) * stride, sums[i], size_t(count) * sizeof *to);
  }
}

// A vector type where the compiler has one, in as many registers as it needs.
typedef float Reals __attribute__((vector_size(64)));

template <int some>
void outer_terms(const float* __restrict factors, const float* __restrict grads, int rows,
                 int terms, int64_t wide, float* __restrict to) {
  constexpr int part = sizeof(Reals) / sizeof(float);  // lanes
  for (int64_t first = 0; first < wide; first += part) {
    Reals sums[some] = {};
    for (int row = 0; row < rows; ++row) {
      Reals grad;
      std::memcpy(&grad, grads + row * wide + first, sizeof grad);
      for (int i = 0; i < some; ++i) sums[i] += factors[int64_t(row) * terms + i] * grad;
    }
    for (int i = 0; i < some; ++i) {
      Reals sum;
      std::memcpy(&sum, to + i * wide + first, sizeof sum);
      sum += sums[i];
      std::memcpy(to + i * wide + first, &sum, sizeof sum);
    }
  }
}

void outer_products(const float* factors, const float* grads, int rows, int terms, int64_t wide,
                    float* sums) {
  constexpr int some = 6;  // sums that stay in registers
  int term = 0;
  for (; term + some <= terms; term += some)
    outer_terms<some>(factors + term, grads, rows, terms, wide, sums + term * wide);
  for (; term < terms; ++term)
    outer_terms<1>(factors + term, grads, rows, terms, wide, sums + term * wide);
}

void widen_values(const Bf16* __restrict values, int count, float* __restrict to) {
  for (int i = 0; i < count; ++i) to[i] = wide(values[i]);
}

// These loops, and those that each set of instructions has written by hand.
inline LutLoops lut_with(const char* name, decltype(LutLoops::tables) tables,
                         decltype(LutLoops::arrange) arrange, decltype(LutLoops::sum) sum,
                         decltype(LutLoops::sum) sum_small) {
  return {.name = name,
          .tables = tables,
          .arrange = arrange,
          .sum = sum,
          .sum_small = sum_small,
          .round = round_values,
          .largest = largest_values,
          .interleave = interleave_values,
          .finish_sums = finish_as_sums,
          .finish_reals = finish_as_reals,
          .codes = codes_of,
          .multiply = multiply_rows,
          .outer = outer_products,
          .widen = widen_values};
}

}  // namespace
}  // namespace bnn::training
