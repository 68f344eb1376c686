// SPDX-License-Identifier: BSD-3-Clause
// AVX-512: VPOPCNTDQ counts 8 words of equal bits at once, VNNI multiplies and adds 64 bytes.
#include <immintrin.h>

#include "gemm.hpp"
#include "kernels.hpp"
#include "vectors.hpp"
#include "words.hpp"

namespace bnn {
namespace {

template <int Planes>
struct Popcount {
  using Group = uint64_t;
  struct Weights {
    __m512i plane[Planes];
  };
  using Part = __m512i;
  using Acc = __m512i;
  static constexpr int lanes = 8, bytes = 64 * Planes, P = 4, Q = 4, burst = no_limit;

  static BNN_INLINE Part zero_part() { return _mm512_setzero_si512(); }
  static BNN_INLINE Acc zero_acc() { return _mm512_setzero_si512(); }
  static BNN_INLINE __m512i broadcast(Group bits) { return _mm512_set1_epi64(int64_t(bits)); }
  static BNN_INLINE Weights load(const uint8_t* from) {
    Weights w;
    unroll<Planes>([&](auto i)
                       BNN_LAMBDA_INLINE { w.plane[i] = _mm512_loadu_si512(from + 64 * i); });
    return w;
  }
  static BNN_INLINE void mac(Part& part, __m512i a, const Weights& w) {
    unroll<Planes>([&](auto i) BNN_LAMBDA_INLINE {
      part = _mm512_add_epi64(part, _mm512_popcnt_epi64(_mm512_xor_si512(a, w.plane[i])));
    });
  }
  static BNN_INLINE void flush(Acc& acc, Part& part) { acc = part; }  // once, at the end
  static BNN_INLINE uint32_t reach(Acc acc, const int32_t* threshold) {
    const __m512i least =
        _mm512_cvtepi32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(threshold)));
    return _mm512_cmpge_epi64_mask(acc, least);
  }
  static BNN_INLINE void store(Acc acc, int32_t* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi64_epi32(acc));
  }
};

struct MultiplyAdd : Unlimited {
  using Group = uint32_t;
  using Element = int8_t;
  using Weights = __m512i;
  using Part = __m512i;
  using Acc = __m512i;
  static constexpr int lanes = 16, bytes = 64, P = 4, Q = 4;

  static BNN_INLINE Part zero_part() { return _mm512_setzero_si512(); }
  static BNN_INLINE Acc zero_acc() { return _mm512_setzero_si512(); }
  static BNN_INLINE __m512i broadcast(Group codes) { return _mm512_set1_epi32(int(codes)); }
  static BNN_INLINE Weights load(const uint8_t* from) { return _mm512_loadu_si512(from); }
  static BNN_INLINE void mac(Part& part, __m512i a, Weights w) {
    part = _mm512_dpbusd_epi32(part, a, w);
  }
  static BNN_INLINE uint32_t reach(Acc acc, const int32_t* threshold) {
    return _mm512_cmpge_epi32_mask(acc, _mm512_loadu_si512(threshold));
  }
  static BNN_INLINE void store(Acc acc, int32_t* to) { _mm512_storeu_si512(to, acc); }
};

// The same with weights of 16 bits, for unsigned 8-bit weights.
struct WideMultiplyAdd : Unlimited {
  using Group = uint32_t;
  using Element = int16_t;
  struct Weights {
    __m512i low, high;  // channels 0..7 and 8..15, four weights each
  };
  using Part = Weights;  // each channel's sum in two halves
  using Acc = Weights;
  static constexpr int lanes = 16, bytes = 128, P = 2, Q = 4;

  static BNN_INLINE Part zero_part() { return {_mm512_setzero_si512(), _mm512_setzero_si512()}; }
  static BNN_INLINE Acc zero_acc() { return zero_part(); }
  static BNN_INLINE __m512i broadcast(Group codes) {
    return _mm512_cvtepu8_epi16(_mm256_set1_epi32(int(codes)));
  }
  static BNN_INLINE Weights load(const uint8_t* from) {
    return {_mm512_loadu_si512(from), _mm512_loadu_si512(from + 64)};
  }
  static BNN_INLINE void mac(Part& part, __m512i a, const Weights& w) {
    part.low = _mm512_dpwssd_epi32(part.low, a, w.low);
    part.high = _mm512_dpwssd_epi32(part.high, a, w.high);
  }
  static BNN_INLINE __m512i whole(const Acc& acc) {
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    return _mm512_add_epi32(_mm512_permutex2var_epi32(acc.low, even, acc.high),
                            _mm512_permutex2var_epi32(acc.low, odd, acc.high));
  }
  static BNN_INLINE uint32_t reach(const Acc& acc, const int32_t* threshold) {
    return _mm512_cmpge_epi32_mask(whole(acc), _mm512_loadu_si512(threshold));
  }
  static BNN_INLINE void store(const Acc& acc, int32_t* to) { _mm512_storeu_si512(to, whole(acc)); }
};

constexpr BitEngine bits = bit_engine<Popcount>();
constexpr ByteEngine bytes = byte_engine<MultiplyAdd>();
constexpr ByteEngine wide = byte_engine<WideMultiplyAdd>();

}  // namespace

// Counting four pairs of planes is slower than looking two channels up.
Kernels avx512_kernels() {
  return {.bits = {&bits},
          .bytes = {&bytes, &wide},
          .ternary = avx2_kernels().bits[0],
          .words = run_words,
          .vector = run_vector};
}

}  // namespace bnn
