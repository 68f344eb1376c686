// SPDX-License-Identifier: BSD-3-Clause
// Every kernel that this CPU can run equals the naive loops: at the boundaries of bytes, vectors,
// words and panels, with sums at their extremes, for batches of any size.
#include <cstdio>
#include <cstring>
#include <random>

#if __has_include(<sys/mman.h>)
#include <sys/mman.h>
#include <unistd.h>
#endif

#include "bnn/plan.hpp"
#include "naive.hpp"

namespace {

using bnn::Matrix;
using bnn::Program;
using bnn::Slide;

struct Case {
  bnn::Shape input;
  bnn::Lattice codes;
  int weight_low, weight_high;  // -1, 1 with `bipolar`: no zero
  bool bipolar;
  Slide slide;
  int rows, levels;
  int pool;         // side of the pool, or 0
  bool pool_first;  // before the threshold
  bool extreme;     // all codes and weights at their ends
  int pad = 0;      // around the map: in its lattice, or not
};

struct Random {
  std::mt19937 engine;
  int operator()(int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(engine);
  }
};

Matrix<int16_t> random_weights(Random& random, const Case& c, int columns) {
  Matrix<int16_t> weights{c.rows, columns, {}};
  for (int i = 0; i < c.rows * columns; ++i) {
    int weight = random(c.weight_low, c.weight_high);
    if (c.extreme || c.bipolar) weight = random(0, 1) ? c.weight_low : c.weight_high;
    if (c.extreme && c.weight_high > 0) weight = (i / columns) % 2 ? c.weight_low : c.weight_high;
    weights.values.push_back(int16_t(weight));
  }
  return weights;
}

Matrix<int32_t> random_thresholds(Random& random, const Case& c, const bnn::Edge& sums) {
  Matrix<int32_t> thresholds{c.rows, c.levels, {}};
  const int middle = int((sums.low + sums.high) / 2), reach = int((sums.high - sums.low) / 8 + 2);
  for (int row = 0; row < c.rows; ++row) {
    std::vector<int32_t> levels;
    for (int level = 0; level < c.levels; ++level)
      levels.push_back(c.extreme ? int32_t(random(0, 1) ? sums.low : sums.high) + random(-1, 1)
                                 : random(middle - reach, middle + reach));
    std::sort(levels.begin(), levels.end());
    thresholds.values.insert(thresholds.values.end(), levels.begin(), levels.end());
  }
  return thresholds;
}

// Window, dot, threshold and pool, then a dot that reads all of it.
Program make_program(Random& random, const Case& c, int& scores) {
  Program program({c.input, c.codes, {}});
  int last = program.window(0, c.slide, c.pad);
  last = program.dot(last, random_weights(random, c, program.edge(last).shape.channels), {});
  const bnn::Edge sums = program.edge(last);
  std::vector<int8_t> signs;
  for (int i = 0; i < c.rows; ++i) signs.push_back(int8_t(random(0, 1) * 2 - 1));
  const auto pool = [&] {
    const Slide tiles{{c.pool, c.pool}, {c.pool, c.pool}};
    if (c.pool > 0) last = program.pool(last, tiles);
  };
  if (c.pool_first) pool();
  if (c.levels > 0)
    last =
        program.threshold(last, random_thresholds(random, c, sums), signs, -1, 1 + (c.levels == 1));
  if (!c.pool_first) pool();
  if (c.levels == 0)
    last = program.threshold(last, {c.rows, 1, std::vector<int32_t>(size_t(c.rows), 3)}, {}, 0, 1);
  const bnn::Shape map = program.edge(last).shape;
  last = program.window(last, {{map.height, map.width}, {1, 1}}, 0);
  Case flat = c;
  flat.rows = 5;
  flat.weight_low = -1, flat.weight_high = 1, flat.extreme = false;
  scores = program.dot(last, random_weights(random, flat, int(map.values())), {});
  return program;
}

// A pool of the input, of patches, of thresholds and of sums, none of which is fused into a dot:
// windows that overlap, leave gaps and reach past the map.
Program make_loose_program(Random& random, const Case& c, int& scores) {
  Program program({c.input, c.codes, {}});
  const auto slide = [&](int number, int beyond) {
    const bnn::Shape map = program.edge(number).shape;
    Slide slide;
    for (int axis = 0; axis < 2; ++axis) {
      const int side = axis ? map.width : map.height;
      slide.kernel[size_t(axis)] = random(1, std::min(side, 3));
      slide.stride[size_t(axis)] = random(1, 4);
      for (int end = 0; end < 2; ++end)
        slide.padding[size_t(axis + 2 * end)] =
            random(0, std::min(beyond, slide.kernel[size_t(axis)] - 1));
    }
    return slide;
  };
  int last = random(0, 1) ? program.pool(0, slide(0, 2)) : 0;
  last = program.window(last, slide(last, 2), c.pad);
  if (random(0, 1)) last = program.pool(last, slide(last, 2));
  Case flat = c;
  flat.rows = program.edge(last).shape.channels, flat.levels = random(1, 2);
  if (random(0, 1))
    last = program.threshold(last, random_thresholds(random, flat, program.edge(last)), {}, 0, 1);
  if (random(0, 1)) last = program.pool(last, slide(last, 2));
  last = program.dot(last, random_weights(random, c, program.edge(last).shape.channels), {});
  last = program.pool(last, slide(last, 2));  // of sums
  if (random(0, 1)) last = program.pool(last, slide(last, 2));
  last = program.threshold(last, {c.rows, 1, std::vector<int32_t>(size_t(c.rows), 3)}, {}, 0, 1);
  const bnn::Shape map = program.edge(last).shape;
  last = program.window(last, {{map.height, map.width}, {1, 1}}, 0);
  flat.rows = 5, flat.weight_low = -1, flat.weight_high = 1, flat.extreme = false;
  scores = program.dot(last, random_weights(random, flat, int(map.values())), {});
  return program;
}

// Everything that has no code of a byte: inputs and weights of 16 bits, windows and dots over sums,
// rescales, joins, more thresholds than codes.
Program make_full_program(Random& random, const Case& c, int& scores) {
  Program program({c.input, c.codes, {}});
  const auto rescale = [&](int source, int low, int high) {
    bnn::Scaling by;
    by.shift = random(0, 12), by.rounding = bnn::Rounding(random(0, 3)), by.low = low,
    by.high = high;
    for (int i = 0; i < program.edge(source).shape.channels; ++i) {
      by.multipliers.push_back(random(-(4 << by.shift), 4 << by.shift));
      by.offsets.push_back(random(-99, 99));
    }
    return program.rescale(source, by);
  };
  const auto dot = [&](int source, int rows, int low, int high) {
    Case wide = c;
    wide.rows = rows, wide.weight_low = low, wide.weight_high = high, wide.bipolar = false;
    wide.extreme = false;
    const int columns = program.edge(source).shape.channels;
    std::vector<int32_t> bias;
    if (random(0, 1))
      for (int i = 0; i < rows; ++i) bias.push_back(random(-1000, 1000));
    return program.dot(source, random_weights(random, wide, columns), bias);
  };
  int last = 0;
  if (random(0, 1)) last = program.concat(last, rescale(0, random(0, 1) ? 0 : -3, 40000));
  last = rescale(last, -32768, 32767);
  last = program.window(last, c.slide, random(-40000, 40000));
  last = dot(rescale(last, -2000, random(0, 1) ? 100 : 2000), c.rows, -300, 300);
  if (random(0, 1)) last = program.concat(last, last);
  if (random(0, 1)) {
    const int channels = program.edge(last).shape.channels, levels = random(200, 300);
    Matrix<int32_t> thresholds{channels, levels, {}};
    for (int i = 0; i < channels * levels; ++i)
      thresholds.values.push_back((i % levels) * 5000 - 600000 + i / levels);
    last = program.threshold(last, thresholds, {}, -random(0, 9), random(0, 1) ? 2 : 1);
  }
  last = rescale(last, -9, 9);
  const bnn::Shape map = program.edge(last).shape;
  last = program.window(last, {{map.height, map.width}, {1, 1}}, 0);
  scores = dot(last, 5, -1000, 1000);
  return program;
}

// Values that end where a page ends, with one beside it that must not be touched: a read or a write
// past the end aborts the test, without a sanitizer too. `size` values from `data()` on.
template <class T>
class Guarded {
 public:
  explicit Guarded(size_t size) : bytes_(size * sizeof(T)) {
#if __has_include(<sys/mman.h>)
    const auto page = size_t(sysconf(_SC_PAGESIZE));
    room_ = (bytes_ + page - 1) / page * page;
    base_ = static_cast<char*>(
        mmap(nullptr, room_ + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + room_, page, PROT_NONE);
    whole_ = room_ + page;
#else
    room_ = bytes_;
    base_ = new char[bytes_];
#endif
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() {
#if __has_include(<sys/mman.h>)
    munmap(base_, whole_);
#else
    delete[] base_;
#endif
  }
  T* data() { return reinterpret_cast<T*>(base_ + room_ - bytes_); }

 private:
  size_t bytes_, room_ = 0, whole_ = 0;
  char* base_ = nullptr;
};

int failures = 0;

using Maker = Program (*)(Random& random, const Case& c, int& scores);

void check(Random& random, const Case& c, Maker make = make_program) {
  int scores = 0;
  const Program program = make(random, c, scores);
  const auto values = c.input.values();
  const int images = random(1, 5);
  std::vector<int16_t> inputs;
  for (size_t i = 0; i < values * size_t(images); ++i) {
    const int code = c.extreme ? c.codes.codes - 1 : random(0, c.codes.codes - 1);
    inputs.push_back(int16_t(c.codes.base + c.codes.step * code));
  }
  std::vector<int32_t> wanted;
  for (int image = 0; image < images; ++image) {
    const auto first = inputs.begin() + image * int64_t(values);
    const auto edges = naive::evaluate(program, {first, first + int64_t(values)});
    wanted.insert(wanted.end(), edges[size_t(scores)].begin(), edges[size_t(scores)].end());
  }
  Guarded<int16_t> given(inputs.size());
  std::copy(inputs.begin(), inputs.end(), given.data());
  for (const auto& info : bnn::kernel_infos()) {
    if (!info.available) continue;
    Guarded<int32_t> got(wanted.size());
    bnn::Plan(program, scores, -1, info.name)
        .run(nullptr, given.data(), images, got.data(), nullptr, random(1, 2));
    if (std::equal(wanted.begin(), wanted.end(), got.data())) continue;
    ++failures;
    std::printf(
        "%s differs: %dx%dx%d, %d codes, weights %d..%d, %d rows, %d levels, pool %d, %d images\n",
        info.name.c_str(), c.input.height, c.input.width, c.input.channels, c.codes.codes,
        c.weight_low, c.weight_high, c.rows, c.levels, c.pool, images);
  }
}

Case random_case(Random& random) {
  static const int widths[] = {1, 3, 7, 8, 9, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200};
  static const bnn::Lattice lattices[] = {{0, 1, 2}, {-1, 2, 2},  {-1, 1, 3},
                                          {0, 1, 4}, {-8, 1, 16}, {-128, 1, 256}};
  static const int weights[][3] = {{-1, 1, 1}, {-1, 1, 0},     {-4, 3, 0},
                                   {0, 1, 0},  {-128, 127, 0}, {0, 255, 0}};
  const auto& w = weights[random(0, 5)];
  Case c{};
  c.input = {random(1, 6), random(1, 6), widths[random(0, 14)]};
  c.codes = lattices[random(0, 5)];
  c.weight_low = w[0], c.weight_high = w[1], c.bipolar = w[2] != 0;
  c.slide.kernel = {random(1, std::min(3, c.input.height)), random(1, std::min(3, c.input.width))};
  c.slide.stride = {random(1, 2), random(1, 2)};
  for (int& border : c.slide.padding) border = random(0, 3) == 0;
  c.rows = widths[random(0, 14)];
  c.levels = random(0, 3);
  c.pool =
      c.input.height > 3 && c.input.width > 3 && c.slide.stride[0] == 1 && c.slide.stride[1] == 1
          ? random(0, 2)
          : 0;
  c.pool_first = random(0, 1) == 1;
  c.extreme = random(0, 4) == 0;
  c.pad = random(0, 1) ? c.codes.last() : random(c.codes.base, c.codes.last());
  return c;
}

}  // namespace

int main(int argc, char** argv) {
  const int cases = argc > 1 ? std::atoi(argv[1]) : 400;
  Random random{std::mt19937(7)};
  for (int i = 0; i < cases; ++i) check(random, random_case(random));
  for (int i = 0; i < cases; ++i) {
    Case c = random_case(random);
    c.input.channels = std::min(c.input.channels, 65), c.rows = std::min(c.rows, 65);
    check(random, c, make_loose_program);
  }
  for (int i = 0; i < cases; ++i) {
    Case c = random_case(random);
    c.input.channels = std::min(c.input.channels, 33), c.rows = std::min(c.rows, 33);
    if (random(0, 1)) c.codes = {-32768, 1, 65536};
    check(random, c, make_full_program);
  }
  // A deep dense layer: bytes and words of sums fill up.
  for (const int codes : {2, 3, 256})
    for (const bool extreme : {false, true})
      check(random,
            {{1, 1, 40000}, {0, 1, codes}, -1, 1, codes < 256, {}, 65, 2, 0, false, extreme, 0});
  std::printf("%d cases, kernels:", 3 * cases + 6);
  for (const auto& info : bnn::kernel_infos())
    std::printf(" %s%s", info.name.c_str(), info.available ? "" : " (not here)");
  std::printf("\n");
  return failures ? 1 : 0;
}
