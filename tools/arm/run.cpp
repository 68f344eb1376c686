// SPDX-License-Identifier: BSD-3-Clause
// Runs a program that tools/count_arm.py wrote, `repeats` times on `images` images, one thread:
//   run PROGRAM REPEATS IMAGES
// The file has 32-bit integers: the input, then each operation with its kind first.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <vector>

#include "bnn/plan.hpp"
#include "bnn/program.hpp"

namespace {

class Numbers {
 public:
  explicit Numbers(const char* path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file) throw std::runtime_error("cannot open the program");
    values_.resize(size_t(file.tellg()) / 4);
    file.seekg(0);
    file.read(reinterpret_cast<char*>(values_.data()), std::streamsize(values_.size() * 4));
  }
  int next() {
    if (at_ >= values_.size()) throw std::runtime_error("the program ends too early");
    return values_[at_++];
  }
  bool more() const { return at_ < values_.size(); }
  template <class T>
  std::vector<T> many(size_t count) {
    std::vector<T> found(count);
    for (T& each : found) each = T(next());
    return found;
  }

 private:
  std::vector<int32_t> values_;
  size_t at_ = 0;
};

bnn::Slide slide(Numbers& in) {
  auto n = in.many<int>(8);
  return {{n[0], n[1]}, {n[2], n[3]}, {n[4], n[5], n[6], n[7]}};
}

bnn::Program read(Numbers& in) {
  bnn::Input input;
  input.shape = {in.next(), in.next(), in.next()};
  input.lattice = {in.next(), in.next(), in.next()};
  input.table = in.many<int16_t>(size_t(in.next()));
  bnn::Program program(input);
  while (in.more()) {
    int kind = in.next(), source = in.next();
    if (kind == 0) {
      bnn::Slide window = slide(in);
      program.window(source, window, in.next());
    } else if (kind == 1) {
      int rows = in.next(), columns = in.next();
      auto weights = in.many<int16_t>(size_t(rows) * size_t(columns));
      auto bias = in.many<int32_t>(size_t(in.next()));
      program.dot(source, bnn::Matrix<int16_t>{rows, columns, weights}, bias);
    } else if (kind == 2) {
      int channels = in.next(), levels = in.next(), base = in.next(), step = in.next();
      auto thresholds = in.many<int32_t>(size_t(channels) * size_t(levels));
      auto signs = in.many<int8_t>(size_t(in.next()));
      program.threshold(source, {channels, levels, thresholds}, signs, base, step);
    } else if (kind == 3) {
      program.pool(source, slide(in));
    } else {
      throw std::runtime_error("there is no such operation");
    }
  }
  return program;
}

}  // namespace

int main(int count, char** words) {
  if (count != 4) return 2;
  Numbers numbers(words[1]);
  int repeats = std::atoi(words[2]), images = std::atoi(words[3]);
  bnn::Program program = read(numbers);
  bnn::Plan plan(program, int(program.edges().size()) - 1, -1, "");
  size_t values = plan.input_values() * size_t(images);
  const bnn::Lattice& lattice = program.input().lattice;
  std::vector<uint8_t> bytes(values);
  std::vector<int16_t> integers(values);
  uint32_t state = 1;
  for (size_t i = 0; i < values; ++i) {
    state = state * 1664525u + 1013904223u;
    bytes[i] = uint8_t(state >> 24);
    integers[i] =
        int16_t(lattice.base + lattice.step * int((state >> 16) % uint32_t(lattice.codes)));
  }
  std::vector<int32_t> scores(size_t(plan.classes()) * size_t(images));
  bool takes = plan.takes_bytes();
  for (int i = 0; i < repeats; ++i)
    plan.run(takes ? bytes.data() : nullptr, takes ? nullptr : integers.data(), images,
             scores.data(), nullptr, 1);
  std::printf("%s\n", plan.kernels());
}
