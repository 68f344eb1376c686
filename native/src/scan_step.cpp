// SPDX-License-Identifier: BSD-3-Clause
// The body of a scan is a list of small functions on one arena of int32 values. State stays there
// from one column to the next.
#include "scan_step.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <utility>

#include "dot_step.hpp"

namespace bnn {
namespace {

constexpr size_t alignment = 64;
constexpr size_t slack = 64;  // kernels may read (never write) so many bytes past a map
constexpr int64_t max_table = int64_t(1) << 17;  // values of a threshold that become a table

bool fits16(int64_t low, int64_t high) {
  return low >= std::numeric_limits<int16_t>::min() && high <= std::numeric_limits<int16_t>::max();
}

// A matrix times a vector of values that were checked to lie in low..high.
class VectorDot {
 public:
  VectorDot(const Op& dot, int64_t low, int64_t high, const Kernels& kernels)
      : dot_(dot), narrow_(fits16(low, high)), run_(kernels.vector), offset_(dot.bias) {
    offset_.resize(size_t(dot.weights.rows));
    weights_.reserve(size_t(dot.weights.rows) * size_t(dot.weights.columns));
    std::vector<int16_t> room;
    for (int row = 0; row < dot.weights.rows; ++row) {
      const int16_t* from = dot.weights.row(row, room);
      weights_.insert(weights_.end(), from, from + dot.weights.columns);
    }
  }
  // `values` has room for one vector.
  void operator()(const int32_t* from, int32_t* to, std::vector<int16_t>& values) const {
    const Weights& weights = dot_.weights;
    if (!narrow_) return slowly(from, to);
    for (size_t i = 0; i < size_t(weights.columns); ++i) values[i] = int16_t(from[i]);
    run_({values.data(), weights_.data(), offset_.data(), weights.rows, weights.columns,
          dot_.product_shift, int(dot_.rounding), to});
  }
  size_t columns() const { return size_t(dot_.weights.columns); }
  size_t bytes() const { return weights_.size() * sizeof(int16_t); }

 private:
  void slowly(const int32_t* from, int32_t* to) const {
    for (int row = 0; row < dot_.weights.rows; ++row) {
      int64_t sum = offset_[size_t(row)];
      const int16_t* weights = weights_.data() + size_t(row) * size_t(dot_.weights.columns);
      for (int i = 0; i < dot_.weights.columns; ++i)
        sum += rounded(int64_t(weights[i]) * from[i], dot_.product_shift, dot_.rounding);
      to[row] = int32_t(sum);
    }
  }

  Op dot_;  // its weights may be in another's memory: weights_ are used
  std::vector<int16_t> weights_;
  bool narrow_;
  void (*run_)(const VectorJob& job);
  std::vector<int32_t> offset_;
};

// What a body works on: one arena with all its edges, each of form words, and what its dots need
// besides. Zeroed, because kernels may read past what was written.
class Workspace {
 public:
  Workspace(const std::vector<Buffer>* buffers, size_t bytes, size_t room)
      : memory_(bytes + alignment), vector(room) {
    const auto at = reinterpret_cast<uintptr_t>(memory_.data());
    frame.arena = memory_.data() + (alignment - at % alignment) % alignment;
    frame.buffers = buffers;
    frame.images = 1;
  }
  int32_t* values(size_t place) { return reinterpret_cast<int32_t*>(frame.arena + place); }

 private:
  std::vector<uint8_t> memory_;

 public:
  std::vector<int16_t> vector;
  Frame frame{};
};
using Function = std::function<void(Workspace&)>;

template <Rounding How, bool Wraps>
void rescaled(const Scaling& by, const int32_t* from, int32_t* to) {
  const size_t count = by.multipliers.size();
  const int32_t* multipliers = by.multipliers.data();
  const auto low = by.low, high = by.high, mask = int32_t(uint32_t(high) - uint32_t(low));
  const int32_t half = by.shift > 0 ? int32_t(1) << (by.shift - 1) : 0;
  for (size_t i = 0; i < count; ++i) {
    int32_t value = from[i] * multipliers[i];
    if (!by.offsets.empty()) value += int32_t(by.offsets[i]);
    if (by.shift > 0) {
      if constexpr (How == Rounding::even)
        value = (value + half - 1 + (value >> by.shift & 1)) >> by.shift;
      else if constexpr (How == Rounding::zero)
        value = (value + half - 1 + (value < 0)) >> by.shift;
      else
        value = (value + (How == Rounding::up ? half : 0)) >> by.shift;
    }
    to[i] = Wraps ? ((value - low) & mask) + low : std::clamp(value, low, high);
  }
}

template <Rounding How>
auto rescaled_of(bool wraps) {
  return wraps ? &rescaled<How, true> : &rescaled<How, false>;
}

// The loop for a rescale whose numbers all fit 32 bits, or null.
void (*narrow_rescale(const Scaling& by, const Edge& read))(const Scaling&, const int32_t*,
                                                            int32_t*) {
  int64_t low = 0, high = 0;
  for (size_t c = 0; c < by.multipliers.size(); ++c)
    for (int64_t end : {read.low, read.high}) {
      const int64_t offset = by.offsets.empty() ? 0 : by.offsets[c];
      const int64_t product = end * by.multipliers[c];
      if (offset > INT32_MAX || offset < INT32_MIN) return nullptr;
      low = std::min({low, product, product + offset});
      high = std::max({high, product, product + offset});
    }
  constexpr int64_t limit = int64_t(1) << 29;  // so that what rounding and wrapping add fits, too
  const auto small = [](int64_t value) { return value >= -limit && value <= limit; };
  if (by.shift > 29 || !small(low) || !small(high) || !small(by.low) || !small(by.high))
    return nullptr;
  switch (by.rounding) {
    case Rounding::even: return rescaled_of<Rounding::even>(by.wraps);
    case Rounding::up: return rescaled_of<Rounding::up>(by.wraps);
    case Rounding::zero: return rescaled_of<Rounding::zero>(by.wraps);
    case Rounding::floor: break;
  }
  return rescaled_of<Rounding::floor>(by.wraps);
}

class Body {
 public:
  Body(const Program& program, const Kernels& kernels) : program_(program), kernels_(kernels) {
    buffers_.emplace_back();  // slot 0: scratch, for all dots
    for (const Edge& edge : program.edges()) buffer({edge.shape, Form::words});
    codes_.resize(program.edges().size());
    for (int number = 1; number <= program.size(); ++number)
      if (program.op(number).kind != Kind::carried) functions_.push_back(function(number));
    buffers_[0] = {.fixed_bytes = needs_.scratch, .offset = size_};
    size_ += aligned(needs_.scratch);
  }

  Workspace workspace() const { return {&buffers_, size_, room_}; }
  void run(Workspace& in) const {
    for (const Function& function : functions_) function(in);
  }
  size_t place(int number) const { return buffers_[size_t(number) + 1].offset; }
  size_t count(int number) const { return program_.edge(number).shape.values(); }
  size_t weight_bytes() const { return needs_.weights; }

 private:
  static size_t aligned(size_t bytes) {
    return (bytes + slack + alignment - 1) / alignment * alignment;
  }

  Slot buffer(const Map& map) {
    buffers_.push_back({.image_bytes = map.bytes(), .offset = size_});
    size_ += aligned(map.bytes());
    return Slot(buffers_.size()) - 1;
  }

  Function function(int number) {
    const Op& op = program_.op(number);
    const size_t from = place(op.source), to = place(number), n = count(number);
    switch (op.kind) {
      case Kind::dot: return dot(number);
      case Kind::threshold: return threshold(op, from, to);
      case Kind::rescale: return rescale(op, from, to);
      case Kind::add:
        return [=, other = place(op.other)](Workspace& in) {
          const int32_t *one = in.values(from), *two = in.values(other);
          int32_t* sum = in.values(to);
          for (size_t i = 0; i < n; ++i) sum[i] = one[i] + two[i];
        };
      case Kind::multiply:
        return [=, other = place(op.other)](Workspace& in) {
          const int32_t *one = in.values(from), *two = in.values(other);
          int32_t* product = in.values(to);
          for (size_t i = 0; i < n; ++i) product[i] = one[i] * two[i];
        };
      case Kind::concat:
        return [=, other = place(op.other), first = count(op.source),
                second = count(op.other)](Workspace& in) {
          std::copy_n(in.values(other), second, std::copy_n(in.values(from), first, in.values(to)));
        };
      default: throw ProgramError("the body of a scan has an operation that it cannot have");
    }
  }

  // The kernels of all other dots, if what it reads has codes of a byte.
  Function dot(int number) {
    const Op& op = program_.op(number);
    const Edge& read = program_.edge(op.source);
    if (op.product_shift > 0 || !read.lattice || !fits_kernels(op, *read.lattice, 0)) {
      VectorDot made(op, read.low, read.high, kernels_);
      room_ = std::max(room_, made.columns());
      needs_.weights += made.bytes();
      return [=, this, made = std::move(made)](Workspace& in) {
        made(in.values(place(op.source)), in.values(place(number)), in.vector);
      };
    }
    const DotTask task{.dot = &op,
                       .lattice = *read.lattice,
                       .source = {read.shape, Form::bytes},
                       .target = {program_.edge(number).shape, Form::words},
                       .from = codes(op.source),
                       .to = Slot(number) + 1};
    return [step = std::shared_ptr<Step>(dot_step(task, kernels_, needs_))](Workspace& in) {
      step->run(in.frame);
    };
  }

  // Where the codes of an edge are; adds the function that makes them, once.
  Slot codes(int number) {
    Slot& slot = codes_[size_t(number)];
    if (slot > 0) return slot;
    const Edge& edge = program_.edge(number);
    const Map words{edge.shape, Form::words}, bytes{edge.shape, Form::bytes};
    slot = buffer(bytes);
    const std::shared_ptr<Step> step =
        convert_step(words, Slot(number) + 1, bytes, slot, *edge.lattice);
    functions_.push_back([step](Workspace& in) { step->run(in.frame); });
    return slot;
  }

  Function rescale(const Op& op, size_t from, size_t to) {
    const Scaling& by = op.scaling;
    if (const auto run = narrow_rescale(by, program_.edge(op.source)))
      return [=, by = by](Workspace& in) { run(by, in.values(from), in.values(to)); };
    return [=, by = by](Workspace& in) {
      for (size_t c = 0; c < by.multipliers.size(); ++c)
        in.values(to)[c] = int32_t(by(c, in.values(from)[c]));
    };
  }

  static int32_t stepped(const Op& op, int row, int32_t given) {
    const int64_t value = int64_t(given) * (op.signs.empty() ? 1 : op.signs[size_t(row)]);
    const int32_t* first = op.thresholds.row(row);
    const auto count = std::upper_bound(first, first + op.thresholds.columns, value) - first;
    return op.base + op.step * int32_t(count);
  }

  // One table for all channels, if they are alike and their values are few.
  Function threshold(const Op& op, size_t from, size_t to) {
    const Edge& read = program_.edge(op.source);
    const auto rows = size_t(op.thresholds.rows), levels = size_t(op.thresholds.columns);
    bool alike = read.high - read.low < max_table;
    for (size_t row = 1; row < rows && alike; ++row)
      alike = std::equal(op.thresholds.row(0), op.thresholds.row(0) + levels,
                         op.thresholds.row(int(row))) &&
              (op.signs.empty() || op.signs[row] == op.signs[0]);
    const int64_t last = op.base + int64_t(op.step) * int64_t(levels);
    if (!alike || !fits16(std::min<int64_t>(op.base, last), std::max<int64_t>(op.base, last)))
      return [=, op = op](Workspace& in) {
        for (size_t row = 0; row < rows; ++row)
          in.values(to)[row] = stepped(op, int(row), in.values(from)[row]);
      };
    std::vector<int16_t> table;
    for (int64_t value = read.low; value <= read.high; ++value)
      table.push_back(int16_t(stepped(op, 0, int32_t(value))));
    return [=, low = read.low, table = std::move(table)](Workspace& in) {
      const int32_t* values = in.values(from);
      int32_t* made = in.values(to);
      for (size_t i = 0; i < rows; ++i) made[i] = table[size_t(values[i] - low)];
    };
  }

  const Program& program_;
  const Kernels& kernels_;
  std::vector<Buffer> buffers_;  // of edge n: n + 1
  std::vector<Slot> codes_;      // of an edge, or 0
  std::vector<Function> functions_;
  Needs needs_;
  size_t size_ = 0, room_ = 0;
};

class ScanStep final : public Step {
 public:
  ScanStep(const Op& scan, const Kernels& kernels, Slot source, Slot target)
      : scan_(scan), kernels_(kernels), body_(*scan_.body, kernels_), source_(source),
        target_(target) {
    for (const Carry& carry : scan_.carries) kept_ += body_.count(carry.edge);
  }

  void run(const Frame& frame) const override {
    Workspace in = body_.workspace();
    std::vector<int32_t> kept(kept_);
    for (const Carry& carry : scan_.carries)
      std::fill_n(in.values(body_.place(carry.edge)), body_.count(carry.edge), carry.start);
    for (int step = 0; step < frame.images; ++step) {
      const int column = scan_.reverse ? frame.images - 1 - step : step;
      std::copy_n(frame.as<int32_t>(source_, column), body_.count(0), in.values(body_.place(0)));
      body_.run(in);
      std::copy_n(in.values(body_.place(scan_.result)), body_.count(scan_.result),
                  frame.as<int32_t>(target_, column));
      carry_on(in, kept.data());
    }
  }
  size_t weight_bytes() const { return body_.weight_bytes(); }

 private:
  // By way of `kept`: what is carried next may itself be a carried edge.
  void carry_on(Workspace& in, int32_t* kept) const {
    int32_t* at = kept;
    for (const Carry& carry : scan_.carries)
      at = std::copy_n(in.values(body_.place(carry.next)), body_.count(carry.edge), at);
    const int32_t* from = kept;
    for (const Carry& carry : scan_.carries) {
      std::copy_n(from, body_.count(carry.edge), in.values(body_.place(carry.edge)));
      from += body_.count(carry.edge);
    }
  }

  Op scan_;
  Kernels kernels_;
  Body body_;
  Slot source_, target_;
  size_t kept_ = 0;
};

class RoundedDotStep final : public Step {
 public:
  RoundedDotStep(const Op& dot, const Edge& read, const Kernels& kernels, Slot source, Slot target)
      : dot_(dot, read.low, read.high, kernels), pixels_(read.shape.pixels()),
        columns_(size_t(dot.weights.columns)), rows_(size_t(dot.weights.rows)), source_(source),
        target_(target) {}

  void run(const Frame& frame) const override {
    std::vector<int16_t> vector(columns_);
    for (int image = 0; image < frame.images; ++image) {
      const auto* from = frame.as<int32_t>(source_, image);
      auto* to = frame.as<int32_t>(target_, image);
      for (size_t pixel = 0; pixel < pixels_; ++pixel, from += columns_, to += rows_)
        dot_(from, to, vector);
    }
  }
  size_t weight_bytes() const { return dot_.bytes(); }

 private:
  VectorDot dot_;
  size_t pixels_, columns_, rows_;
  Slot source_, target_;
};

}  // namespace

StepPointer scan_step(const Op& scan, const Kernels& kernels, Slot source, Slot target,
                      size_t& weight_bytes) {
  auto step = std::make_unique<ScanStep>(scan, kernels, source, target);
  weight_bytes += step->weight_bytes();
  return step;
}

StepPointer rounded_dot_step(const Op& dot, const Edge& read, const Kernels& kernels, Slot source,
                             Slot target, size_t& weight_bytes) {
  auto step = std::make_unique<RoundedDotStep>(dot, read, kernels, source, target);
  weight_bytes += step->weight_bytes();
  return step;
}

}  // namespace bnn
