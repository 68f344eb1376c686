// SPDX-License-Identifier: BSD-3-Clause
// Memory that vectors are loaded from: they must not straddle cache lines.
#pragma once

#include <cstdint>
#include <new>
#include <vector>

namespace bnn {

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

}  // namespace bnn
