// SPDX-License-Identifier: BSD-3-Clause
// NEON, for AArch64 and for ARMv7: vcnt counts the bits of bytes, vmlal multiplies and adds.
#include "neon.hpp"

#include "depthwise.hpp"
#include "kernels.hpp"
#include "vectors.hpp"
#include "words.hpp"

namespace bnn {
namespace {

// Two channels a vector. Bytes hold counts of up to 8 ones a group, so 31 groups fit.
template <int Planes>
struct Popcount {
  using Group = uint64_t;
  struct Weights {
    uint8x16_t plane[Planes];
  };
  using Part = uint8x16_t;
  using Acc = uint64x2_t;
  using Least = int32_t;
  static constexpr int lanes = 2, bytes = 16 * Planes, P = 2, Q = 4, burst = 31 / Planes;

  static BNN_INLINE Part zero_part() { return vdupq_n_u8(0); }
  static BNN_INLINE Acc zero_acc() { return vdupq_n_u64(0); }
  static BNN_INLINE uint8x16_t broadcast(Group bits) {
    return vreinterpretq_u8_u64(vdupq_n_u64(bits));
  }
  static BNN_INLINE Weights load(const uint8_t* from) {
    Weights w;
    unroll<Planes>([&](auto i) BNN_LAMBDA_INLINE { w.plane[i] = vld1q_u8(from + 16 * i); });
    return w;
  }
  static BNN_INLINE void mac(Part& part, uint8x16_t a, const Weights& w) {
    unroll<Planes>([&](auto i) BNN_LAMBDA_INLINE {
      part = vaddq_u8(part, vcntq_u8(veorq_u8(a, w.plane[i])));
    });
  }
  static BNN_INLINE void flush(Acc& acc, Part& part) {
    acc = vpadalq_u32(acc, vpaddlq_u16(vpaddlq_u8(part)));
    part = zero_part();
  }
  static BNN_INLINE uint32_t reach(Acc acc, const int32_t* threshold) {
    const int32x2_t sums = vreinterpret_s32_u32(vmovn_u64(acc));
    const uint32x2_t reached = vcge_s32(sums, vld1_s32(threshold));
    return (vget_lane_u32(reached, 0) & 1) | (vget_lane_u32(reached, 1) & 2);
  }
  static BNN_INLINE void store(Acc acc, int32_t* to) {
    vst1_s32(to, vreinterpret_s32_u32(vmovn_u64(acc)));
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
    uint8x16_t a, b;
  };
  static constexpr int weight_planes = Planes;

  static BNN_INLINE void start(uint8x16_t& part, uint64x2_t& acc, int32_t count) {
    part = Base::zero_part();
    acc = vdupq_n_u64(uint64_t(count));
  }
  static BNN_INLINE Codes broadcast(Group bits) {
    return {Base::broadcast(bits.a), Base::broadcast(bits.b)};
  }
  static BNN_INLINE void mac(uint8x16_t& part, const Codes& codes,
                             const typename Base::Weights& w) {
    unroll<Planes>([&](auto i) BNN_LAMBDA_INLINE {
      const uint8x16_t bits =
          vandq_u8(veorq_u8(codes.a, w.plane[i]), veorq_u8(codes.b, w.plane[i]));
      part = vaddq_u8(part, vcntq_u8(bits));
    });
  }
};

// Four channels a vector, weights of 16 bits: whatever the precision, sums have 32 bits.
struct MultiplyAdd : Unlimited {
  using Group = uint32_t;
  using Element = int16_t;
  struct Weights {
    int16x4_t channel[4];
  };
  struct Part {
    int32x4_t channel[4];  // a sum each, in four quarters
  };
  using Acc = Part;
  using Least = int32_t;
  static constexpr int lanes = 4, bytes = 32, P = 2, Q = 1;

  static BNN_INLINE Part zero_part() {
    const int32x4_t zero = vdupq_n_s32(0);
    return {{zero, zero, zero, zero}};
  }
  static BNN_INLINE Acc zero_acc() { return zero_part(); }
  static BNN_INLINE int16x4_t broadcast(Group codes) {
    const uint16x8_t wide = vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(codes)));
    return vreinterpret_s16_u16(vget_low_u16(wide));
  }
  static BNN_INLINE Weights load(const uint8_t* from) {
    Weights w;
    unroll<4>([&](auto i)
                  BNN_LAMBDA_INLINE { w.channel[i] = vreinterpret_s16_u8(vld1_u8(from + 8 * i)); });
    return w;
  }
  static BNN_INLINE void mac(Part& part, int16x4_t a, const Weights& w) {
    unroll<4>([&](auto i) BNN_LAMBDA_INLINE {
      part.channel[i] = vmlal_s16(part.channel[i], a, w.channel[i]);
    });
  }
  static BNN_INLINE int32x4_t whole(const Acc& acc) {
    const auto halves = [](int32x4_t v) BNN_LAMBDA_INLINE {
      return vpadd_s32(vget_low_s32(v), vget_high_s32(v));
    };
    return vcombine_s32(vpadd_s32(halves(acc.channel[0]), halves(acc.channel[1])),
                        vpadd_s32(halves(acc.channel[2]), halves(acc.channel[3])));
  }
  static BNN_INLINE uint32_t reach(const Acc& acc, const int32_t* threshold) {
    return reach_s32(whole(acc), threshold);
  }
  static BNN_INLINE void store(const Acc& acc, int32_t* to) { vst1q_s32(to, whole(acc)); }
};

constexpr BitEngine bits = bit_engine<Popcount, TernaryPopcount>();
constexpr ByteEngine bytes = byte_engine<MultiplyAdd>();

}  // namespace

Kernels neon_kernels() {
  return {.bits = {&bits},
          .bytes = {&bytes},
          .words = run_words,
          .depthwise = run_depthwise,
          .vector = run_vector};
}

}  // namespace bnn
