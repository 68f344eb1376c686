// SPDX-License-Identifier: BSD-3-Clause
// AArch64 only: ARMv7 has no table look-up of 16 bytes.
#include <arm_neon.h>

#include "training_lut_loops.hpp"

namespace bnn::training {
namespace {

constexpr int vectors = lanes / 16;

// Which byte of the values each table uses, and with which sign for each code.
struct Term {
  uint8x16_t place;
  int8x16_t sign;
};

Term term(Signs signs, int which, int table) {
  uint8_t place[16];
  int8_t sign[16];
  for (int code = 0; code < table_bytes; ++code) {
    const int field = code >> 2 * which & 3;
    place[code] = uint8_t(table * values_per_table(signs) + which);
    sign[code] = int8_t(signs == Signs::bipolar ? ((code >> which & 1) != 0 ? 1 : -1)
                                                : (field > 2 ? 2 : field) - 1);
  }
  return {vld1q_u8(place), vld1q_s8(sign)};
}

void tables(const int8_t* values, int64_t blocks, Signs signs, int bias, uint8_t* to) {
  Term terms[2][4];
  for (int table = 0; table < 2; ++table)
    for (int which = 0; which < values_per_table(signs); ++which)
      terms[table][which] = term(signs, which, table);
  for (int64_t pairs = blocks * block_tables / 2; pairs > 0;
       --pairs, values += 2 * values_per_table(signs)) {
    int64_t word = 0;
    std::memcpy(&word, values, size_t(2 * values_per_table(signs)));
    const int8x16_t all = vreinterpretq_s8_s64(vdupq_n_s64(word));
    for (const auto& table : terms) {
      int8x16_t sums = vdupq_n_s8(int8_t(bias));
      for (int which = 0; which < values_per_table(signs); ++which)
        sums = vmlaq_s8(sums, vqtbl1q_s8(all, table[which].place), table[which].sign);
      vst1q_u8(to, vreinterpretq_u8_s8(sums));
      to += table_bytes;
    }
  }
}

// 64 sums of 16 bits.
struct Sums {
  uint16x8_t low[vectors], high[vectors];

  Sums() {
    for (int v = 0; v < vectors; ++v) low[v] = high[v] = vdupq_n_u16(0);
  }
  void add(int v, uint8x16_t found) {
    low[v] = vaddw_u8(low[v], vget_low_u8(found));
    high[v] = vaddw_high_u8(high[v], found);
  }
  void flush(int32_t* to) const {
    for (int v = 0; v < vectors; ++v) put(low[v], to + 16 * v), put(high[v], to + 16 * v + 8);
  }

 private:
  static void put(uint16x8_t sums, int32_t* to) {
    vst1q_s32(to, vaddq_s32(vld1q_s32(to), vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(sums)))));
    vst1q_s32(to + 4, vaddq_s32(vld1q_s32(to + 4), vreinterpretq_s32_u32(vmovl_high_u16(sums))));
  }
};

void sum(const Stretch* stretches, int count, int32_t* const* sums) {
  Sums all[2];
  for (const Stretch* one = stretches; one < stretches + count; ++one) {
    const uint8_t *first = one->tables[0], *second = one->tables[1], *codes = one->codes;
    for (int left = one->count; left > 0; --left) {
      const uint8x16_t here = vld1q_u8(first), there = vld1q_u8(second);
      for (int v = 0; v < vectors; ++v) {
        const uint8x16_t code = vld1q_u8(codes + 16 * v);
        all[0].add(v, vqtbl1q_u8(here, code));
        all[1].add(v, vqtbl1q_u8(there, code));
      }
      first += table_bytes, second += table_bytes, codes += lanes;
    }
  }
  all[0].flush(sums[0]), all[1].flush(sums[1]);
}

// Bytes first, then 16 bits.
void sum_small(const Stretch* stretches, int count, int32_t* const* sums) {
  Sums all[2];
  for (const Stretch* one = stretches; one < stretches + count; ++one) {
    const uint8_t *first = one->tables[0], *second = one->tables[1], *codes = one->codes;
    for (int left = one->count; left > 0; left -= max_byte_lookups) {
      uint8x16_t bytes[2][vectors];
      for (auto& side : bytes)
        for (auto& vector : side) vector = vdupq_n_u8(0);
      for (int now = left < max_byte_lookups ? left : max_byte_lookups; now > 0; --now) {
        const uint8x16_t here = vld1q_u8(first), there = vld1q_u8(second);
        for (int v = 0; v < vectors; ++v) {
          const uint8x16_t code = vld1q_u8(codes + 16 * v);
          bytes[0][v] = vaddq_u8(bytes[0][v], vqtbl1q_u8(here, code));
          bytes[1][v] = vaddq_u8(bytes[1][v], vqtbl1q_u8(there, code));
        }
        first += table_bytes, second += table_bytes, codes += lanes;
      }
      for (int side = 0; side < 2; ++side)
        for (int v = 0; v < vectors; ++v) all[side].add(v, bytes[side][v]);
    }
  }
  all[0].flush(sums[0]), all[1].flush(sums[1]);
}

}  // namespace

LutLoops neon_training_lut() { return lut_with("neon", tables, keep_order, sum, sum_small); }

}  // namespace bnn::training
