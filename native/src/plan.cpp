// SPDX-License-Identifier: BSD-3-Clause
#include "bnn/plan.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

#include "compile.hpp"

namespace bnn {
namespace {

constexpr size_t alignment = 64;
constexpr size_t slack = 64;               // kernels may read (never write) so far beyond a map
constexpr size_t block_bytes = 512 << 10;  // buffers of a block of images: half of a usual L2 cache
constexpr int most_images = 256;           // of a block

size_t aligned(size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

// Working memory of one thread. Zeroed, because kernels may read beyond what was written.
class Arena {
 public:
  explicit Arena(size_t bytes) : memory_(bytes + alignment) {
    const auto at = reinterpret_cast<uintptr_t>(memory_.data());
    begin_ = memory_.data() + (alignment - at % alignment) % alignment;
  }
  uint8_t* begin() const { return begin_; }

 private:
  std::vector<uint8_t> memory_;
  uint8_t* begin_;
};

}  // namespace

struct Plan::State {
  Compiled compiled;
  const Kernels* kernels;
  int classes = 0;
  bool decides = false, bytes = false;
  size_t input_values = 0;
  int block = 1;  // images at a time
  size_t arena_bytes = 0;
  std::mutex mutex;
  std::vector<std::unique_ptr<Arena>> idle;

  std::unique_ptr<Arena> take() {
    {
      const std::lock_guard lock(mutex);
      if (!idle.empty()) {
        auto arena = std::move(idle.back());
        idle.pop_back();
        return arena;
      }
    }
    return std::make_unique<Arena>(arena_bytes);
  }
  void give(std::unique_ptr<Arena> arena) {
    const std::lock_guard lock(mutex);
    idle.push_back(std::move(arena));
  }

  void lay_out() {
    size_t image = 0;
    for (const Buffer& buffer : compiled.buffers) image += buffer.image_bytes;
    block = int(std::clamp<size_t>(block_bytes / std::max<size_t>(image, 1), 1, most_images));
    if (block > 1) block -= block % 2;  // some kernels take two images at a time
    for (Buffer& buffer : compiled.buffers) {
      buffer.offset = arena_bytes;
      arena_bytes += aligned(buffer.image_bytes * size_t(block) + buffer.fixed_bytes + slack);
    }
  }
};

Plan::Plan(const Program& program, int scores, int decision, const std::string& kernels)
    : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.kernels = &choose_kernels(kernels);
  const Edge& edge = program.edge(scores);
  if (edge.shape.pixels() != 1) throw ProgramError("scores must be a vector");
  if (decision >= 0 && (decision == 0 || decision > program.size() || program.op(decision).kind != Kind::arg_max))
    throw ProgramError("a decision is an arg max");
  state.classes = edge.shape.channels;
  state.decides = decision >= 0;
  state.bytes = !program.input().table.empty();
  state.input_values = program.input().shape.values();
  state.compiled = compile(program, scores, decision, *state.kernels);
  state.lay_out();
}

Plan::~Plan() = default;
Plan::Plan(Plan&&) noexcept = default;

void Plan::run(const uint8_t* bytes, const int16_t* integers, int64_t n, int32_t* scores, int64_t* decisions,
               int threads) const {
  State& state = *state_;
  const int wanted = std::max(1, threads);
  // Small batches are shared out, too; big ones go in full blocks, taken one after the other, so
  // that a thread whose core is busy with something else does less.
  const auto block = int(std::clamp<int64_t>((n + wanted - 1) / wanted, 1, state.block));
  const int64_t blocks = (n + block - 1) / block;
  std::atomic<int64_t> next = 0;
  const auto work = [&] {
    auto arena = state.take();
    for (int64_t taken; (taken = next++) < blocks;) {
      const int64_t first = taken * block;
      const Frame frame{arena->begin(),
                        &state.compiled.buffers,
                        int(std::min<int64_t>(block, n - first)),
                        bytes ? bytes + size_t(first) * state.input_values : nullptr,
                        integers ? integers + size_t(first) * state.input_values : nullptr,
                        scores + size_t(first) * size_t(state.classes),
                        decisions ? decisions + first : nullptr};
      for (const StepPointer& step : state.compiled.steps) step->run(frame);
    }
    state.give(std::move(arena));
  };
  // An exception (no memory) in a thread is kept for the caller.
  std::exception_ptr failure;
  std::mutex failing;
  const auto guarded = [&] {
    try {
      work();
    } catch (...) {
      const std::lock_guard lock(failing);
      failure = std::current_exception();
    }
  };
  std::vector<std::thread> helpers;
  for (int64_t i = 1; i < std::min<int64_t>(wanted, blocks); ++i) {
    try {
      helpers.emplace_back(guarded);
    } catch (const std::system_error&) {
      break;  // no more threads to have: fewer do it all
    }
  }
  guarded();
  for (std::thread& helper : helpers) helper.join();
  if (failure) std::rethrow_exception(failure);
}

int Plan::classes() const { return state_->classes; }
bool Plan::has_decision() const { return state_->decides; }
size_t Plan::input_values() const { return state_->input_values; }
bool Plan::takes_bytes() const { return state_->bytes; }
const char* Plan::kernels() const { return state_->kernels->name; }
size_t Plan::weight_bytes() const { return state_->compiled.weight_bytes; }
size_t Plan::arena_bytes() const { return state_->arena_bytes; }

std::vector<KernelInfo> kernel_infos() {
  std::vector<KernelInfo> infos;
  for (const Kernels& kernels : all_kernels()) infos.push_back({kernels.name, kernels.uses, kernels.available()});
  return infos;
}

}  // namespace bnn
