// SPDX-License-Identifier: BSD-3-Clause
// Training by look-up tables: forward sums equal naive loops; gradients differ by no more than the
// rounding of each factor, and are equal for every kernel of this CPU and any number of threads.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <stdexcept>
#include <vector>

#include "bnn/first_layer.hpp"
#include "bnn/training_lut.hpp"
#include "kernels/training_lut.hpp"

namespace {

using namespace bnn::training;

int failures = 0;

void expect(bool right, const char* what, const Correlation& by) {
  if (right) return;
  ++failures;
  std::printf("%s: %d images of %dx%dx%d, kernel %dx%dx%d, padding %d %d %d %d\n", what,
              int(by.images), by.height, by.width, by.inputs, by.kernel[0], by.kernel[1],
              by.outputs, by.padding[0], by.padding[1], by.padding[2], by.padding[3]);
}

struct Random {
  std::mt19937 engine;
  int operator()(int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(engine);
  }
};

float wide(Bf16 value) {
  const uint32_t bits = uint32_t(value) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

Bf16 narrow(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return Bf16(bits >> 16);
}

std::vector<int8_t> few(Random& random, size_t count, Signs signs) {
  std::vector<int8_t> values(count);
  for (auto& value : values)
    value = int8_t(signs == Signs::bipolar ? 2 * random(0, 1) - 1 : random(-1, 1));
  return values;
}

// Calls work(place in x, place in weights, place in y) for every product.
template <class Work>
void each_product(const Correlation& by, const Work& work) {
  size_t y = 0;
  for (int64_t n = 0; n < by.images; ++n)
    for (int row = 0; row < by.rows(); ++row)
      for (int column = 0; column < by.columns(); ++column)
        for (int out = 0; out < by.outputs; ++out, ++y)
          for (int a = 0; a < by.kernel[0]; ++a)
            for (int b = 0; b < by.kernel[1]; ++b) {
              const int line = row + a - by.padding[0], place = column + b - by.padding[1];
              if (line < 0 || line >= by.height || place < 0 || place >= by.width) continue;
              for (int in = 0; in < by.inputs; ++in)
                work(
                    size_t(((n * by.height + line) * by.width + place) * by.inputs + in),
                    size_t(((int64_t(out) * by.kernel[0] + a) * by.kernel[1] + b) * by.inputs + in),
                    y);
            }
}

struct Sizes {
  size_t x, weights, y;
  explicit Sizes(const Correlation& by)
      : x(size_t(by.images * by.height * by.width * by.inputs)),
        weights(size_t(by.outputs * by.fan_in())),
        y(size_t(by.images * by.rows() * by.columns() * by.outputs)) {}
};

// Gradients with zeros, tiny ones and large ones.
std::vector<Bf16> gradients(Random& random, size_t count) {
  std::vector<Bf16> values(count);
  for (auto& value : values)
    value =
        narrow(random(0, 3) == 0 ? 0.0f : std::ldexp(float(random(-1000, 1000)), random(-20, 0)));
  return values;
}

float largest(const std::vector<Bf16>& grad) {
  float most = 0;
  for (Bf16 value : grad) most = std::max(most, std::fabs(wide(value)));
  return most;
}

void check(Random& random, const Correlation& by, Signs weights_are, Signs x_is) {
  const Sizes sizes(by);
  const auto x = few(random, sizes.x, x_is), weights = few(random, sizes.weights, weights_are);
  const auto grad = gradients(random, sizes.y);
  std::vector<int> sums(sizes.y);
  std::vector<double> back(sizes.x), down(sizes.weights);
  std::vector<int> back_terms(sizes.x), down_terms(sizes.weights);
  each_product(by, [&](size_t i, size_t w, size_t o) {
    sums[o] += x[i] * weights[w];
    if (grad[o] == 0) return;  // 0 stays 0
    back[i] += double(wide(grad[o])) * weights[w];
    down[w] += double(wide(grad[o])) * x[i];
    back_terms[i] += weights[w] != 0;
    down_terms[w] += x[i] != 0;
  });
  std::vector<int16_t> y(sizes.y);
  std::vector<Bf16> grad_x(sizes.x), again(sizes.x);
  std::vector<float> grad_weights(sizes.weights), weights_again(sizes.weights);
  correlate(by, x.data(), weights.data(), weights_are, y.data(), 3);
  expect(std::equal(y.begin(), y.end(), sums.begin()), "sums differ", by);
  correlate_back(by, grad.data(), weights.data(), weights_are, 5, grad_x.data(), 3);
  correlate_back(by, grad.data(), weights.data(), weights_are, 5, again.data(), 1);
  expect(grad_x == again, "threads matter to the map's gradient", by);
  correlate_weights(by, grad.data(), x.data(), x_is, 5, grad_weights.data(), 3);
  correlate_weights(by, grad.data(), x.data(), x_is, 5, weights_again.data(), 1);
  expect(grad_weights == weights_again, "threads matter to the weights' gradient", by);
  const auto near = [](double found, double wanted, int terms, double unit) {
    return std::fabs(found - wanted) <= terms * unit + 0.005 * std::fabs(wanted) + 1e-30;
  };
  const double most = largest(grad);
  bool right = true;
  for (size_t i = 0; i < sizes.x; ++i)
    right = right && near(wide(grad_x[i]), back[i], back_terms[i],
                          most / (weights_are == Signs::bipolar ? 30.9 : 61.9));
  expect(right, "a gradient of the map is farther off than rounding makes it", by);
  right = true;
  for (size_t i = 0; i < sizes.weights; ++i)
    right = right && near(grad_weights[i], down[i], down_terms[i],
                          most / (x_is == Signs::bipolar ? 30.9 : 61.9));
  expect(right, "a gradient of the weights is farther off than rounding makes it", by);
}

// The first layer's products, of bytes and few-bit weights.
void check_first(Random& random, const Correlation& by) {
  const Sizes sizes(by);
  std::vector<int16_t> x(sizes.x), weights(sizes.weights), y(sizes.y);
  const int most = int(std::min<int64_t>(255, 32767 / by.fan_in()));
  for (auto& value : x) value = int16_t(random(-most, most));
  for (auto& value : weights) value = int16_t(random(-1, 1));
  const auto grad = gradients(random, sizes.y);
  std::vector<int> sums(sizes.y);
  std::vector<double> down(sizes.weights), terms(sizes.weights);
  each_product(by, [&](size_t i, size_t w, size_t o) {
    sums[o] += x[i] * weights[w];
    down[w] += double(wide(grad[o])) * x[i];
    terms[w] += std::fabs(double(wide(grad[o])) * x[i]);
  });
  correlate_first(by, x.data(), weights.data(), y.data(), 3);
  expect(std::equal(y.begin(), y.end(), sums.begin()), "sums of the first layer differ", by);
  std::vector<float> found(sizes.weights), again(sizes.weights);
  correlate_first_weights(by, grad.data(), x.data(), found.data(), 3);
  correlate_first_weights(by, grad.data(), x.data(), again.data(), 1);
  expect(found == again, "threads matter to the first layer's gradient", by);
  bool right = true;
  for (size_t i = 0; i < sizes.weights; ++i)
    right = right && std::fabs(found[i] - down[i]) <= 1e-5 * terms[i];
  expect(right, "the first layer's gradient is off", by);
}

Correlation random_shape(Random& random) {
  Correlation by{};
  by.images = random(1, 9);
  by.height = random(1, 6), by.width = random(1, 6);
  by.inputs = random(1, 9), by.outputs = random(1, 9);
  if (random(0, 2) == 0) by.inputs = random(60, 70);
  if (random(0, 2) == 0) by.outputs = random(60, 130);
  by.kernel = {random(1, std::min(by.height, 3)), random(1, std::min(by.width, 3))};
  for (int side = 0; side < 4; ++side)
    by.padding[size_t(side)] = random(0, by.kernel[size_t(side % 2)] - 1);
  return by;
}

void check_refusals() {
  const auto refused = [](Correlation by) {
    std::vector<int8_t> x(1 << 16), weights(1 << 16);
    std::vector<int16_t> y(1 << 16);
    try {
      correlate(by, x.data(), weights.data(), Signs::bipolar, y.data(), 1);
    } catch (const std::invalid_argument&) {
      return true;
    }
    return false;
  };
  const Correlation fine{1, 3, 3, 4, 4, {3, 3}, {0, 0, 0, 0}};
  expect(!refused(fine), "refused", fine);
  for (auto spoil :
       {+[](Correlation& by) { by.images = 0; }, +[](Correlation& by) { by.kernel = {4, 3}; },
        +[](Correlation& by) { by.padding[1] = 3; }, +[](Correlation& by) { by.padding[2] = -1; },
        +[](Correlation& by) { by.height = by.width = 1027; },
        +[](Correlation& by) {
          by.inputs = 32768;
          by.height = by.width = 1;
          by.kernel = {1, 1};
        }}) {
    Correlation by = fine;
    spoil(by);
    expect(refused(by), "not refused", by);
  }
}

// Every function of a kernel set compared with the portable one.
void check_kernel(Random& random, const LutLoops& one) {
  const LutLoops& plain = portable_training_lut();
  const Correlation none{};
  for (int round = 0; round < 50; ++round) {
    const Signs signs = random(0, 1) == 0 ? Signs::bipolar : Signs::ternary;
    const bool small_ones = random(0, 1) == 0;
    const int most_value = small_ones ? 1 : max_value(signs),
              bias = small_ones ? values_per_table(signs) : max_table_sum;
    const int blocks = random(1, max_word_lookups / block_tables), count = blocks * block_tables,
              values = values_per_table(signs) * count;
    std::vector<int8_t> from(size_t(values) * 2, 0);
    for (auto& value : from) value = int8_t(random(-most_value, most_value));
    std::vector<uint8_t> tables(size_t(count) * 2 * table_bytes), expected(tables.size());
    one.tables(from.data(), 2 * blocks, signs, bias, tables.data());
    plain.tables(from.data(), 2 * blocks, signs, bias, expected.data());
    expect(tables == expected, "tables differ", none);
    std::vector<uint8_t> codes(size_t(count) * lanes);
    for (auto& code : codes) {
      code = uint8_t(random(0, 15));
      if (signs == Signs::ternary) code = uint8_t(random(0, 2) | random(0, 2) << 2);
    }
    std::vector<uint8_t> arranged = codes;
    one.arrange(arranged.data(), blocks);
    const int cut = block_tables * random(0, blocks);
    const auto stretches_of = [&](const std::vector<uint8_t>& of) {
      const uint8_t *first = tables.data(), *second = first + count * table_bytes;
      return std::array<Stretch, 2>{Stretch{{first, second}, of.data(), cut},
                                    Stretch{{first + cut * table_bytes, second + cut * table_bytes},
                                            of.data() + cut * lanes,
                                            count - cut}};
    };
    int32_t sums[2][2][lanes] = {};
    int32_t *found[2] = {sums[0][0], sums[0][1]}, *wanted[2] = {sums[1][0], sums[1][1]};
    (small_ones ? one.sum_small : one.sum)(stretches_of(arranged).data(), 2, found);
    plain.sum(stretches_of(codes).data(), 2, wanted);
    expect(std::memcmp(sums[0], sums[1], sizeof sums[0]) == 0, "sums of look-ups differ", none);

    const auto grad = gradients(random, 77);
    std::vector<float> scale(77, float(max_value(signs)) / std::max(largest(grad), 1e-9f));
    std::vector<int8_t> rounded(77), same(77);
    one.round(grad.data(), scale.data(), 77, uint32_t(round), rounded.data());
    plain.round(grad.data(), scale.data(), 77, uint32_t(round), same.data());
    expect(rounded == same, "rounding differs", none);

    const int rows = random(1, 9), terms = random(1, 15);
    std::vector<float> factors(size_t(rows * terms)), grads(size_t(rows) * 2 * lanes), outer[2];
    std::vector<int16_t> first(size_t(rows * terms)), weights(size_t(terms) * lanes), multiplied[2];
    for (auto& value : factors) value = float(random(-255, 255));
    for (auto& value : first) value = int16_t(random(-255, 255));
    for (auto& value : weights) value = int16_t(random(-1, 1));
    for (auto& value : grads) value = wide(gradients(random, 1)[0]);
    for (int which = 0; which < 2; ++which) {
      const LutLoops& by = which == 0 ? one : plain;
      outer[which].assign(size_t(terms) * 2 * lanes, 1.0f);
      by.outer(factors.data(), grads.data(), rows, terms, 2 * lanes, outer[which].data());
      multiplied[which].assign(size_t(rows) * 50, 0);
      by.multiply(first.data(), rows, terms, weights.data(), 49, 50, multiplied[which].data());
    }
    expect(outer[0] == outer[1] && multiplied[0] == multiplied[1],
           "products of the first layer differ", none);

    for (size_t i = 0; i < 77; ++i)
      expect(grad[i] != 0 || rounded[i] == 0, "0 was rounded to another number", none);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int cases = argc > 1 ? std::atoi(argv[1]) : 300;
  Random random{std::mt19937(7)};
  const auto either = [&random] { return random(0, 1) == 0 ? Signs::bipolar : Signs::ternary; };
  for (int i = 0; i < cases; ++i) check(random, random_shape(random), either(), either());
  for (int i = 0; i < cases; ++i) check_first(random, random_shape(random));
  for (const Signs signs : {Signs::bipolar, Signs::ternary})  // bursts and 16 bits fill up
    check(random, {3, 1, 1, 3000, 65, {1, 1}, {0, 0, 0, 0}}, signs, signs);
  check(random, {1100, 2, 1, 3, 3, {1, 1}, {0, 0, 0, 0}}, Signs::bipolar, Signs::bipolar);
  check_refusals();
  for (const auto& [name, one] : all_luts()) check_kernel(random, one);
  std::printf("%d cases by %s, %d failures\n", cases + 3, lut_kernel(), failures);
  return failures ? 1 : 0;
}
