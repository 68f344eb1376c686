// SPDX-License-Identifier: BSD-3-Clause
// With VBMI a shuffle looks up in four tables at once, and with VNNI what it finds in them for one
// sum is added to 32 bits: no sum overflows, whatever the values.
#include <immintrin.h>

#include "training_lut_loops.hpp"

namespace bnn::training {
namespace {

constexpr int vectors = 4;              // of 16 sums
constexpr int block_bytes = 4 * lanes;  // codes of a block

__m512i load(const void* from) { return _mm512_loadu_si512(from); }

// Codes of a block as bytes of [sum][table], each with its table's place.
void arrange(uint8_t* codes, int64_t blocks) {
  const __m512i places = _mm512_set1_epi32(0x30201000);
  for (; blocks > 0; --blocks, codes += block_bytes) {
    const __m512i a = load(codes), b = load(codes + 64), c = load(codes + 128),
                  d = load(codes + 192);
    const __m512i ab[2] = {_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b)};
    const __m512i cd[2] = {_mm512_unpacklo_epi8(c, d), _mm512_unpackhi_epi8(c, d)};
    // Each has four sums of every 16; they become 16 in a row.
    const __m512i p = _mm512_unpacklo_epi16(ab[0], cd[0]), q = _mm512_unpackhi_epi16(ab[0], cd[0]);
    const __m512i r = _mm512_unpacklo_epi16(ab[1], cd[1]), s = _mm512_unpackhi_epi16(ab[1], cd[1]);
    const __m512i pq[2] = {_mm512_shuffle_i32x4(p, q, 0x44), _mm512_shuffle_i32x4(p, q, 0xee)};
    const __m512i rs[2] = {_mm512_shuffle_i32x4(r, s, 0x44), _mm512_shuffle_i32x4(r, s, 0xee)};
    for (int v = 0; v < vectors; ++v) {
      const __m512i sums = v % 2 == 0 ? _mm512_shuffle_i32x4(pq[v / 2], rs[v / 2], 0x88)
                                      : _mm512_shuffle_i32x4(pq[v / 2], rs[v / 2], 0xdd);
      _mm512_storeu_si512(codes + 64 * v, _mm512_or_si512(sums, places));
    }
  }
}

// A table is the sum of two halves of four entries each: of two values with either sign, or of one
// value that may be left out. Which values each of a block's halves takes, and what becomes of
// them.
struct Halves {
  alignas(64) int8_t first[64] = {}, second[64] = {};
  uint64_t add[2] = {}, subtract[2] = {};

  explicit constexpr Halves(Signs signs) {
    for (int at = 0; at < 64; ++at) {
      const int half = at / 4 % 8, code = at % 4;
      const auto bit = uint64_t(1) << at;
      first[at] = int8_t(signs == Signs::bipolar ? 2 * half : half);
      second[at] = int8_t(first[at] + 1);
      if (signs == Signs::bipolar) {
        for (int which = 0; which < 2; ++which)
          ((code >> which & 1) != 0 ? add : subtract)[which] |= bit;
      } else if (code != 1) {
        (code == 0 ? subtract : add)[0] |= bit;
      }
    }
  }
};
constexpr Halves bipolar_halves(Signs::bipolar), ternary_halves(Signs::ternary);

// Which halves each entry of a block of tables takes.
struct Entries {
  alignas(64) int8_t low[64] = {}, high[64] = {};

  constexpr Entries() {
    for (int at = 0; at < 64; ++at) {
      const int table = at / table_bytes, code = at % table_bytes;
      low[at] = int8_t(8 * table + (code & 3));
      high[at] = int8_t(8 * table + 4 + (code >> 2));
    }
  }
};
constexpr Entries entries;

template <Signs signs>
void tables_of(const Halves& halves, const int8_t* values, int64_t blocks, int bias, uint8_t* to) {
  constexpr int each = block_tables * values_per_table(signs);
  const __m512i first_at = _mm512_load_si512(halves.first),
                second_at = _mm512_load_si512(halves.second);
  const __m512i low = _mm512_load_si512(entries.low), high = _mm512_load_si512(entries.high);
  const __m512i start = _mm512_set1_epi8(char(bias / 2));
  for (; blocks > 0; --blocks, values += each, to += block_tables * table_bytes) {
    const auto* from = reinterpret_cast<const __m128i*>(values);
    const __m512i all =
        _mm512_broadcast_i32x4(each == 16 ? _mm_loadu_si128(from) : _mm_loadl_epi64(from));
    const __m512i first = _mm512_shuffle_epi8(all, first_at),
                  second = _mm512_shuffle_epi8(all, second_at);
    __m512i half = _mm512_mask_add_epi8(start, halves.add[0], start, first);
    half = _mm512_mask_sub_epi8(half, halves.subtract[0], half, first);
    half = _mm512_mask_add_epi8(half, halves.add[1], half, second);
    half = _mm512_mask_sub_epi8(half, halves.subtract[1], half, second);
    _mm512_storeu_si512(to, _mm512_add_epi8(_mm512_permutexvar_epi8(low, half),
                                            _mm512_permutexvar_epi8(high, half)));
  }
}

void tables(const int8_t* values, int64_t blocks, Signs signs, int bias, uint8_t* to) {
  signs == Signs::bipolar ? tables_of<Signs::bipolar>(bipolar_halves, values, blocks, bias, to)
                          : tables_of<Signs::ternary>(ternary_halves, values, blocks, bias, to);
}

void sum(const Stretch* stretches, int count, int32_t* const* sums) {
  const __m512i ones = _mm512_set1_epi8(1);
  __m512i all[2][vectors];
#pragma GCC unroll 8
  for (int i = 0; i < 2 * vectors; ++i)
    all[i / vectors][i % vectors] = load(sums[i / vectors] + 16 * (i % vectors));
  for (const Stretch* one = stretches; one < stretches + count; ++one) {
    const uint8_t *first = one->tables[0], *second = one->tables[1], *codes = one->codes;
    for (int left = one->count; left > 0; left -= block_tables) {
      const __m512i here = load(first), there = load(second);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        const __m512i code = load(codes + 64 * v);
        all[0][v] = _mm512_dpbusd_epi32(all[0][v], _mm512_permutexvar_epi8(code, here), ones);
        all[1][v] = _mm512_dpbusd_epi32(all[1][v], _mm512_permutexvar_epi8(code, there), ones);
      }
      first += block_tables * table_bytes, second += block_tables * table_bytes,
          codes += block_bytes;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < 2 * vectors; ++i)
    _mm512_storeu_si512(sums[i / vectors] + 16 * (i % vectors), all[i / vectors][i % vectors]);
}

}  // namespace

LutLoops avx512_training_lut() { return lut_with("avx512", tables, arrange, sum, sum); }

}  // namespace bnn::training
