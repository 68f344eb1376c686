// SPDX-License-Identifier: BSD-3-Clause
// The loops, for the including source's instructions. Everything is in an unnamed namespace, because
// nothing may be shared between sources that are compiled for different ones (native/README.md).
#pragma once

#include <cmath>
#include <cstring>

#include "training.hpp"

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

// Of a value that bfloat16 has.
inline Bf16 exact(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return Bf16(bits >> 16);
}

constexpr Bf16 plus_one = 0x3f80, minus_one = 0xbf80;

struct Window {
  float low, high;
  float operator()(float grad, float z) const { return (z > low) & (z < high) ? grad : 0.0f; }
};

struct Quadratic {
  float operator()(float grad, float z) const {
    const float slope = 2 - 2 * std::fabs(z);
    return grad * (slope > 0 ? slope : 0.0f);
  }
};

void moments(Shape shape, const Bf16* x, float* __restrict sum, float* __restrict square) {
  const int channels = shape.channels;
  for (int64_t row = 0; row < shape.rows; ++row, x += channels) {
    for (int c = 0; c < channels; ++c) {
      const float value = wide(x[c]);
      sum[c] += value;
      square[c] += value * value;
    }
  }
}

void quantize(Shape shape, const Bf16* __restrict x, const float* __restrict slope, const float* __restrict shift,
              const Quantizer& quantizer, Bf16* __restrict y) {
  const int channels = shape.channels;
  const float low = quantizer.low, high = quantizer.high;
  for (int64_t row = 0; row < shape.rows; ++row, x += channels, y += channels) {
    if (quantizer.bipolar) {
      for (int c = 0; c < channels; ++c) y[c] = wide(x[c]) * slope[c] + shift[c] >= 0 ? plus_one : minus_one;
    } else {
      for (int c = 0; c < channels; ++c) {
        float z = wide(x[c]) * slope[c] + shift[c];
        z = z > low ? z : low;
        z = z < high ? z : high;
        y[c] = exact(std::floor(z + 0.5f));
      }
    }
  }
}

template <class Passes>
inline void gradient_moments_of(Shape shape, const Bf16* grad, const Bf16* x, const float* slope, const float* shift,
                                Passes passes, float* __restrict sum, float* __restrict product) {
  const int channels = shape.channels;
  for (int64_t row = 0; row < shape.rows; ++row, x += channels, grad += channels) {
    for (int c = 0; c < channels; ++c) {
      const float value = wide(x[c]);
      const float g = passes(wide(grad[c]), value * slope[c] + shift[c]);
      sum[c] += g;
      product[c] += g * value;
    }
  }
}

template <class Passes>
inline void gradient_of(Shape shape, const Bf16* grad, const Bf16* x, const float* slope, const float* shift,
                        Passes passes, const float* tilt, const float* level, Bf16* __restrict to) {
  const int channels = shape.channels;
  for (int64_t row = 0; row < shape.rows; ++row, x += channels, grad += channels, to += channels) {
    for (int c = 0; c < channels; ++c) {
      const float value = wide(x[c]);
      const float g = passes(wide(grad[c]), value * slope[c] + shift[c]);
      to[c] = narrow(slope[c] * g + (tilt[c] * value + level[c]));
    }
  }
}

void gradient_moments(Shape shape, const Bf16* grad, const Bf16* x, const float* slope, const float* shift,
                      const Quantizer& quantizer, float* sum, float* product) {
  if (quantizer.quadratic) gradient_moments_of(shape, grad, x, slope, shift, Quadratic{}, sum, product);
  else gradient_moments_of(shape, grad, x, slope, shift, Window{quantizer.low, quantizer.high}, sum, product);
}

void gradient(Shape shape, const Bf16* grad, const Bf16* x, const float* slope, const float* shift,
              const Quantizer& quantizer, const float* tilt, const float* level, Bf16* to) {
  if (quantizer.quadratic) gradient_of(shape, grad, x, slope, shift, Quadratic{}, tilt, level, to);
  else gradient_of(shape, grad, x, slope, shift, Window{quantizer.low, quantizer.high}, tilt, level, to);
}

inline float larger(float a, float b) { return a > b ? a : b; }

void pool(int windows, int width, int channels, const Bf16* __restrict x, Bf16* __restrict y) {
  const Bf16* below = x + int64_t(width) * channels;
  for (int window = 0; window < windows; ++window, x += 2 * channels, below += 2 * channels, y += channels) {
    for (int c = 0; c < channels; ++c) {
      const float upper = larger(wide(x[c]), wide(x[channels + c]));
      y[c] = exact(larger(upper, larger(wide(below[c]), wide(below[channels + c]))));
    }
  }
}

void unpool(int windows, int width, int channels, const Bf16* __restrict grad, const Bf16* __restrict x,
            const Bf16* __restrict y, Bf16* __restrict to) {
  const int64_t down = int64_t(width) * channels;
  const int64_t places[4] = {0, channels, down, down + channels};
  for (int window = 0; window < windows; ++window) {
    for (int c = 0; c < channels; ++c) {
      const float most = wide(y[c]);
      Bf16 left = grad[c];
      const bool first = wide(x[places[0] + c]) == most;
      to[places[0] + c] = first ? left : Bf16(0);
      left = first ? Bf16(0) : left;
      const bool second = wide(x[places[1] + c]) == most;
      to[places[1] + c] = second ? left : Bf16(0);
      left = second ? Bf16(0) : left;
      const bool third = wide(x[places[2] + c]) == most;
      to[places[2] + c] = third ? left : Bf16(0);
      to[places[3] + c] = third ? Bf16(0) : left;
    }
    x += 2 * channels, to += 2 * channels, grad += channels, y += channels;
  }
}

constexpr Loops loops = {moments, quantize, gradient_moments, gradient, pool, unpool};

}  // namespace
}  // namespace bnn::training
