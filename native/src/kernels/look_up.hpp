// SPDX-License-Identifier: BSD-3-Clause
// What look_up.cpp is built on, for one set of instructions each.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "bnn/look_up.hpp"

namespace bnn::training {

constexpr int lanes = 64;        // sums that share a table
constexpr int table_bytes = 16;  // one sum for each code
constexpr int block = 4;         // tables that stand side by side, always
constexpr int burst = 256;       // look-ups whose sums fit 16 bits
constexpr int full = 124;        // largest sum in a table; it is added to all, so that they are bytes from 0
constexpr int small = 24;        // look-ups whose sums fit a byte, where the largest is 4 or less

namespace {  // so that no linker takes the copy of a source for other instructions

// How many values a table is made of, and the largest of them.
constexpr int group(Signs signs) { return signs == Signs::bipolar ? 4 : 2; }
constexpr int most(Signs signs) { return full / group(signs); }

}  // namespace

// A stretch of look-ups: two tables with the same codes, each time. Tables and codes follow each other.
struct Stretch {
  const uint8_t* tables[2];
  const uint8_t* codes;
  int count;  // in whole blocks
};

struct LookUp {
  const char* name;  // of the instructions
  // A block of tables from each block * group values: all sums of +-values (or of a part of them)
  // plus `bias`, which is even, by code.
  void (*tables)(const int8_t* values, int64_t blocks, Signs signs, int bias, uint8_t* to);
  // Codes of [table][lane], in place, as `sum` wants those of a block.
  void (*arrange)(uint8_t* codes, int64_t blocks);
  // Adds what `lanes` codes find in the tables to sums[0] and sums[1]; at most `burst` look-ups in
  // all. `sum_small` where the bias is small.
  void (*sum)(const Stretch* stretches, int count, int32_t* const* sums);
  void (*sum_small)(const Stretch* stretches, int count, int32_t* const* sums);
  // to = floor(scale * values + random in [0, 1)), all of them within +-(most + 1).
  void (*round)(const Bf16* values, const float* scale, int64_t count, uint32_t seed, int8_t* to);
  // largest = max(largest, bits of |values|)
  void (*largest)(const Bf16* values, int64_t count, uint16_t* largest);
  // to[channel * stride + image] = images[image][channel]
  void (*interleave)(const int8_t* const* images, int channels, Signs signs, int64_t stride, int8_t* to);
  // to = sums - excess, and that times unit; sums become 0.
  void (*finish_sums)(int32_t* sums, int32_t excess, int count, int16_t* to);
  void (*finish_reals)(int32_t* sums, int32_t excess, float unit, int count, Bf16* to);
  // Codes of `channels` values of each of group(signs) images.
  void (*codes)(const int8_t* const* images, int channels, Signs signs, uint8_t* to);

  // Of the first layer (first_layer.cpp). to[row * stride + lane] = sum of factors[row][term] *
  // weights[term][lane], for `count` of the lanes.
  void (*multiply)(const int16_t* factors, int rows, int terms, const int16_t* weights, int count, int64_t stride,
                   int16_t* to);
  // sums[term][lane] += sum over rows of factors[row][term] * grads[row][lane]; `wide` is whole lanes.
  void (*outer)(const float* factors, const float* grads, int rows, int terms, int64_t wide, float* sums);
  void (*widen)(const Bf16* values, int count, float* to);
};

// All that this CPU can run, by name, the best first; and the one in use.
std::vector<std::pair<std::string, LookUp>> look_ups();
const LookUp& look_up();

// Throws std::invalid_argument where a correlation cannot be computed.
void check(const Correlation& by);

LookUp portable_look_up();
LookUp avx2_look_up();
LookUp avx512_look_up();
LookUp neon_look_up();

}  // namespace bnn::training
