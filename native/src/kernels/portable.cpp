// SPDX-License-Identifier: BSD-3-Clause
// The portable kernels: plain C++ for every CPU, with which the others are compared in tests.
#include <array>

#include "depthwise.hpp"
#include "kernels.hpp"
#include "scalar.hpp"
#include "vectors.hpp"
#include "words.hpp"

namespace bnn {
namespace {

// Eight channels a vector, as a loop that compilers vectorise.
struct MultiplyAdd : Unlimited {
  using Group = uint32_t;
  using Element = int16_t;
  using Weights = std::array<int16_t, 32>;
  using Acc = std::array<int32_t, 8>;
  using Least = int32_t;
  using Part = Acc;
  static constexpr int lanes = 8, bytes = 64, P = 1, Q = 2;

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
  static BNN_INLINE uint32_t reach(const Acc& acc, const int32_t* threshold) {
    uint32_t bits = 0;
    for (uint32_t lane = 0; lane < 8; ++lane)
      bits |= uint32_t(acc[lane] >= threshold[lane]) << lane;
    return bits;
  }
  static BNN_INLINE void store(const Acc& acc, int32_t* to) {
    std::memcpy(to, acc.data(), sizeof acc);
  }
};

constexpr BitEngine bits = bit_engine<ScalarPopcount, TernaryScalarPopcount>();
constexpr ByteEngine bytes = byte_engine<MultiplyAdd>();

}  // namespace

Kernels portable_kernels() {
  return {.bits = {&bits},
          .bytes = {&bytes},
          .words = run_words,
          .depthwise = run_depthwise,
          .vector = run_vector};
}

}  // namespace bnn
