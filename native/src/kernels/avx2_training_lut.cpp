// SPDX-License-Identifier: BSD-3-Clause
#include <immintrin.h>

#include "training_lut_loops.hpp"

namespace bnn::training {
namespace {

__m256i load(const uint8_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

// Which byte of the values each table uses, and with which sign for each code.
struct Term {
  __m256i place, sign;
};

Term term(Signs signs, int which) {
  alignas(32) int8_t place[32], sign[32];
  for (int at = 0; at < 32; ++at) {
    const int code = at % table_bytes;
    place[at] = int8_t(at / table_bytes * values_per_table(signs) + which);
    sign[at] = int8_t(signs == Signs::bipolar ? ((code >> which & 1) != 0 ? 1 : -1)
                                              : (code >> 2 * which & 3) - 1);
  }
  return {_mm256_load_si256(reinterpret_cast<const __m256i*>(place)),
          _mm256_load_si256(reinterpret_cast<const __m256i*>(sign))};
}

template <Signs signs>
void tables_of(const int8_t* values, int64_t blocks, int bias, uint8_t* to) {
  Term terms[values_per_table(signs)];
  for (int which = 0; which < values_per_table(signs); ++which) terms[which] = term(signs, which);
  for (int64_t i = 0; i < blocks * block_tables / 2;
       ++i, values += 2 * values_per_table(signs), to += 2 * table_bytes) {
    int64_t word = 0;
    std::memcpy(&word, values, 2 * values_per_table(signs));
    const __m256i all = _mm256_set1_epi64x(word);
    __m256i sums = _mm256_set1_epi8(char(bias));
    for (const Term& one : terms)
      sums = _mm256_add_epi8(sums, _mm256_sign_epi8(_mm256_shuffle_epi8(all, one.place), one.sign));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), sums);
  }
}

void tables(const int8_t* values, int64_t blocks, Signs signs, int bias, uint8_t* to) {
  signs == Signs::bipolar ? tables_of<Signs::bipolar>(values, blocks, bias, to)
                          : tables_of<Signs::ternary>(values, blocks, bias, to);
}

// 32 sums of 16 bits: `all` holds low + 256 * high modulo 2^16 of each two neighbours, `high` the
// second.
struct Sums {
  __m256i all, high;

  void add(__m256i found) {
    all = _mm256_add_epi16(all, found);
    high = _mm256_add_epi16(high, _mm256_srli_epi16(found, 8));
  }
  void flush(int32_t* to) const {
    const __m256i low = _mm256_sub_epi16(all, _mm256_slli_epi16(high, 8));
    const __m256i first = _mm256_unpacklo_epi16(low, high),
                  second = _mm256_unpackhi_epi16(low, high);
    put(_mm256_permute2x128_si256(first, second, 0x20), to);
    put(_mm256_permute2x128_si256(first, second, 0x31), to + 16);
  }

 private:
  static void put(__m256i sums, int32_t* to) {
    auto* at = reinterpret_cast<__m256i*>(to);
    const __m256i first = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(sums));
    const __m256i second = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(sums, 1));
    _mm256_storeu_si256(at, _mm256_add_epi32(_mm256_loadu_si256(at), first));
    _mm256_storeu_si256(at + 1, _mm256_add_epi32(_mm256_loadu_si256(at + 1), second));
  }
};

__m256i table(const uint8_t* from) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}

void sum(const Stretch* stretches, int count, int32_t* const* sums) {
  const __m256i zero = _mm256_setzero_si256();
  Sums a{zero, zero}, b{zero, zero}, c{zero, zero}, d{zero, zero};
  for (const Stretch* one = stretches; one < stretches + count; ++one) {
    const uint8_t *first = one->tables[0], *second = one->tables[1], *codes = one->codes;
    for (int left = one->count; left > 0; --left) {
      const __m256i low = load(codes), high = load(codes + 32);
      const __m256i here = table(first), there = table(second);
      a.add(_mm256_shuffle_epi8(here, low));
      b.add(_mm256_shuffle_epi8(here, high));
      c.add(_mm256_shuffle_epi8(there, low));
      d.add(_mm256_shuffle_epi8(there, high));
      first += table_bytes, second += table_bytes, codes += lanes;
    }
  }
  a.flush(sums[0]), b.flush(sums[0] + 32), c.flush(sums[1]), d.flush(sums[1] + 32);
}

// Bytes first, then 16 bits.
void sum_small(const Stretch* stretches, int count, int32_t* const* sums) {
  const __m256i zero = _mm256_setzero_si256();
  Sums all[4] = {{zero, zero}, {zero, zero}, {zero, zero}, {zero, zero}};
  for (const Stretch* one = stretches; one < stretches + count; ++one) {
    const uint8_t *first = one->tables[0], *second = one->tables[1], *codes = one->codes;
    for (int left = one->count; left > 0; left -= max_byte_lookups) {
      __m256i a = zero, b = zero, c = zero, d = zero;
      for (int now = left < max_byte_lookups ? left : max_byte_lookups; now > 0; --now) {
        const __m256i low = load(codes), high = load(codes + 32);
        const __m256i here = table(first), there = table(second);
        a = _mm256_add_epi8(a, _mm256_shuffle_epi8(here, low));
        b = _mm256_add_epi8(b, _mm256_shuffle_epi8(here, high));
        c = _mm256_add_epi8(c, _mm256_shuffle_epi8(there, low));
        d = _mm256_add_epi8(d, _mm256_shuffle_epi8(there, high));
        first += table_bytes, second += table_bytes, codes += lanes;
      }
      all[0].add(a), all[1].add(b), all[2].add(c), all[3].add(d);
    }
  }
  for (int i = 0; i < 4; ++i) all[i].flush(sums[i / 2] + i % 2 * 32);
}

}  // namespace

LutLoops avx2_training_lut() { return lut_with("avx2", tables, keep_order, sum, sum_small); }

}  // namespace bnn::training
