// SPDX-License-Identifier: BSD-3-Clause
// A program made ready to run on this CPU: operations fused, weights packed, buffers laid out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bnn/program.hpp"

namespace bnn {

class Plan {
 public:
  // `scores` and `decision` (an arg max, or -1) number edges; `kernels` names a kernel set, or is
  // empty for the best one of this CPU. Throws ProgramError and std::invalid_argument.
  Plan(const Program& program, int scores, int decision, const std::string& kernels);
  ~Plan();
  Plan(Plan&&) noexcept;

  // Runs n images: bytes for an input with a table (the other pointer is null), else integers.
  // Writes int32 (n, classes) and, with a decision, int64 (n). Up to `threads` threads share the
  // images. May be called by several threads at a time.
  void run(const uint8_t* bytes, const int16_t* integers, int64_t n, int32_t* scores,
           int64_t* decisions, int threads) const;

  // The steps that run() makes of the operations.
  struct StepInfo {
    int edge;               // that it is for
    std::string what;       // it does
    int64_t multiply_adds;  // of an image
    size_t weight_bytes;
    std::string instructions;  // whose limit it has (limits.hpp), or none
  };
  std::vector<StepInfo> steps() const;
  // Runs n images once, as run() with one thread does; returns the seconds of each step.
  std::vector<double> time_steps(const uint8_t* bytes, const int16_t* integers, int64_t n) const;

  int classes() const;
  bool has_decision() const;
  size_t input_values() const;
  bool takes_bytes() const;
  const char* kernels() const;
  // Bytes of packed weights, and of the buffers for one block of images.
  size_t weight_bytes() const;
  size_t arena_bytes() const;

 private:
  struct State;
  class Call;
  std::shared_ptr<State> state_;  // shared with the threads of a call
};

// A kernel set, for `bnn info --cpu`: name, its instructions, whether this CPU can run it.
struct KernelInfo {
  std::string name, uses;
  bool available;
};
std::vector<KernelInfo> kernel_infos();

}  // namespace bnn
