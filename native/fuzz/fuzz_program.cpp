// SPDX-License-Identifier: BSD-3-Clause
// libFuzzer's target: bytes become calls of the program's methods, also with hostile numbers. A
// program is refused with ProgramError or made into a plan; a small one is run by every kernel that
// this CPU has, and must equal the naive loops.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "../src/naive.hpp"
#include "bnn/plan.hpp"

namespace {

using bnn::Program;

// The input's bytes, one after the other; zeros when they are used up.
class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), left_(size) {}
  bool empty() const { return left_ == 0; }
  int byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  int small(int least, int most) { return least + byte() % (most - least + 1); }
  // Mostly a number from `least` to `most`, seldom any number.
  int number(int least, int most) {
    const int first = byte();
    if (first < 248) return least + first % (most - least + 1);
    static const std::array<int, 8> odd = {INT32_MIN, -1, 0, 255, 65535, 65536, 1 << 27, INT32_MAX};
    return odd[size_t(first) % odd.size()];
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

bnn::Slide slide(Bytes& from, bool pads) {
  bnn::Slide made;
  for (int& side : made.kernel) side = from.number(1, 4);
  for (int& side : made.stride) side = from.number(1, 5);
  if (pads && from.small(0, 1))
    for (int& side : made.padding) side = from.number(0, 3);
  return made;
}

// Values in a pattern, so that few bytes make large matrices.
template <class T>
bnn::Matrix<T> matrix(Bytes& from, int rows, int columns, int least, int most) {
  const bool lies = from.byte() >= 250;  // its real size is another one
  bnn::Matrix<T> made{rows, columns, {}};
  if (int64_t(rows) * columns > 1 << 14 || rows < 0 || columns < 0) return made;
  const int a = from.byte(), b = from.byte() | 1;
  for (int i = 0; i < rows * columns - lies; ++i)
    made.values.push_back(T(least + (a + i * b) % (most - least + 1)));
  return made;
}

bnn::Scaling scaling(Bytes& from, int channels) {
  bnn::Scaling made;
  const bool lies = from.byte() >= 250;
  const int shift = from.number(0, 62), a = from.byte() - 128;
  const int64_t reach = int64_t(1) << std::clamp(from.number(0, 61), 0, 61);
  for (int i = 0; i < std::min(channels, 1 << 14) + lies; ++i)
    made.multipliers.push_back(int32_t(uint32_t(a + i) * (shift > 20 ? 0x01000193u : 1u)));
  if (from.small(0, 1))
    for (int i = 0; i < std::min(channels, 1 << 14); ++i)
      made.offsets.push_back((i % 2 ? -reach : reach) + i);
  made.shift = shift;
  made.rounding = bnn::Rounding(from.small(0, 3));
  made.low = from.number(-128, 0), made.high = from.number(0, 300);
  return made;
}

// The edge that the next operation makes, or an exception.
int step(Program& program, Bytes& from) {
  const int last = program.size();
  const int first = from.byte(), kind = first >= 228 ? 12 + first % 3 : first % 12;
  const int source = from.small(0, 7) ? last : from.number(0, last);
  switch (kind) {
    case 0:
    case 1: return program.window(source, slide(from, true), from.number(-2, 2));
    case 2:
    case 3:
    case 4:
    case 5: {
      static const int ranges[][2] = {{-1, 1},     {0, 1},   {-4, 3},
                                      {-128, 127}, {0, 255}, {-32768, 32767}};
      const auto& range = ranges[from.small(0, 5)];
      const int columns =
          from.small(0, 15) ? program.edge(source).shape.channels : from.number(1, 9);
      const int rows = from.number(1, 40);
      auto weights = matrix<int16_t>(from, rows, columns, range[0], range[1]);
      if (from.small(0, 1))
        for (auto& weight : weights.values) weight = weight > 0 ? 1 : -1;
      auto bias =
          from.small(0, 2) ? bnn::Matrix<int32_t>{} : matrix<int32_t>(from, rows, 1, -40, 40);
      return program.dot(source, std::move(weights), std::move(bias.values));
    }
    case 6:
    case 7:
    case 8: {
      const int channels =
          from.small(0, 15) ? program.edge(source).shape.channels : from.number(1, 9);
      auto thresholds = matrix<int32_t>(from, channels, from.number(1, 4), -30, 30);
      const size_t levels = size_t(std::max(1, thresholds.columns));
      if (from.small(0, 15))
        for (size_t at = 0; at + levels <= thresholds.values.size(); at += levels)
          std::sort(thresholds.values.begin() + int64_t(at),
                    thresholds.values.begin() + int64_t(at + levels));
      std::vector<int8_t> signs;
      if (from.small(0, 1))
        for (int i = 0; i < std::min(channels, 1 << 14); ++i)
          signs.push_back(int8_t((i * from.small(1, 3)) % 2 * 2 - 1));
      return program.threshold(source, std::move(thresholds), std::move(signs), from.number(-1, 1),
                               from.number(-2, 2));
    }
    case 9: return program.pool(source, slide(from, true));
    case 10: return program.add(source, from.number(0, last));
    case 11: return program.arg_max(source, bnn::Rule(from.small(0, 2)));
    case 12: return program.concat(source, from.number(0, last));
    case 13: return program.rescale(source, scaling(from, program.edge(source).shape.channels));
    default: {  // more results than codes of a byte
      const int channels = program.edge(source).shape.channels;
      if (channels > 16) throw bnn::ProgramError("too many for a fuzzer");
      bnn::Matrix<int32_t> thresholds{channels, from.number(250, 700), {}};
      for (int i = 0; i < channels * std::min(thresholds.columns, 700); ++i)
        thresholds.values.push_back(i % std::max(1, thresholds.columns) - 100);
      return program.threshold(source, std::move(thresholds), {}, from.number(-300, 300),
                               from.number(-3, 3));
    }
  }
}

void compare(const Program& program, int scores, int decision, Bytes& from) {
  size_t values = 0, products = 0;
  for (const auto& edge : program.edges()) values += edge.shape.values();
  for (int number = 1; number <= program.size(); ++number) {
    const auto& op = program.op(number);
    products += program.edge(number).shape.values() * size_t(std::max(1, op.weights.columns)) *
                size_t(std::max(1, op.slide.kernel[0] * op.slide.kernel[1]));
  }
  const bool small = values < 1 << 14 && products < 1 << 18;
  std::vector<int16_t> inputs;
  const bnn::Lattice lattice = program.input().lattice;
  if (small)
    for (size_t i = 0; i < program.input().shape.values(); ++i)
      inputs.push_back(int16_t(lattice.base + lattice.step * (from.byte() % lattice.codes)));
  std::vector<naive::Values> wanted;
  if (small && scores >= 0 && scores <= program.size())  // others a plan refuses
    wanted = naive::evaluate(program, {inputs.begin(), inputs.end()});
  for (const auto& info : bnn::kernel_infos()) {
    if (!info.available) continue;
    const bnn::Plan plan(program, scores, decision, info.name);
    if (!small || plan.takes_bytes()) continue;
    std::vector<int32_t> got(size_t(plan.classes()));
    int64_t decided = 0;
    plan.run(nullptr, inputs.data(), 1, got.data(), plan.has_decision() ? &decided : nullptr, 1);
    const naive::Values& values = wanted[size_t(scores)];
    const bool decides = !plan.has_decision() || decided == wanted[size_t(decision)][0];
    if (!decides || !std::equal(got.begin(), got.end(), values.begin(), values.end())) {
      std::fprintf(stderr, "%s differs from the definition of operation %d of %d, of kind %d\n",
                   info.name.c_str(), scores, program.size(),
                   scores > 0 ? int(program.op(scores).kind) : -1);
      for (size_t i = 0; i < got.size(); ++i)
        std::fprintf(stderr, " %d (%lld)", got[i],
                     static_cast<long long>(i < values.size() ? values[i] : 0));
      std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes from(data, size);
  try {
    bnn::Input input;
    input.shape = {from.number(1, 5), from.number(1, 5), from.number(1, 40)};
    static const bnn::Lattice lattices[] = {{0, 1, 2}, {-1, 2, 2},  {-1, 1, 3},
                                            {0, 1, 4}, {-8, 1, 16}, {-128, 1, 256}};
    const int which = from.byte();
    input.lattice = which >= 246 ? bnn::Lattice{-32768, 1, 65536} : lattices[which % 6];
    if (from.byte() >= 250)
      input.lattice = {from.number(-9, 9), from.number(1, 3), from.number(1, 9)};
    if (from.byte() >= 240)
      input.table.assign(size_t(from.number(250, 260) & 511), int16_t(from.number(-1, 1)));
    Program program(std::move(input));
    for (int count = 0; count < 24 && !from.empty(); ++count) {
      try {
        step(program, from);
      } catch (const bnn::ProgramError&) {
        // refused: the next one may fit
      }
    }
    const int scores = from.small(0, 7) ? program.size() : from.number(0, program.size());
    int decision = -1;
    if (program.size() > 0 && program.op(program.size()).kind == bnn::Kind::arg_max)
      decision = program.size();
    compare(program, scores, from.small(0, 7) ? decision : from.number(-1, program.size()), from);
  } catch (const std::invalid_argument&) {
    // Refused, as it must be.
  }
  return 0;
}
