// SPDX-License-Identifier: BSD-3-Clause
#include "bnn/program.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

namespace bnn {
namespace {

constexpr int64_t max_values = int64_t(1) << 27;  // of one edge, as in bnn.program.operations
constexpr int64_t max_total = int64_t(1) << 29;   // of all edges of one image, as there
constexpr int max_ops = 4096;
constexpr int max_levels = 255;
constexpr int max_codes = 256;
constexpr int max_extent = 1 << 16;  // of kernels, strides and paddings

void require(bool holds, const char* message) {
  if (!holds) throw ProgramError(message);
}

void check_shape(int64_t height, int64_t width, int64_t channels) {
  require(height >= 1 && width >= 1 && channels >= 1, "an edge has no values");
  require(height <= max_values && width <= max_values && channels <= max_values &&
              height * width <= max_values && height * width * channels <= max_values,
          "an edge is too large");
}

void check_lattice(const Lattice& given) {
  require(given.step >= 1 && given.step < max_extent && given.codes >= 1 &&
              given.codes <= max_codes && std::abs(int64_t(given.base)) < max_extent,
          "values must be at most 256 steps of a whole number");
}

// An edge of accumulators, or of activations where the integers are few.
Edge integers(Shape shape, int64_t low, int64_t high) {
  require(low >= std::numeric_limits<int32_t>::min() && high <= std::numeric_limits<int32_t>::max(),
          "sums exceed 32 bits");
  Edge edge{shape, low, high, {}};
  if (high - low < max_codes && std::abs(low) < max_extent)
    edge.lattice = Lattice{int(low), 1, int(high - low) + 1};
  return edge;
}

Edge activations(Shape shape, Lattice lattice) {
  return {shape, lattice.base, lattice.last(), lattice};
}

// The smallest lattice that holds `given` and one more value.
Lattice with_value(Lattice given, int value) {
  if (given.codes == 1) {
    const int distance = std::abs(value - given.base);
    return distance == 0 ? given : Lattice{std::min(given.base, value), distance, 2};
  }
  const int base = std::min(given.base, value), last = std::max(given.last(), value);
  const int step = std::gcd(given.step, std::abs(value - given.base));
  return {base, step, (last - base) / step + 1};
}

Shape slid(const Shape& shape, const Slide& slide) {
  for (int axis = 0; axis < 2; ++axis)
    require(slide.kernel[axis] >= 1 && slide.kernel[axis] < max_extent && slide.stride[axis] >= 1 &&
                slide.stride[axis] < max_extent,
            "kernels and strides are whole numbers from 1");
  for (int border : slide.padding)
    require(border >= 0 && border < max_extent, "paddings are whole numbers from 0");
  const auto& [top, left, bottom, right] = slide.padding;
  const int64_t height = int64_t(shape.height) + top + bottom,
                width = int64_t(shape.width) + left + right;
  require(height >= slide.kernel[0] && width >= slide.kernel[1],
          "a kernel is larger than the padded map");
  check_shape(height, width, shape.channels);
  return {int((height - slide.kernel[0]) / slide.stride[0] + 1),
          int((width - slide.kernel[1]) / slide.stride[1] + 1), shape.channels};
}

}  // namespace

Program::Program(Input input) : input_(std::move(input)) {
  const Shape& shape = input_.shape;
  check_shape(shape.height, shape.width, shape.channels);
  check_lattice(input_.lattice);
  require(input_.table.empty() || input_.table.size() == 256, "a picture table has 256 entries");
  const Lattice& lattice = input_.lattice;
  for (int value : input_.table)
    require(value >= lattice.base && value <= lattice.last() &&
                (value - lattice.base) % lattice.step == 0,
            "the picture table has values outside the input's range");
  edges_.push_back(activations(shape, lattice));
}

const Edge& Program::edge(int number) const {
  require(number >= 0 && size_t(number) < edges_.size(), "there is no such edge");
  return edges_[size_t(number)];
}

int Program::append(Op op, Edge edge) {
  require(ops_.size() < max_ops, "a program has too many operations");
  values_ += int64_t(edge.shape.values());
  require(values_ <= max_total, "the edges of a program are too large together");
  ops_.push_back(std::move(op));
  edges_.push_back(std::move(edge));
  return size();
}

int Program::window(int source, Slide slide, int pad_value) {
  const Edge& from = edge(source);
  require(from.lattice.has_value(), "a window cannot read accumulators");
  const Shape map = slid(from.shape, slide);
  const int64_t channels = int64_t(slide.kernel[0]) * slide.kernel[1] * map.channels;
  check_shape(map.height, map.width, channels);
  Lattice lattice = *from.lattice;
  if (slide.padded()) {
    require(std::abs(int64_t(pad_value)) < max_extent, "a pad value is too large");
    lattice = with_value(lattice, pad_value);
  }
  check_lattice(lattice);
  Op op{.kind = Kind::window, .source = source, .slide = slide, .pad_value = pad_value};
  return append(std::move(op), activations({map.height, map.width, int(channels)}, lattice));
}

int Program::dot(int source, Matrix<int16_t> weights, std::vector<int32_t> bias) {
  const Edge& from = edge(source);
  require(from.lattice.has_value(), "a dot cannot read accumulators");
  require(weights.rows >= 1 && weights.columns == from.shape.channels &&
              weights.values.size() == size_t(weights.rows) * size_t(weights.columns),
          "weights do not fit their source");
  require(bias.empty() || bias.size() == size_t(weights.rows), "bias does not fit the weights");
  check_shape(from.shape.height, from.shape.width, weights.rows);
  int64_t low = 0, high = 0;
  for (int row = 0; row < weights.rows; ++row) {
    int64_t lowest = 0, highest = 0;
    for (int column = 0; column < weights.columns; ++column) {
      const int64_t weight = weights.row(row)[column];
      const int64_t at_low = weight * from.low, at_high = weight * from.high;
      lowest += std::min({at_low, at_high, int64_t(0)});
      highest += std::max({at_low, at_high, int64_t(0)});
    }
    const int64_t offset = bias.empty() ? 0 : bias[size_t(row)];
    low = std::min(low, lowest + std::min<int64_t>(offset, 0));
    high = std::max(high, highest + std::max<int64_t>(offset, 0));
  }
  Edge edge = integers({from.shape.height, from.shape.width, weights.rows}, low, high);
  Op op{
      .kind = Kind::dot, .source = source, .weights = std::move(weights), .bias = std::move(bias)};
  return append(std::move(op), std::move(edge));
}

int Program::threshold(int source, Matrix<int32_t> thresholds, std::vector<int8_t> signs, int base,
                       int step) {
  const Edge& from = edge(source);
  const int levels = thresholds.columns;
  require(thresholds.rows == from.shape.channels && levels >= 1 && levels <= max_levels &&
              thresholds.values.size() == size_t(thresholds.rows) * size_t(levels),
          "thresholds do not fit their source");
  for (int row = 0; row < thresholds.rows; ++row)
    require(std::is_sorted(thresholds.row(row), thresholds.row(row) + levels),
            "thresholds of a channel must ascend");
  require(signs.empty() || signs.size() == size_t(thresholds.rows), "signs do not fit");
  for (int sign : signs) require(sign == 1 || sign == -1, "signs are +1 and -1");
  require(step != 0 && std::abs(int64_t(step)) < max_extent && std::abs(int64_t(base)) < max_extent,
          "base and step do not fit an activation");
  const Lattice lattice{step > 0 ? base : base + step * levels, std::abs(step), levels + 1};
  check_lattice(lattice);
  Edge edge = activations(from.shape, lattice);
  Op op{.kind = Kind::threshold,
        .source = source,
        .thresholds = std::move(thresholds),
        .signs = std::move(signs),
        .base = base,
        .step = step};
  return append(std::move(op), std::move(edge));
}

int Program::pool(int source, Slide slide) {
  Edge edge = this->edge(source);
  edge.shape = slid(edge.shape, slide);
  const auto& [top, left, bottom, right] = slide.padding;
  require(std::max(top, bottom) < slide.kernel[0] && std::max(left, right) < slide.kernel[1],
          "pool padding must be smaller than its kernel");
  return append(Op{.kind = Kind::pool, .source = source, .slide = slide}, std::move(edge));
}

int Program::add(int source, int other) {
  const Edge &one = edge(source), &two = edge(other);
  require(one.shape == two.shape, "two edges of different shapes cannot be added");
  Edge sum = integers(one.shape, one.low + two.low, one.high + two.high);
  return append(Op{.kind = Kind::add, .source = source, .other = other}, std::move(sum));
}

int Program::arg_max(int source, Rule rule) {
  const Edge& from = edge(source);
  require(from.shape.pixels() == 1, "arg max needs a vector");
  Edge index = integers({1, 1, 1}, 0, from.shape.channels - 1);
  return append(Op{.kind = Kind::arg_max, .source = source, .rule = rule}, std::move(index));
}

}  // namespace bnn
