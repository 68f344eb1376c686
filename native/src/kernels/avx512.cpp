// SPDX-License-Identifier: BSD-3-Clause
// AVX-512: VPOPCNTDQ counts 8 words of equal bits at once, VNNI multiplies and adds 64 bytes.
#include <immintrin.h>

#include "depthwise.hpp"
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
  using Least = int64_t;
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
  static BNN_INLINE uint32_t reach(Acc acc, const int64_t* threshold) {
    return _mm512_cmpge_epi64_mask(acc, _mm512_load_si512(threshold));
  }
  static BNN_INLINE void store(Acc acc, int32_t* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi64_epi32(acc));
  }
};

// Two planes of codes at a time (gemm.hpp).
template <int Planes>
struct TernaryPopcount : Popcount<Planes> {
  using Base = Popcount<Planes>;
  struct Group {
    uint64_t a, b;
  };
  struct Codes {
    __m512i a;
    const uint64_t* b;
  };
  static constexpr int weight_planes = Planes;

  static BNN_INLINE void start(__m512i& part, __m512i& acc, int32_t count) {
    part = acc = _mm512_set1_epi64(count);
  }
  static BNN_INLINE Codes codes(const uint8_t* from) {
    Group both;
    std::memcpy(&both, from, sizeof both);
    return {_mm512_set1_epi64(int64_t(both.a)), reinterpret_cast<const uint64_t*>(from) + 1};
  }
  // (a ^ w) & (b ^ w). The instruction overwrites one of the three; a compiler would keep it by a
  // copy, which needs the ports of the count. Loading b again needs another one.
  static BNN_INLINE __m512i both_differ(const Codes& codes, __m512i w) {
    __m512i bits;
    asm("vpbroadcastq %[b], %[bits]\n vpternlogq $0x42, %[w], %[a], %[bits]"
        : [bits] "=&v"(bits)
        : [b] "m"(*codes.b), [a] "v"(codes.a), [w] "v"(w));
    return bits;
  }
  static BNN_INLINE void mac(__m512i& part, const Codes& codes, const typename Base::Weights& w) {
    unroll<Planes>([&](auto i) BNN_LAMBDA_INLINE {
      part = _mm512_add_epi64(part, _mm512_popcnt_epi64(both_differ(codes, w.plane[i])));
    });
  }
};

struct MultiplyAdd : Unlimited {
  using Group = uint32_t;
  using Element = int8_t;
  using Weights = __m512i;
  using Part = __m512i;
  using Acc = __m512i;
  using Least = int32_t;
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
  using Least = int32_t;
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

constexpr BitEngine bits = bit_engine<Popcount, TernaryPopcount>("avx512");
constexpr ByteEngine bytes = byte_engine<MultiplyAdd>("vnni");
constexpr ByteEngine wide = byte_engine<WideMultiplyAdd>();

}  // namespace

Kernels avx512_kernels() {
  return {.bits = {&bits},
          .bytes = {&bytes, &wide},
          .words = run_words,
          .depthwise = run_depthwise,
          .vector = run_vector};
}

}  // namespace bnn
