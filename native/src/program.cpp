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
constexpr int max_levels = (1 << 16) - 1;
constexpr int max_codes = 256;          // of a byte
constexpr int max_values_of = 1 << 16;  // that an input or an activation can take
constexpr int max_shift = 62;
constexpr int max_product_shift = 30;
constexpr int64_t max_offset = (int64_t(1) << 62) - 1;
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
              given.codes <= max_values_of && std::abs(int64_t(given.base)) < max_extent,
          "values must be at most 65536 steps of a whole number");
  require(std::abs(given.base + int64_t(given.step) * (given.codes - 1)) < max_extent,
          "values must have at most 16 bits");
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
  Edge edge{shape, lattice.base, lattice.last(), {}};
  if (lattice.codes <= max_codes) edge.lattice = lattice;
  return edge;
}

// The smallest lattice that holds both.
Lattice with_lattice(Lattice one, Lattice two) {
  const int base = std::min(one.base, two.base), last = std::max(one.last(), two.last());
  int step = std::abs(one.base - two.base);
  for (const Lattice& lattice : {one, two})
    if (lattice.codes > 1) step = std::gcd(step, lattice.step);
  return step == 0 ? Lattice{base, 1, 1} : Lattice{base, step, (last - base) / step + 1};
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

namespace {

template <class T>
RowSums sums_of(const T* weights, int count) {
  constexpr int piece = 1 << 15;  // sums of so many weights fit 32 bits, which are added faster
  RowSums sums;
  for (int first = 0; first < count; first += piece) {
    int32_t positive = 0, negative = 0, negatives = 0, zeros = 0;
    int32_t low = 0, high = 0;
    for (int i = first; i < std::min(count, first + piece); ++i) {
      const int32_t weight = weights[i];
      positive += std::max(weight, 0);
      negative += std::min(weight, 0);
      negatives += weight < 0;
      zeros += weight == 0;
      low = std::min(low, weight);
      high = std::max(high, weight);
    }
    sums.positive += positive;
    sums.negative += negative;
    sums.negatives += negatives;
    sums.zeros += zeros;
    sums.low = std::min(sums.low, low);
    sums.high = std::max(sums.high, high);
  }
  return sums;
}

}  // namespace

RowSums Weights::sums(int r) const {
  if (narrow_ != nullptr) return sums_of(narrow_ + first_of(r), columns);
  return sums_of((owns_ ? own_.data() : wide_) + first_of(r), columns);
}

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

Program::Program(const Edge& column) {
  require(column.shape.pixels() == 1, "a scan reads vectors");
  edges_.push_back(column);
}

bool Program::is_sequence() const {
  return std::any_of(ops_.begin(), ops_.end(), [](const Op& op) { return op.kind == Kind::scan; });
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
  const Shape map = slid(from.shape, slide);
  const int64_t channels = int64_t(slide.kernel[0]) * slide.kernel[1] * map.channels;
  check_shape(map.height, map.width, channels);
  Edge edge = from;
  edge.shape = {map.height, map.width, int(channels)};
  if (slide.padded()) {
    require(std::abs(int64_t(pad_value)) < max_extent, "a pad value is too large");
    edge.low = std::min<int64_t>(edge.low, pad_value);
    edge.high = std::max<int64_t>(edge.high, pad_value);
    if (edge.lattice) edge = activations(edge.shape, with_value(*edge.lattice, pad_value));
  }
  Op op{.kind = Kind::window, .source = source, .slide = slide, .pad_value = pad_value};
  return append(std::move(op), std::move(edge));
}

int Program::dot(int source, Weights weights, std::vector<int32_t> bias, int product_shift,
                 Rounding rounding) {
  const Edge& from = edge(source);
  require(weights.rows >= 1 && weights.columns == from.shape.channels && weights.is_whole(),
          "weights do not fit their source");
  require(bias.empty() || bias.size() == size_t(weights.rows), "bias does not fit the weights");
  require(product_shift >= 0 && product_shift <= max_product_shift, "a shift is from 0 to 30");
  check_shape(from.shape.height, from.shape.width, weights.rows);
  // A product is lowest with a weight above 0 at the lowest input, and with one below at the
  // highest.
  const int64_t least = std::min<int64_t>(from.low, 0), most = std::max<int64_t>(from.high, 0);
  std::vector<RowSums> sums;
  sums.reserve(size_t(weights.rows));
  std::vector<int16_t> room;
  int64_t low = 0, high = 0;
  for (int row = 0; row < weights.rows; ++row) {
    const RowSums& each = sums.emplace_back(weights.sums(row));
    int64_t lowest = each.positive * least + each.negative * most;
    int64_t highest = each.positive * most + each.negative * least;
    if (product_shift > 0) {  // the sum of rounded products has ends of its own
      const int16_t* values = weights.row(row, room);
      lowest = highest = 0;
      for (int column = 0; column < weights.columns; ++column) {
        const int64_t at_low = rounded(values[column] * from.low, product_shift, rounding);
        const int64_t at_high = rounded(values[column] * from.high, product_shift, rounding);
        lowest += std::min({at_low, at_high, int64_t(0)});
        highest += std::max({at_low, at_high, int64_t(0)});
      }
    }
    const int64_t offset = bias.empty() ? 0 : bias[size_t(row)];
    low = std::min(low, lowest + std::min<int64_t>(offset, 0));
    high = std::max(high, highest + std::max<int64_t>(offset, 0));
  }
  Edge edge = integers({from.shape.height, from.shape.width, weights.rows}, low, high);
  Op op{.kind = Kind::dot,
        .source = source,
        .weights = std::move(weights),
        .sums = std::move(sums),
        .bias = std::move(bias),
        .product_shift = product_shift,
        .rounding = rounding};
  return append(std::move(op), std::move(edge));
}

int Program::depthwise(int source, Weights weights, std::vector<int32_t> bias) {
  const Edge& from = edge(source);
  require(weights.columns >= 1 && from.shape.channels % weights.columns == 0 &&
              weights.is_whole() && weights.rows >= 1 &&
              weights.rows % (from.shape.channels / weights.columns) == 0,
          "weights of channels that do not meet do not fit their source");
  require(bias.empty() || bias.size() == size_t(weights.rows), "bias does not fit the weights");
  check_shape(from.shape.height, from.shape.width, weights.rows);
  const int64_t least = std::min<int64_t>(from.low, 0), most = std::max<int64_t>(from.high, 0);
  std::vector<RowSums> sums;
  sums.reserve(size_t(weights.rows));
  int64_t low = 0, high = 0;
  for (int row = 0; row < weights.rows; ++row) {
    const RowSums& each = sums.emplace_back(weights.sums(row));
    const int64_t offset = bias.empty() ? 0 : bias[size_t(row)];
    low =
        std::min(low, each.positive * least + each.negative * most + std::min<int64_t>(offset, 0));
    high =
        std::max(high, each.positive * most + each.negative * least + std::max<int64_t>(offset, 0));
  }
  Edge edge = integers({from.shape.height, from.shape.width, weights.rows}, low, high);
  Op op{.kind = Kind::depthwise,
        .source = source,
        .weights = std::move(weights),
        .sums = std::move(sums),
        .bias = std::move(bias)};
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
  const int64_t last = base + int64_t(step) * levels;
  require(std::abs(last) < max_extent, "outputs of thresholds have at most 16 bits");
  const Lattice lattice{step > 0 ? base : int(last), std::abs(step), levels + 1};
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

int Program::concat(int source, int other) {
  const Edge &one = edge(source), &two = edge(other);
  require(one.shape.height == two.shape.height && one.shape.width == two.shape.width,
          "two edges of different sizes cannot be joined");
  const int64_t channels = int64_t(one.shape.channels) + two.shape.channels;
  check_shape(one.shape.height, one.shape.width, channels);
  const Shape shape{one.shape.height, one.shape.width, int(channels)};
  Edge joined{shape, std::min(one.low, two.low), std::max(one.high, two.high), {}};
  if (one.lattice && two.lattice)
    joined = activations(shape, with_lattice(*one.lattice, *two.lattice));
  return append(Op{.kind = Kind::concat, .source = source, .other = other}, std::move(joined));
}

int Program::rescale(int source, Scaling scaling) {
  const Edge& from = edge(source);
  const auto channels = size_t(from.shape.channels);
  require(scaling.multipliers.size() == channels, "multipliers do not fit their source");
  require(scaling.offsets.empty() || scaling.offsets.size() == channels,
          "offsets do not fit their source");
  for (int64_t offset : scaling.offsets)
    require(offset >= -max_offset && offset <= max_offset, "an offset is too large");
  require(scaling.shift >= 0 && scaling.shift <= max_shift, "a shift is from 0 to 62");
  require(scaling.low <= scaling.high, "a result saturates at its least and its largest value");
  const int64_t size = int64_t(scaling.high) - scaling.low + 1;
  require(!scaling.wraps || (size & (size - 1)) == 0, "what wraps has a power of two of values");
  int64_t low = std::numeric_limits<int64_t>::max(), high = std::numeric_limits<int64_t>::min();
  for (size_t channel = 0; channel < channels; ++channel)
    for (int64_t end : {from.low, from.high}) {
      const int64_t made = scaling.quotient(channel, end);
      low = std::min(low, made), high = std::max(high, made);
    }
  if (scaling.wraps && (low < scaling.low || high > scaling.high))  // then any of them may come
    low = scaling.low, high = scaling.high;
  low = std::clamp<int64_t>(low, scaling.low, scaling.high);
  high = std::clamp<int64_t>(high, scaling.low, scaling.high);
  Edge edge = integers(from.shape, low, high);
  return append(Op{.kind = Kind::rescale, .source = source, .scaling = std::move(scaling)},
                std::move(edge));
}

int Program::multiply(int source, int other) {
  const Edge &one = edge(source), &two = edge(other);
  require(one.shape == two.shape, "two edges of different shapes cannot be multiplied");
  const std::array<int64_t, 4> ends{one.low * two.low, one.low * two.high, one.high * two.low,
                                    one.high * two.high};
  const auto [low, high] = std::minmax_element(ends.begin(), ends.end());
  Edge product = integers(one.shape, *low, *high);
  return append(Op{.kind = Kind::multiply, .source = source, .other = other}, std::move(product));
}

int Program::carried(int channels, Lattice lattice) {
  check_shape(1, 1, channels);
  check_lattice(lattice);
  return append(Op{.kind = Kind::carried}, activations({1, 1, channels}, lattice));
}

int Program::scan(int source, Program body, std::vector<Carry> carries, int result, bool reverse) {
  const Edge &from = edge(source), &column = body.edge(0);
  require(from.shape.pixels() == 1 && column.shape == from.shape && column.low == from.low &&
              column.high == from.high,
          "the body of a scan was made for another edge");
  int carried = 0;
  for (const Op& op : body.ops_) {
    carried += op.kind == Kind::carried;
    require(op.kind != Kind::window && op.kind != Kind::pool && op.kind != Kind::arg_max &&
                op.kind != Kind::scan && op.kind != Kind::depthwise,
            "the body of a scan has an operation that it cannot have");
  }
  require(carried == int(carries.size()), "a scan does not carry what its body reads");
  std::vector<bool> seen(size_t(body.size()) + 1);
  for (const Carry& carry : carries) {
    const Edge &held = body.edge(carry.edge), &next = body.edge(carry.next);
    require(
        carry.edge > 0 && body.op(carry.edge).kind == Kind::carried && !seen[size_t(carry.edge)],
        "a scan carries what its body does not read");
    seen[size_t(carry.edge)] = true;
    require(next.shape == held.shape && next.low >= held.low && next.high <= held.high &&
                (!held.lattice || held.lattice->step == 1 || next.lattice == held.lattice) &&
                carry.start >= held.low && carry.start <= held.high,
            "what a scan carries does not fit where it is carried to");
  }
  Edge made = body.edge(result);
  Op op{.kind = Kind::scan, .source = source};
  op.body = std::make_shared<const Program>(std::move(body));
  op.carries = std::move(carries);
  op.result = result;
  op.reverse = reverse;
  return append(std::move(op), std::move(made));
}

int Program::arg_max(int source, Rule rule) {
  const Edge& from = edge(source);
  require(from.shape.pixels() == 1, "arg max needs a vector");
  Edge index = integers({1, 1, 1}, 0, from.shape.channels - 1);
  return append(Op{.kind = Kind::arg_max, .source = source, .rule = rule}, std::move(index));
}

}  // namespace bnn
