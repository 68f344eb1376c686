// SPDX-License-Identifier: BSD-3-Clause
// Bits counted one word and one channel at a time, by what the compiler may use for it.
#pragma once

#include "gemm.hpp"

namespace bnn {
namespace {

template <int Planes>
struct ScalarPopcount {
  using Group = uint64_t;
  struct Weights {
    uint64_t plane[Planes];
  };
  using Part = uint64_t;
  using Acc = uint64_t;
  using Least = int32_t;
  static constexpr int lanes = 1, bytes = 8 * Planes, P = 4, Q = 2, burst = no_limit;

  static BNN_INLINE Part zero_part() { return 0; }
  static BNN_INLINE Acc zero_acc() { return 0; }
  static BNN_INLINE uint64_t broadcast(Group bits) { return bits; }
  static BNN_INLINE Weights load(const uint8_t* from) {
    Weights w;
    std::memcpy(&w, from, sizeof w);
    return w;
  }
  static BNN_INLINE void mac(Part& part, uint64_t a, const Weights& w) {
    for (uint64_t plane : w.plane) part += uint64_t(__builtin_popcountll(a ^ plane));
  }
  static BNN_INLINE void flush(Acc& acc, Part& part) { acc = part; }  // once, at the end
  static BNN_INLINE uint32_t reach(Acc acc, const int32_t* threshold) {
    return int64_t(acc) >= *threshold;
  }
  static BNN_INLINE void store(Acc acc, int32_t* to) { *to = int32_t(acc); }
};

// Two planes of codes at a time (gemm.hpp).
template <int Planes>
struct TernaryScalarPopcount : ScalarPopcount<Planes> {
  using Base = ScalarPopcount<Planes>;
  struct Group {
    uint64_t a, b;
  };
  static constexpr int weight_planes = Planes;

  static BNN_INLINE void start(uint64_t& part, uint64_t& acc, int32_t count) {
    part = acc = uint64_t(count);
  }
  static BNN_INLINE Group broadcast(Group bits) { return bits; }
  static BNN_INLINE void mac(uint64_t& part, Group codes, const typename Base::Weights& w) {
    for (uint64_t plane : w.plane)
      part += uint64_t(__builtin_popcountll((codes.a ^ plane) & (codes.b ^ plane)));
  }
};

}  // namespace
}  // namespace bnn
