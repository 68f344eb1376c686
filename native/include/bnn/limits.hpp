// SPDX-License-Identifier: BSD-3-Clause
// The most that one core of this machine can do, measured.
#pragma once

#include <string>
#include <vector>

namespace bnn {

// Multiply-adds per second of the instructions that a kernel set is built on. No network can reach
// it: nothing is loaded, compared or stored.
struct Limit {
  std::string name, instructions;
  double multiply_adds;
};

// Those that this CPU has and that are known: of x86 only. Takes about a second.
std::vector<Limit> limits();

// Bytes per second that one core reads from memory that no cache has.
double memory_bandwidth();

}  // namespace bnn
