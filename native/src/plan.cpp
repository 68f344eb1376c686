// SPDX-License-Identifier: BSD-3-Clause
#include "bnn/plan.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include "compile.hpp"
#include "threading.hpp"

namespace bnn {
namespace {

constexpr size_t alignment = 64;
constexpr size_t slack = 64;  // kernels may read (never write) so many bytes past a map
constexpr size_t block_bytes = 512 << 10;  // buffers of a block of images: half of a usual L2 cache
constexpr int max_block_images = 256;
constexpr int max_columns = 1 << 17;  // of a sequence, as in bnn.program.operations

size_t aligned(size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

// Working memory of one thread. Zeroed, because kernels may read past what was written.
class Arena {
 public:
  explicit Arena(size_t bytes) : memory_(bytes + alignment), bytes_(bytes) {
    const auto at = reinterpret_cast<uintptr_t>(memory_.data());
    begin_ = memory_.data() + (alignment - at % alignment) % alignment;
  }
  uint8_t* begin() const { return begin_; }
  size_t bytes() const { return bytes_; }

 private:
  std::vector<uint8_t> memory_;
  size_t bytes_;
  uint8_t* begin_;
};

// Gives every buffer its place for `block` images; returns the bytes of all.
size_t lay_out(std::vector<Buffer>& buffers, size_t block) {
  size_t bytes = 0;
  for (Buffer& buffer : buffers) {
    buffer.offset = bytes;
    bytes += aligned(buffer.image_bytes * block + buffer.fixed_bytes + slack);
  }
  return bytes;
}

}  // namespace

struct Plan::State {
  Compiled compiled;
  const KernelSet* kernels;
  int classes = 0;
  bool decides = false, bytes = false, is_sequence = false;
  size_t input_values = 0;
  int block = 1;  // images at a time
  size_t arena_bytes = 0;
  Mutex mutex;
  std::vector<std::unique_ptr<Arena>> idle;

  std::unique_ptr<Arena> take(size_t bytes) {
    {
      const Lock lock(mutex);
      if (!idle.empty()) {
        auto arena = std::move(idle.back());
        idle.pop_back();
        if (arena->bytes() >= bytes) return arena;
      }
    }
    return std::make_unique<Arena>(bytes);
  }
  void give(std::unique_ptr<Arena> arena) noexcept {
    try {
      const Lock lock(mutex);
      idle.push_back(std::move(arena));
    } catch (const std::bad_alloc&) {
      // The next call allocates a new one.
    }
  }

  void lay_out() {
    size_t image = 0;
    for (const Buffer& buffer : compiled.buffers) image += buffer.image_bytes;
    block = int(std::clamp<size_t>(block_bytes / std::max<size_t>(image, 1), 1, max_block_images));
    if (block > 1) block -= block % 2;  // some kernels take two images at a time
    arena_bytes = bnn::lay_out(compiled.buffers, size_t(block));
  }
};

Plan::Plan(const Program& program, int scores, int decision, const std::string& kernels)
    : state_(std::make_shared<State>()) {
  State& state = *state_;
  state.kernels = &choose_kernels(kernels);
  const Edge& edge = program.edge(scores);
  if (edge.shape.pixels() != 1) throw ProgramError("scores must be a vector");
  if (decision >= 0 &&
      (decision == 0 || decision > program.size() || program.op(decision).kind != Kind::arg_max))
    throw ProgramError("a decision is an arg max");
  state.classes = edge.shape.channels;
  state.decides = decision >= 0;
  state.bytes = !program.input().table.empty();
  state.input_values = program.input().shape.values();
  state.compiled = compile(program, scores, decision, state.kernels->kernels());
  state.is_sequence = program.is_sequence();
  state.lay_out();
}

Plan::~Plan() = default;
Plan::Plan(Plan&&) noexcept = default;

// One call's work: blocks of images that threads take one after the other. The caller waits for
// blocks in progress, but not for threads that took none: on a busy machine a thread may start when
// run() has returned. Until it has claimed a block, a thread may touch only this object, which it
// shares; it touches the caller's memory only while it works on a block.
class Plan::Call {
 public:
  Call(std::shared_ptr<State> state, const uint8_t* bytes, const int16_t* integers, int64_t images,
       int32_t* scores, int64_t* decisions, int block)
      : state_(std::move(state)), buffers_(state_->compiled.buffers),
        arena_bytes_(state_->is_sequence ? lay_out(buffers_, size_t(block)) : state_->arena_bytes),
        bytes_(bytes), integers_(integers), scores_(scores), decisions_(decisions), images_(images),
        block_(block) {}

  // Computes blocks until none is left.
  void work() noexcept {
    std::unique_ptr<Arena> arena;
    for (int64_t first; (first = take()) < images_; finish()) {
      try {
        if (!arena) arena = state_->take(arena_bytes_);
        run(first, arena->begin());
      } catch (...) {
        fail(std::current_exception());
      }
    }
    if (arena) state_->give(std::move(arena));
  }
  // Waits for the other threads; rethrows an exception of any of them (out of memory).
  void wait() {
    Lock lock(mutex_);
    finished_.wait(lock, [this] { return working_ == 0; });
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  int64_t take() {
    const Lock lock(mutex_);
    if (next_ >= images_) return images_;
    ++working_;
    return std::exchange(next_, next_ + block_);
  }
  void finish() {
    const Lock lock(mutex_);
    if (--working_ == 0) finished_.notify_one();
  }
  void fail(std::exception_ptr failure) {
    const Lock lock(mutex_);
    failure_ = std::move(failure);
    next_ = images_;
  }
  void run(int64_t first, uint8_t* arena) const {
    const auto at = size_t(first);
    const Frame frame{arena,
                      &buffers_,
                      int(std::min<int64_t>(block_, images_ - first)),
                      bytes_ ? bytes_ + at * state_->input_values : nullptr,
                      integers_ ? integers_ + at * state_->input_values : nullptr,
                      scores_ + at * size_t(state_->classes),
                      decisions_ ? decisions_ + first : nullptr};
#ifdef BNN_TESTS
    guard(frame, true);
    for (const StepPointer& step : state_->compiled.steps) step->run(frame), guard(frame, false);
#else
    for (const StepPointer& step : state_->compiled.steps) step->run(frame);
#endif
  }
#ifdef BNN_TESTS
  // Writes a mark after the last image of every buffer; no step may change it.
  void guard(const Frame& frame, bool set) const {
    for (size_t slot = 0; slot < buffers_.size(); ++slot) {
      const Buffer& buffer = buffers_[slot];
      if (buffer.fixed_bytes > 0 || buffer.image_bytes == 0) continue;
      uint8_t* end = frame.at(Slot(slot), frame.images);
      for (size_t i = 0; i < slack; ++i)
        if (set)
          end[i] = 0xA5;
        else if (end[i] != 0xA5)
          throw std::logic_error("a step writes past the end of buffer " + std::to_string(slot));
    }
  }
#endif

  const std::shared_ptr<State> state_;
  std::vector<Buffer> buffers_;  // of a sequence they are laid out for all of its columns
  const size_t arena_bytes_;
  const uint8_t* bytes_;
  const int16_t* integers_;
  int32_t* scores_;
  int64_t* decisions_;
  const int64_t images_;
  const int block_;
  Mutex mutex_;
  Condition finished_;
  int64_t next_ = 0;
  int working_ = 0;
  std::exception_ptr failure_;
};

void Plan::run(const uint8_t* bytes, const int16_t* integers, int64_t n, int32_t* scores,
               int64_t* decisions, int threads) const {
  if (state_->is_sequence && n > max_columns) throw std::invalid_argument("too many columns");
  const int wanted = state_->is_sequence ? 1 : std::max(1, threads);
  // Small batches are shared, too; large ones go in full blocks, so that a thread whose core is
  // busy with something else does less.
  const auto block = int(std::clamp<int64_t>((n + wanted - 1) / wanted, 1,
                                             state_->is_sequence ? max_columns : state_->block));
  const auto call = std::make_shared<Call>(state_, bytes, integers, n, scores, decisions, block);
  // If the system cannot start more threads, fewer do all the work.
  for (int64_t i = 1; i < std::min<int64_t>(wanted, (n + block - 1) / block); ++i)
    if (!start_thread([call] { call->work(); })) break;
  call->work();
  call->wait();
}

std::vector<Plan::StepInfo> Plan::steps() const {
  std::vector<StepInfo> infos;
  const Compiled& compiled = state_->compiled;
  for (size_t i = 0; i < compiled.steps.size(); ++i) {
    const Cost cost = compiled.steps[i]->cost();
    infos.push_back({compiled.notes[i].edge, compiled.notes[i].what, cost.multiply_adds,
                     cost.weight_bytes, cost.instructions});
  }
  return infos;
}

std::vector<double> Plan::time_steps(const uint8_t* bytes, const int16_t* integers,
                                     int64_t n) const {
  using Clock = std::chrono::steady_clock;
  const std::vector<StepPointer>& steps = state_->compiled.steps;
  std::vector<double> seconds(steps.size());
  std::vector<int32_t> scores(size_t(state_->block) * size_t(state_->classes));
  std::vector<int64_t> decisions(size_t(state_->block));
  auto arena = state_->take(state_->arena_bytes);
  for (int64_t first = 0; first < n; first += state_->block) {
    const Frame frame{arena->begin(),
                      &state_->compiled.buffers,
                      int(std::min<int64_t>(state_->block, n - first)),
                      bytes ? bytes + size_t(first) * state_->input_values : nullptr,
                      integers ? integers + size_t(first) * state_->input_values : nullptr,
                      scores.data(),
                      state_->decides ? decisions.data() : nullptr};
    for (size_t i = 0; i < steps.size(); ++i) {
      const auto begin = Clock::now();
      steps[i]->run(frame);
      seconds[i] += std::chrono::duration<double>(Clock::now() - begin).count();
    }
  }
  state_->give(std::move(arena));
  return seconds;
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
  for (const KernelSet& set : kernel_sets()) infos.push_back({set.name, set.uses, set.available()});
  return infos;
}

}  // namespace bnn
