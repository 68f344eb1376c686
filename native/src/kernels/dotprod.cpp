// SPDX-License-Identifier: BSD-3-Clause
// NEON with the dot product of Armv8.2: sdot adds four products of bytes to each of four sums. Bits
// are counted as by NEON.
#include "depthwise.hpp"
#include "kernels.hpp"
#include "neon.hpp"
#include "vectors.hpp"
#include "words.hpp"

namespace bnn {
namespace {

// Codes of up to 7 bits, which are signed bytes as they are; four channels a vector.
struct MultiplyAdd : Unlimited {
  using Group = uint32_t;
  using Element = int8_t;
  using Weights = int8x16_t;
  using Part = int32x4_t;
  using Acc = int32x4_t;
  using Least = int32_t;
  static constexpr int lanes = 4, bytes = 16, P = 4, Q = 4;
  static constexpr int burst(const Range& range) { return range.code <= 127 ? no_limit : 0; }

  static BNN_INLINE Part zero_part() { return vdupq_n_s32(0); }
  static BNN_INLINE Acc zero_acc() { return zero_part(); }
  static BNN_INLINE int8x16_t broadcast(Group codes) {
    return vreinterpretq_s8_u32(vdupq_n_u32(codes));
  }
  static BNN_INLINE Weights load(const uint8_t* from) {
    return vreinterpretq_s8_u8(vld1q_u8(from));
  }
  static BNN_INLINE void mac(Part& part, int8x16_t a, Weights w) { part = vdotq_s32(part, w, a); }
  static BNN_INLINE uint32_t reach(Acc acc, const int32_t* threshold) {
    return reach_s32(acc, threshold);
  }
  static BNN_INLINE void store(Acc acc, int32_t* to) { vst1q_s32(to, acc); }
};

// Codes of 8 bits are taken less 128, and 128 times the weights added: c w = (c - 128) w + 64 w +
// 64 w.
struct ByteMultiplyAdd : MultiplyAdd {
  static constexpr int burst(const Range&) { return no_limit; }
  static BNN_INLINE int8x16_t broadcast(Group codes) {
    return MultiplyAdd::broadcast(codes ^ 0x80808080u);
  }
  static BNN_INLINE void mac(Part& part, int8x16_t a, Weights w) {
    const int8x16_t half = vdupq_n_s8(64);
    part = vdotq_s32(vdotq_s32(vdotq_s32(part, w, a), w, half), w, half);
  }
};

constexpr ByteEngine bytes = byte_engine<MultiplyAdd>();
constexpr ByteEngine full_bytes = byte_engine<ByteMultiplyAdd>();

}  // namespace

Kernels dotprod_kernels() {
  const Kernels base = neon_kernels();
  return {.bits = {base.bits[0]},
          .bytes = {&bytes, &full_bytes, base.bytes[0]},
          .words = run_words,
          .depthwise = run_depthwise,
          .vector = run_vector};
}

}  // namespace bnn
