// SPDX-License-Identifier: BSD-3-Clause
// Weights into the layout that an engine streams through.
#pragma once

#include <new>
#include <vector>

#include "engine.hpp"

namespace bnn {

// Vectors of weights must not straddle cache lines.
template <class T>
struct LineAllocator {
  using value_type = T;
  static constexpr std::align_val_t line{64};
  LineAllocator() = default;
  template <class U>
  LineAllocator(const LineAllocator<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), line)); }
  void deallocate(T* at, size_t) { ::operator delete(at, line); }
  bool operator==(const LineAllocator&) const = default;
};
using Bytes = std::vector<uint8_t, LineAllocator<uint8_t>>;

Bytes pack(const BitWeights& weights, const BitEngine& engine);
Bytes pack(const ByteWeights& weights, const ByteEngine& engine);
// Whether the engine can and should do patches of so many codes (with those that pad its rows).
bool takes(const ByteEngine& engine, const Range& range, int codes);

}  // namespace bnn
