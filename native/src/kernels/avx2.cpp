// SPDX-License-Identifier: BSD-3-Clause
// AVX2.
#include <immintrin.h>

#include "depthwise.hpp"
#include "kernels.hpp"
#include "lut.hpp"
#include "scalar.hpp"
#include "vectors.hpp"
#include "words.hpp"

namespace bnn {
namespace {

BNN_INLINE uint32_t sign_bits(__m256i lanes) {
  return uint32_t(_mm256_movemask_ps(_mm256_castsi256_ps(lanes)));
}

BNN_INLINE uint32_t reach_epi32(__m256i acc, const int32_t* threshold) {
  const __m256i least = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(threshold));
  return ~sign_bits(_mm256_cmpgt_epi32(least, acc)) & 0xff;
}

// vpmaddubsw adds two products in 16 bits; pairs of channels' sums stay there for a burst.
struct MultiplyAdd {
  using Group = uint32_t;
  using Element = int8_t;
  using Weights = __m256i;
  using Part = __m256i;  // 16 bits: two halves of each of 8 channels' sums
  using Acc = __m256i;   // 32 bits
  using Least = int32_t;
  static constexpr int lanes = 8, bytes = 32, P = 2, Q = 4;
  static constexpr bool one_burst = false;
  static constexpr int burst(const Range& range) {
    const int factor = range.code * std::max(-range.low, range.high);
    return factor == 0 ? 32767 : 32767 / (2 * factor);
  }

  static BNN_INLINE Part zero_part() { return _mm256_setzero_si256(); }
  static BNN_INLINE Acc zero_acc() { return _mm256_setzero_si256(); }
  static BNN_INLINE __m256i broadcast(Group codes) { return _mm256_set1_epi32(int(codes)); }
  static BNN_INLINE Weights load(const uint8_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static BNN_INLINE void mac(Part& part, __m256i a, Weights w) {
    part = _mm256_add_epi16(part, _mm256_maddubs_epi16(a, w));
  }
  static BNN_INLINE void flush(Acc& acc, Part& part) {
    acc = _mm256_add_epi32(acc, _mm256_madd_epi16(part, _mm256_set1_epi16(1)));
    part = _mm256_setzero_si256();
  }
  static BNN_INLINE uint32_t reach(Acc acc, const int32_t* threshold) {
    return reach_epi32(acc, threshold);
  }
  static BNN_INLINE void store(Acc acc, int32_t* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), acc);
  }
};

// Sums that fit 16 bits as a whole, as in a first layer of few channels.
struct ShortMultiplyAdd {
  using Group = uint16_t;
  using Element = int8_t;
  using Weights = __m256i;
  using Part = __m256i;
  using Acc = __m256i;
  using Least = int32_t;
  static constexpr int lanes = 16, bytes = 32, P = 2, Q = 4;
  static constexpr bool one_burst = true;
  static constexpr int burst(const Range& range) {
    const int factor = range.code * std::max(-range.low, range.high);
    return factor == 0 ? 16383 : 32766 / (2 * factor);
  }

  static BNN_INLINE Part zero_part() { return _mm256_setzero_si256(); }
  static BNN_INLINE Acc zero_acc() { return _mm256_setzero_si256(); }
  static BNN_INLINE __m256i broadcast(Group codes) { return _mm256_set1_epi16(int16_t(codes)); }
  static BNN_INLINE Weights load(const uint8_t* from) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
  }
  static BNN_INLINE void mac(Part& part, __m256i a, Weights w) {
    part = _mm256_add_epi16(part, _mm256_maddubs_epi16(a, w));
  }
  static BNN_INLINE void flush(Acc& acc, Part& part) { acc = part; }  // once, at the end
  static BNN_INLINE uint32_t reach(Acc acc, const int32_t* threshold) {
    const auto* thresholds = reinterpret_cast<const __m256i*>(threshold);
    const __m256i low = _mm256_loadu_si256(thresholds), high = _mm256_loadu_si256(thresholds + 1);
    // Sums stay below 32767, so saturated thresholds are never reached.
    const __m256i least = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
    const __m256i missed = _mm256_cmpgt_epi16(least, acc);
    const __m128i bytes =
        _mm_packs_epi16(_mm256_castsi256_si128(missed), _mm256_extracti128_si256(missed, 1));
    return ~uint32_t(_mm_movemask_epi8(bytes)) & 0xffff;
  }
  static BNN_INLINE void store(Acc acc, int32_t* to) {
    auto* sums = reinterpret_cast<__m256i*>(to);
    _mm256_storeu_si256(sums, _mm256_cvtepi16_epi32(_mm256_castsi256_si128(acc)));
    _mm256_storeu_si256(sums + 1, _mm256_cvtepi16_epi32(_mm256_extracti128_si256(acc, 1)));
  }
};

// Weights of 16 bits, for products that overflow the engine above.
struct WideMultiplyAdd : Unlimited {
  using Group = uint32_t;
  using Element = int16_t;
  struct Weights {
    __m256i low, high;  // channels 0..3 and 4..7, four weights each
  };
  using Part = Weights;  // each channel's sum in two halves
  using Acc = Weights;
  using Least = int32_t;
  static constexpr int lanes = 8, bytes = 64, P = 2, Q = 2;

  static BNN_INLINE Part zero_part() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  static BNN_INLINE Acc zero_acc() { return zero_part(); }
  static BNN_INLINE __m256i broadcast(Group codes) {
    return _mm256_cvtepu8_epi16(_mm_set1_epi32(int(codes)));
  }
  static BNN_INLINE Weights load(const uint8_t* from) {
    const auto* vectors = reinterpret_cast<const __m256i*>(from);
    return {_mm256_loadu_si256(vectors), _mm256_loadu_si256(vectors + 1)};
  }
  static BNN_INLINE void mac(Part& part, __m256i a, const Weights& w) {
    part.low = _mm256_add_epi32(part.low, _mm256_madd_epi16(a, w.low));
    part.high = _mm256_add_epi32(part.high, _mm256_madd_epi16(a, w.high));
  }
  static BNN_INLINE __m256i whole(const Acc& acc) {
    return _mm256_permute4x64_epi64(_mm256_hadd_epi32(acc.low, acc.high), 0xd8);
  }
  static BNN_INLINE uint32_t reach(const Acc& acc, const int32_t* threshold) {
    return reach_epi32(whole(acc), threshold);
  }
  static BNN_INLINE void store(const Acc& acc, int32_t* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), whole(acc));
  }
};

// Sums of the look-up tables have 16 bits; the scalar count takes what is deeper.
constexpr BitEngine lut{{0, 0}, BitLayout::nibbles, 32767, run_lut, lut_scratch, "avx2"};
constexpr BitEngine bits = bit_engine<ScalarPopcount, TernaryScalarPopcount>();
constexpr ByteEngine shorts = byte_engine<ShortMultiplyAdd>();
constexpr ByteEngine bytes = byte_engine<MultiplyAdd>();
constexpr ByteEngine wide = byte_engine<WideMultiplyAdd>();

}  // namespace

Kernels avx2_kernels() {
  return {.bits = {&lut, &bits},
          .bytes = {&shorts, &bytes, &wide},
          .words = run_words,
          .depthwise = run_depthwise,
          .vector = run_vector};
}

}  // namespace bnn
