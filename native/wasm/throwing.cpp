// SPDX-License-Identifier: BSD-3-Clause
// Exceptions of C++ as exceptions of JavaScript. The libc++ of this target has none: `throw` calls
// the two functions below, and no `catch` of C++ is ever reached. The function `fail` of the caller
// throws; what was allocated stays allocated, so the caller gives the whole instance up.
#include <cstdlib>
#include <cstring>
#include <exception>
#include <typeinfo>

extern "C" {

__attribute__((import_module("bnn"), import_name("fail"))) [[noreturn]] void bnn_fail(
    const char* message, size_t length);

void* __cxa_allocate_exception(size_t bytes) {
  void* at = std::malloc(bytes);
  if (at == nullptr) bnn_fail("out of memory", 13);
  return at;
}

// Everything that the core throws is a std::exception.
[[noreturn]] void __cxa_throw(void* thrown, std::type_info*, void (*)(void*)) {
  const char* message = static_cast<const std::exception*>(thrown)->what();
  bnn_fail(message, std::strlen(message));
}
}
