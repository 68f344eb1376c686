// SPDX-License-Identifier: BSD-3-Clause
// The portable kernels: plain C++, for every CPU and as the twin that the others are tested against.
#include <array>
#include <bit>

#include "gemm.hpp"
#include "kernels.hpp"

namespace bnn {
namespace {

// One channel a vector; the compiler's own popcount.
template <int Planes>
struct Popcount {
  using Group = uint64_t;
  using Weights = std::array<uint64_t, Planes>;
  using Part = uint32_t;
  using Acc = uint32_t;
  static constexpr int lanes = 1, bytes = 8 * Planes, P = 4, Q = 2, burst = no_limit;

  static BNN_INLINE Part zero_part() { return 0; }
  static BNN_INLINE Acc zero_acc() { return 0; }
  static BNN_INLINE uint64_t broadcast(Group bits) { return bits; }
  static BNN_INLINE Weights load(const uint8_t* from) {
    Weights w;
    std::memcpy(w.data(), from, sizeof w);
    return w;
  }
  static BNN_INLINE void mac(Part& part, uint64_t a, const Weights& w) {
    for (uint64_t plane : w) part += uint32_t(std::popcount(a ^ plane));
  }
  static BNN_INLINE void flush(Acc& acc, Part& part) {
    acc += part;
    part = 0;
  }
  static BNN_INLINE uint32_t reach(Acc acc, const int32_t* threshold) { return int32_t(acc) >= *threshold; }
  static BNN_INLINE void store(Acc acc, int32_t* to) { *to = int32_t(acc); }
};

// Eight channels a vector, as a loop that compilers vectorise.
struct MultiplyAdd {
  using Group = uint32_t;
  using Element = int16_t;
  using Weights = std::array<int16_t, 32>;
  using Acc = std::array<int32_t, 8>;
  using Part = Acc;
  static constexpr int lanes = 8, bytes = 64, P = 1, Q = 2;
  static constexpr bool one_burst = false;
  static constexpr int burst(const Range&) { return no_limit; }

  static BNN_INLINE Part zero_part() { return {}; }
  static BNN_INLINE Acc zero_acc() { return {}; }
  static BNN_INLINE Group broadcast(Group codes) { return codes; }
  static BNN_INLINE Weights load(const uint8_t* from) {
    Weights w;
    std::memcpy(w.data(), from, sizeof w);
    return w;
  }
  static BNN_INLINE void mac(Part& part, Group codes, const Weights& w) {
    uint8_t code[4];
    std::memcpy(code, &codes, sizeof code);
    for (size_t lane = 0; lane < 8; ++lane)
      for (size_t i = 0; i < 4; ++i) part[lane] += code[i] * w[4 * lane + i];
  }
  static BNN_INLINE void flush(Acc& acc, Part& part) { acc = part; }  // once, at the end
  static BNN_INLINE uint32_t reach(const Acc& acc, const int32_t* threshold) {
    uint32_t bits = 0;
    for (uint32_t lane = 0; lane < 8; ++lane) bits |= uint32_t(acc[lane] >= threshold[lane]) << lane;
    return bits;
  }
  static BNN_INLINE void store(const Acc& acc, int32_t* to) { std::memcpy(to, acc.data(), sizeof acc); }
};

constexpr BitEngine bits = bit_engine<Popcount>();
constexpr ByteEngine bytes = byte_engine<MultiplyAdd>();

}  // namespace

Kernels portable_kernels() {
  return {"portable", "plain C++", [] { return true; }, {&bits, nullptr}, {&bytes, nullptr, nullptr}, nullptr, 0, nullptr, nullptr};
}

}  // namespace bnn
