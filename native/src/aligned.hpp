// SPDX-License-Identifier: BSD-3-Clause
// Memory that vectors are loaded from: they must not straddle cache lines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

namespace bnn {

template <class T>
struct AlignedAllocator {
  using value_type = T;
  static constexpr std::align_val_t line{64};
  AlignedAllocator() = default;
  template <class U>
  AlignedAllocator(const AlignedAllocator<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), line)); }
  void deallocate(T* at, size_t) { ::operator delete(at, line); }
  bool operator==(const AlignedAllocator&) const = default;
};
using Bytes = std::vector<uint8_t, AlignedAllocator<uint8_t>>;

}  // namespace bnn
