// SPDX-License-Identifier: BSD-3-Clause
// The inner loops of training_lut.cpp and first_layer.cpp, one set of functions for each
// instruction set.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "bnn/training_lut.hpp"

namespace bnn::training {

constexpr int lanes = 64;              // sums that share a table
constexpr int table_bytes = 16;        // one sum for each code
constexpr int block_tables = 4;        // tables that are stored side by side
constexpr int max_word_lookups = 256;  // look-ups whose sums fit 16 bits
constexpr int max_table_sum =
    124;  // largest sum in a table; it is added to all, so that they are bytes from 0
constexpr int max_byte_lookups =
    24;  // look-ups whose sums fit a byte, where the largest is 4 or less

namespace {  // so that no linker takes the copy of a source for other instructions

// How many values a table is made of, and the largest of them.
constexpr int values_per_table(Signs signs) { return signs == Signs::bipolar ? 4 : 2; }
constexpr int max_value(Signs signs) { return max_table_sum / values_per_table(signs); }

}  // namespace

// A run of look-ups: at each, two tables with the same codes. Tables and codes are contiguous.
struct Stretch {
  const uint8_t* tables[2];
  const uint8_t* codes;
  int count;  // in whole blocks
};

struct LutLoops {
  const char* name;  // of the instructions
  // A block of tables from each block_tables * values_per_table values: all sums of +-values (or of
  // a part of them) plus `bias`, which is even, by code.
  void (*tables)(const int8_t* values, int64_t blocks, Signs signs, int bias, uint8_t* to);
  // Rearranges codes of [table][lane] in place, as `sum` needs those of a block.
  void (*arrange)(uint8_t* codes, int64_t blocks);
  // Adds what `lanes` codes find in the tables to sums[0] and sums[1]; at most `max_word_lookups`
  // look-ups in all. `sum_small` where the bias is small.
  void (*sum)(const Stretch* stretches, int count, int32_t* const* sums);
  void (*sum_small)(const Stretch* stretches, int count, int32_t* const* sums);
  // to = floor(scale * values + random in [0, 1)), all of them within +-(max_value + 1).
  void (*round)(const Bf16* values, const float* scale, int64_t count, uint32_t seed, int8_t* to);
  // largest = max(largest, bits of |values|)
  void (*largest)(const Bf16* values, int64_t count, uint16_t* largest);
  // to[channel * stride + image] = images[image][channel]
  void (*interleave)(const int8_t* const* images, int channels, Signs signs, int64_t stride,
                     int8_t* to);
  // to = sums - excess, and that times unit; sums become 0.
  void (*finish_sums)(int32_t* sums, int32_t excess, int count, int16_t* to);
  void (*finish_reals)(int32_t* sums, int32_t excess, float unit, int count, Bf16* to);
  // Codes of `channels` values of each of values_per_table(signs) images.
  void (*codes)(const int8_t* const* images, int channels, Signs signs, uint8_t* to);

  // For the first layer (first_layer.cpp). to[row * stride + lane] = sum of factors[row][term] *
  // weights[term][lane], for `count` of the lanes.
  void (*multiply)(const int16_t* factors, int rows, int terms, const int16_t* weights, int count,
                   int64_t stride, int16_t* to);
  // sums[term][lane] += sum over rows of factors[row][term] * grads[row][lane]; `wide` is whole
  // lanes.
  void (*outer)(const float* factors, const float* grads, int rows, int terms, int64_t wide,
                float* sums);
  void (*widen)(const Bf16* values, int count, float* to);
};

// All tables that this CPU can run, by name, the best first; and the one in use.
std::vector<std::pair<std::string, LutLoops>> all_luts();
const LutLoops& lut();

// Throws std::invalid_argument where a correlation cannot be computed.
void check(const Correlation& correlation);

LutLoops portable_training_lut();
LutLoops avx2_training_lut();
LutLoops avx512_training_lut();
LutLoops neon_training_lut();

}  // namespace bnn::training
