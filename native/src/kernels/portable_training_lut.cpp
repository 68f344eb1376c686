// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>

#include "training_lut_loops.hpp"

namespace bnn::training {
namespace {

// A field of 3, which no code has, is treated as 2.
int sign(int field) { return std::min(field, 2) - 1; }

int entry(const int8_t* values, int code, Signs signs) {
  if (signs == Signs::ternary) return sign(code & 3) * values[0] + sign(code >> 2) * values[1];
  int sum = 0;
  for (int i = 0; i < 4; ++i) sum += (code >> i & 1) != 0 ? values[i] : -values[i];
  return sum;
}

void tables(const int8_t* values, int64_t blocks, Signs signs, int bias, uint8_t* to) {
  for (int64_t count = blocks * block_tables; count > 0; --count, values += values_per_table(signs))
    for (int code = 0; code < table_bytes; ++code)
      *to++ = uint8_t(bias + entry(values, code, signs));
}

void sum(const Stretch* stretches, int count, int32_t* const* sums) {
  for (const Stretch* one = stretches; one < stretches + count; ++one)
    for (int i = 0; i < one->count; ++i)
      for (int side = 0; side < 2; ++side)
        for (int lane = 0; lane < lanes; ++lane)
          sums[side][lane] += one->tables[side][i * table_bytes + one->codes[i * lanes + lane]];
}

}  // namespace

LutLoops portable_training_lut() { return lut_with("portable", tables, keep_order, sum, sum); }

}  // namespace bnn::training
