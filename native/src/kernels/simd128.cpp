// SPDX-License-Identifier: BSD-3-Clause
// WebAssembly's vectors of 128 bits: i8x16.popcnt counts the bits of bytes, i32x4.dot_i16x8
// multiplies and adds.
#include <wasm_simd128.h>

#include "kernels.hpp"
#include "simd128_lut.hpp"

namespace bnn {
namespace {

// Two channels a vector. Bytes hold counts of up to 8 ones a group, so 31 groups fit.
template <int Planes>
struct Popcount {
  using Group = uint64_t;
  struct Weights {
    v128_t plane[Planes];
  };
  using Part = v128_t;
  using Acc = v128_t;  // two sums of 64 bits
  using Least = int32_t;
  static constexpr int lanes = 2, bytes = 16 * Planes, P = 2, Q = 2, burst = 31 / Planes;

  static BNN_INLINE Part zero_part() { return wasm_i64x2_const(0, 0); }
  static BNN_INLINE Acc zero_acc() { return wasm_i64x2_const(0, 0); }
  static BNN_INLINE v128_t broadcast(Group bits) { return wasm_i64x2_splat(int64_t(bits)); }
  static BNN_INLINE Weights load(const uint8_t* from) {
    Weights w;
    unroll<Planes>([&](auto i) BNN_LAMBDA_INLINE { w.plane[i] = wasm_v128_load(from + 16 * i); });
    return w;
  }
  static BNN_INLINE void mac(Part& part, v128_t a, const Weights& w) {
    unroll<Planes>([&](auto i) BNN_LAMBDA_INLINE {
      part = wasm_i8x16_add(part, wasm_i8x16_popcnt(wasm_v128_xor(a, w.plane[i])));
    });
  }
  static BNN_INLINE void flush(Acc& acc, Part& part) {
    const v128_t sums = wasm_u32x4_extadd_pairwise_u16x8(wasm_u16x8_extadd_pairwise_u8x16(part));
    // The upper halves of 64 bits, moved down, added to the lower ones.
    const v128_t low = wasm_v128_and(sums, wasm_i64x2_const(0xffffffff, 0xffffffff));
    acc = wasm_i64x2_add(acc, wasm_i64x2_add(low, wasm_u64x2_shr(sums, 32)));
    part = zero_part();
  }
  static BNN_INLINE int32_t sum(Acc acc, int lane) {
    return int32_t(lane == 0 ? wasm_i64x2_extract_lane(acc, 0) : wasm_i64x2_extract_lane(acc, 1));
  }
  static BNN_INLINE uint32_t reach(Acc acc, const int32_t* threshold) {
    return uint32_t(sum(acc, 0) >= threshold[0]) | uint32_t(sum(acc, 1) >= threshold[1]) << 1;
  }
  static BNN_INLINE void store(Acc acc, int32_t* to) { to[0] = sum(acc, 0), to[1] = sum(acc, 1); }
};

// Two planes of codes at a time (gemm.hpp).
template <int Planes>
struct TernaryPopcount : Popcount<Planes> {
  using Base = Popcount<Planes>;
  struct Group {
    uint64_t a, b;
  };
  struct Codes {
    v128_t a, b;
  };
  static constexpr int weight_planes = Planes;

  static BNN_INLINE void start(v128_t& part, v128_t& acc, int32_t count) {
    part = Base::zero_part();
    acc = wasm_i64x2_splat(count);
  }
  static BNN_INLINE Codes broadcast(Group bits) {
    return {wasm_i64x2_splat(int64_t(bits.a)), wasm_i64x2_splat(int64_t(bits.b))};
  }
  static BNN_INLINE void mac(v128_t& part, const Codes& codes, const typename Base::Weights& w) {
    unroll<Planes>([&](auto i) BNN_LAMBDA_INLINE {
      const v128_t bits =
          wasm_v128_and(wasm_v128_xor(codes.a, w.plane[i]), wasm_v128_xor(codes.b, w.plane[i]));
      part = wasm_i8x16_add(part, wasm_i8x16_popcnt(bits));
    });
  }
};

// Four channels a vector, weights of 16 bits: whatever the precision, sums have 32 bits.
struct MultiplyAdd : Unlimited {
  using Group = uint32_t;
  using Element = int16_t;
  struct Weights {
    v128_t pair[2];  // of channels: four weights each
  };
  struct Part {
    v128_t pair[2];  // of channels: each sum in two halves
  };
  using Acc = Part;
  using Least = int32_t;
  static constexpr int lanes = 4, bytes = 32, P = 2, Q = 2;

  static BNN_INLINE Part zero_part() {
    const v128_t zero = wasm_i64x2_const(0, 0);
    return {{zero, zero}};
  }
  static BNN_INLINE Acc zero_acc() { return zero_part(); }
  static BNN_INLINE v128_t broadcast(Group codes) {
    return wasm_u16x8_extend_low_u8x16(wasm_i32x4_splat(int32_t(codes)));
  }
  static BNN_INLINE Weights load(const uint8_t* from) {
    return {{wasm_v128_load(from), wasm_v128_load(from + 16)}};
  }
  static BNN_INLINE void mac(Part& part, v128_t a, const Weights& w) {
    unroll<2>([&](auto i) BNN_LAMBDA_INLINE {
      part.pair[i] = wasm_i32x4_add(part.pair[i], wasm_i32x4_dot_i16x8(a, w.pair[i]));
    });
  }
  static BNN_INLINE v128_t whole(const Acc& acc) {
    const v128_t even = wasm_i32x4_shuffle(acc.pair[0], acc.pair[1], 0, 2, 4, 6);
    const v128_t odd = wasm_i32x4_shuffle(acc.pair[0], acc.pair[1], 1, 3, 5, 7);
    return wasm_i32x4_add(even, odd);
  }
  static BNN_INLINE uint32_t reach(const Acc& acc, const int32_t* threshold) {
    return uint32_t(wasm_i32x4_bitmask(wasm_i32x4_ge(whole(acc), wasm_v128_load(threshold))));
  }
  static BNN_INLINE void store(const Acc& acc, int32_t* to) { wasm_v128_store(to, whole(acc)); }
};

// Sums of the look-up tables have 16 bits and one plane of weights; popcount takes the others.
constexpr BitEngine lut{{0, 0}, BitLayout::nibbles, 65535, run_lut};
constexpr BitEngine bits = bit_engine<Popcount, TernaryPopcount>();
constexpr ByteEngine bytes = byte_engine<MultiplyAdd>();

}  // namespace

Kernels simd128_kernels() { return {.bits = {&lut, &bits}, .bytes = {&bytes}, .ternary = &bits}; }

}  // namespace bnn
