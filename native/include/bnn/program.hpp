// SPDX-License-Identifier: BSD-3-Clause
// The integer program as the C++ core sees it: edges by number, every operation checked when it
// is added. The meaning of the operations is in src/bnn/program/operations.py and
// src/bnn/program/semantics.py.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace bnn {

// Something in a program is not legal; the message is one line.
struct ProgramError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

struct Shape {
  int height = 1, width = 1, channels = 1;
  size_t pixels() const { return size_t(height) * width; }
  size_t values() const { return pixels() * channels; }
  bool operator==(const Shape&) const = default;
};

// The values that an activation can take: base + step * code, code = 0 .. codes - 1, step > 0.
// Kernels work on codes; base and step are folded into what follows a dot.
struct Lattice {
  int base = 0, step = 1, codes = 1;
  int last() const { return base + step * (codes - 1); }
  bool operator==(const Lattice&) const = default;
};

// Integers from low to high; with a `lattice` if they are few enough for codes of a byte.
struct Edge {
  Shape shape;
  int64_t low = 0, high = 0;
  std::optional<Lattice> lattice;
};

// Row-major (rows, columns).
template <class T>
struct Matrix {
  int rows = 0, columns = 0;
  std::vector<T> values;
  const T* row(int r) const { return values.data() + size_t(r) * columns; }
};

// Sums over the weights of a row, and how many are negative or 0.
struct RowSums {
  int64_t positive = 0, negative = 0, negatives = 0, zeros = 0;
  int low = 0, high = 0;  // of the weights, and 0
};

// Weights of a dot, row-major, of 8 or 16 bits: its own, or lent. Networks have up to 10^8 of them,
// so whoever has them already lends them, and keeps them as long as the program is used.
class Weights {
 public:
  Weights() = default;
  // Not explicit: a matrix is what tests and small callers have.
  Weights(Matrix<int16_t> own)
      : rows(own.rows), columns(own.columns), own_(std::move(own.values)), owns_(true) {}
  Weights(int rows, int columns, const int8_t* lent)
      : rows(rows), columns(columns), narrow_(lent) {}
  Weights(int rows, int columns, const int16_t* lent) : rows(rows), columns(columns), wide_(lent) {}

  int rows = 0, columns = 0;

  // Row `r`, in the caller's memory `room` if it has to be converted.
  const int16_t* row(int r, std::vector<int16_t>& room) const {
    if (narrow_ == nullptr) return (owns_ ? own_.data() : wide_) + first_of(r);
    room.assign(narrow_ + first_of(r), narrow_ + first_of(r) + columns);
    return room.data();
  }
  // The same as bytes; only for weights that fit them.
  const int8_t* narrow_row(int r, std::vector<int8_t>& room) const {
    if (narrow_ != nullptr) return narrow_ + first_of(r);
    const int16_t* from = (owns_ ? own_.data() : wide_) + first_of(r);
    room.assign(from, from + columns);
    return room.data();
  }
  RowSums sums(int r) const;
  // Whether there are as many as rows and columns say.
  bool is_whole() const { return !owns_ || own_.size() == size_t(rows) * size_t(columns); }

 private:
  size_t first_of(int r) const { return size_t(r) * size_t(columns); }

  std::vector<int16_t> own_;
  const int16_t* wide_ = nullptr;
  const int8_t* narrow_ = nullptr;
  bool owns_ = false;
};

// A rectangle that slides over a map: of a window or of a pool.
struct Slide {
  std::array<int, 2> kernel{1, 1}, stride{1, 1};
  std::array<int, 4> padding{0, 0, 0, 0};  // top, left, bottom, right
  bool padded() const { return padding != std::array<int, 4>{0, 0, 0, 0}; }
};

enum class Kind {
  window,
  dot,
  depthwise,
  threshold,
  pool,
  add,
  arg_max,
  concat,
  rescale,
  multiply,
  scan,
  carried,  // in the body of a scan: what the column before made
};
enum class Rule { first, first_positive, highest_positive };
enum class Rounding { even, up, zero, floor };  // halves; floor: everything down

// exact / 2^shift, rounded.
inline int64_t rounded(int64_t exact, int shift, Rounding rounding) {
  if (shift == 0) return exact;
  const int64_t whole = exact >> shift, half = int64_t(1) << (shift - 1);
  const int64_t rest = exact & ((half << 1) - 1);
  switch (rounding) {
    case Rounding::up: return whole + (rest >= half);
    case Rounding::even: return whole + (rest > half || (rest == half && (whole & 1)));
    case Rounding::zero: return whole + (rest > half || (rest == half && whole < 0));
    case Rounding::floor: break;
  }
  return whole;
}

// Fixed-point arithmetic of a channel: (multiplier * x + offset) / 2^shift, rounded, within
// low..high.
struct Scaling {
  std::vector<int32_t> multipliers{};
  std::vector<int64_t> offsets{};  // empty: zeros
  int shift = 0;
  Rounding rounding = Rounding::even;
  int32_t low = 0, high = 0;
  bool wraps = false;  // what is outside low..high; else it saturates. Then they are 2^n values.

  int64_t operator()(size_t channel, int64_t value) const {
    const int64_t whole = quotient(channel, value);
    if (!wraps) return std::clamp<int64_t>(whole, low, high);
    const uint64_t mask = uint64_t(int64_t(high) - low);
    return int64_t((uint64_t(whole) - uint64_t(int64_t(low))) & mask) + low;
  }
  // Before it saturates or wraps.
  int64_t quotient(size_t channel, int64_t value) const {
    const int64_t exact = value * multipliers[channel] + (offsets.empty() ? 0 : offsets[channel]);
    return rounded(exact, shift, rounding);
  }
};

class Program;

// A vector that a scan carries from one column to the next.
struct Carry {
  int edge = 0, next = 0;  // edges of the body: what was made before, and what becomes it
  int start = 0;
};

struct Op {
  Kind kind;
  int source = 0;  // number of the edge that it reads
  int other = 0;   // add, concat
  Slide slide{};   // window, pool
  int pad_value = 0;
  Weights weights{};                   // dot, depthwise
  std::vector<RowSums> sums{};         // dot: of each row of the weights
  std::vector<int32_t> bias{};         // dot; empty: zeros
  Matrix<int32_t> thresholds{};        // (channels, levels)
  std::vector<int8_t> signs{};         // threshold; empty: all +1
  int base = 0, step = 1;              // threshold
  Rule rule = Rule::first;             // arg max
  Scaling scaling{};                   // rescale
  int product_shift = 0;               // dot
  Rounding rounding = Rounding::even;  // of products
  // scan
  std::shared_ptr<const Program> body{};
  std::vector<Carry> carries{};
  int result = 0;  // edge of the body
  bool reverse = false;
};

// What the host feeds: integers of a lattice, or bytes with a table of such integers.
struct Input {
  Shape shape;
  Lattice lattice;
  std::vector<int16_t> table;  // 256 entries, or none
};

// Edge 0 is the input; the n-th operation that is added makes edge n and returns n. Nothing that
// a caller passes is trusted: every method throws ProgramError if the operation is not legal.
class Program {
 public:
  explicit Program(Input input);
  // The body of a scan: edge 0 is a column of what the scan reads.
  explicit Program(const Edge& column);

  int window(int source, Slide slide, int pad_value);
  int dot(int source, Weights weights, std::vector<int32_t> bias, int product_shift = 0,
          Rounding rounding = Rounding::even);
  // A dot whose rows read one channel each. A vector of the source is (weights.columns, channels),
  // and row r reads channel r / (rows / channels).
  int depthwise(int source, Weights weights, std::vector<int32_t> bias);
  int threshold(int source, Matrix<int32_t> thresholds, std::vector<int8_t> signs, int base,
                int step);
  int pool(int source, Slide slide);
  int add(int source, int other);
  int arg_max(int source, Rule rule);
  int concat(int source, int other);
  int rescale(int source, Scaling scaling);
  int multiply(int source, int other);
  // In a body: what a scan carries.
  int carried(int channels, Lattice lattice);
  int scan(int source, Program body, std::vector<Carry> carries, int result, bool reverse);

  const Input& input() const { return input_; }
  const std::vector<Edge>& edges() const { return edges_; }
  const Edge& edge(int number) const;
  // The operation that makes edge `number`, which must not be the input.
  const Op& op(int number) const { return ops_[size_t(number) - 1]; }
  int size() const { return int(ops_.size()); }
  // Whether it has a scan: then the images of a batch are the columns of one sequence.
  bool is_sequence() const;

 private:
  int append(Op op, Edge edge);

  Input input_;
  std::vector<Op> ops_;
  std::vector<Edge> edges_;
  int64_t values_ = 0;  // of all edges but the input
};

}  // namespace bnn
