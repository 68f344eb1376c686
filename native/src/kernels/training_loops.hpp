// SPDX-License-Identifier: BSD-3-Clause
// The loops, for the including source's instructions. Everything is in an unnamed namespace,
// because nothing may be shared between sources that are compiled for different ones
// (native/README.md).
#pragma once

#include <cmath>
#include <cstring>
#include <type_traits>

#include "bf16.hpp"
#include "training.hpp"

namespace bnn::training {
namespace {

inline float wide(int16_t value) { return float(value); }

// Of a value that Y has.
template <class Y>
inline Y exact(float value) {
  if constexpr (std::is_same_v<Y, Bf16>) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return Bf16(bits >> 16);
  } else {
    return Y(int32_t(value));
  }
}

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

template <class X>
void moments(Shape shape, const X* x, float* __restrict sum, float* __restrict square) {
  const int channels = shape.channels;
  for (int64_t row = 0; row < shape.rows; ++row, x += channels) {
    for (int c = 0; c < channels; ++c) {
      const float value = wide(x[c]);
      sum[c] += value;
      square[c] += value * value;
    }
  }
}

template <class X, class Y>
void quantize(Shape shape, const X* __restrict x, const float* __restrict slope,
              const float* __restrict shift, const Quantizer& quantizer, Y* __restrict y) {
  const Y plus = exact<Y>(1.0f), minus = exact<Y>(-1.0f);
  const int channels = shape.channels;
  const float low = quantizer.low, high = quantizer.high;
  for (int64_t row = 0; row < shape.rows; ++row, x += channels, y += channels) {
    if (quantizer.bipolar) {
      for (int c = 0; c < channels; ++c)
        y[c] = wide(x[c]) * slope[c] + shift[c] >= 0 ? plus : minus;
    } else {
      for (int c = 0; c < channels; ++c) {
        float z = wide(x[c]) * slope[c] + shift[c];
        z = z > low ? z : low;
        z = z < high ? z : high;
        y[c] = exact<Y>(std::floor(z + 0.5f));
      }
    }
  }
}

template <class X, class Passes>
inline void gradient_moments_of(Shape shape, const Bf16* grad, const X* x, const float* slope,
                                const float* shift, Passes passes, float* __restrict sum,
                                float* __restrict product) {
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

template <class X, class Passes>
inline void gradient_of(Shape shape, const Bf16* grad, const X* x, const float* slope,
                        const float* shift, Passes passes, const float* tilt, const float* level,
                        Bf16* __restrict to) {
  const int channels = shape.channels;
  for (int64_t row = 0; row < shape.rows; ++row, x += channels, grad += channels, to += channels) {
    for (int c = 0; c < channels; ++c) {
      const float value = wide(x[c]);
      const float g = passes(wide(grad[c]), value * slope[c] + shift[c]);
      to[c] = narrow(slope[c] * g + (tilt[c] * value + level[c]));
    }
  }
}

template <class X>
void gradient_moments(Shape shape, const Bf16* grad, const X* x, const float* slope,
                      const float* shift, const Quantizer& quantizer, float* sum, float* product) {
  if (quantizer.quadratic)
    gradient_moments_of(shape, grad, x, slope, shift, Quadratic{}, sum, product);
  else
    gradient_moments_of(shape, grad, x, slope, shift, Window{quantizer.low, quantizer.high}, sum,
                        product);
}

template <class X>
void gradient(Shape shape, const Bf16* grad, const X* x, const float* slope, const float* shift,
              const Quantizer& quantizer, const float* tilt, const float* level, Bf16* to) {
  if (quantizer.quadratic)
    gradient_of(shape, grad, x, slope, shift, Quadratic{}, tilt, level, to);
  else
    gradient_of(shape, grad, x, slope, shift, Window{quantizer.low, quantizer.high}, tilt, level,
                to);
}

// bfloat16 as a number that can be compared; integers as they are.
inline float number(Bf16 value) { return wide(value); }
inline int16_t number(int16_t value) { return value; }
inline int8_t number(int8_t value) { return value; }

template <class X>
inline X larger(X a, X b) {
  return number(a) > number(b) ? a : b;
}

template <class X>
void pool(int windows, int width, int channels, const X* __restrict x, X* __restrict y) {
  const X* below = x + int64_t(width) * channels;
  for (int window = 0; window < windows;
       ++window, x += 2 * channels, below += 2 * channels, y += channels) {
    for (int c = 0; c < channels; ++c)
      y[c] = larger(larger(x[c], x[channels + c]), larger(below[c], below[channels + c]));
  }
}

template <class X>
void unpool(int windows, int width, int channels, const Bf16* __restrict grad,
            const X* __restrict x, const X* __restrict y, Bf16* __restrict to) {
  const int64_t down = int64_t(width) * channels;
  const int64_t places[4] = {0, channels, down, down + channels};
  for (int window = 0; window < windows; ++window) {
    for (int c = 0; c < channels; ++c) {
      const auto most = number(y[c]);
      Bf16 left = grad[c];
      const bool first = number(x[places[0] + c]) == most;
      to[places[0] + c] = first ? left : Bf16(0);
      left = first ? Bf16(0) : left;
      const bool second = number(x[places[1] + c]) == most;
      to[places[1] + c] = second ? left : Bf16(0);
      left = second ? Bf16(0) : left;
      const bool third = number(x[places[2] + c]) == most;
      to[places[2] + c] = third ? left : Bf16(0);
      to[places[3] + c] = third ? Bf16(0) : left;
    }
    x += 2 * channels, to += 2 * channels, grad += channels, y += channels;
  }
}

template <class X, class Y>
constexpr NormLoops<X, Y> norms = {moments<X>, quantize<X, Y>, gradient_moments<X>, gradient<X>};
template <class X>
constexpr PoolLoops<X> pools = {pool<X>, unpool<X>};
constexpr Loops compiled_loops = {norms<Bf16, Bf16>, norms<int16_t, int8_t>, pools<Bf16>,
                                  pools<int16_t>, pools<int8_t>};

}  // namespace
}  // namespace bnn::training
