// SPDX-License-Identifier: BSD-3-Clause
// bfloat16 and float; in an unnamed namespace for the reason given in training_loops.hpp.
#pragma once

#include <cstring>

#include "bnn/training.hpp"

namespace bnn::training {
namespace {

inline float wide(Bf16 value) {
  const uint32_t bits = uint32_t(value) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

// Rounded to nearest, ties to even.
inline Bf16 narrow(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return Bf16((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

}  // namespace
}  // namespace bnn::training
