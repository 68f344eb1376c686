// SPDX-License-Identifier: BSD-3-Clause
// The core for a browser: functions without types of C++, called by src/bnn/web/site/core.js.
//
// One instance of the module holds one model. The caller builds it operation by operation, calls
// bnn_finish and then runs it. An error is an exception of JavaScript (throwing.cpp); after one the
// instance must not be used again.
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>

#include "bnn/plan.hpp"
#include "bnn/program.hpp"
#include "naive.hpp"

#define BNN_EXPORT(name) extern "C" __attribute__((export_name(#name)))

namespace {

std::optional<bnn::Program> program;
std::optional<bnn::Plan> plan;
std::vector<std::vector<int32_t>> walked;  // of each edge, the values of the image that was walked

// Most values of all edges of an image that is walked: they are kept in 64 bits.
constexpr size_t max_walked = size_t(1) << 24;

bnn::Program& building() {
  if (!program) throw bnn::ProgramError("no program was begun");
  return *program;
}

const bnn::Plan& finished() {
  if (!plan) throw bnn::ProgramError("the program is not finished");
  return *plan;
}

template <class T>
std::vector<T> copied(const T* values, size_t count) {
  if (values == nullptr) return {};
  return {values, values + count};
}

template <class T>
bnn::Matrix<T> matrix(int rows, int columns, const T* values) {
  if (rows < 0 || columns < 0) throw bnn::ProgramError("a matrix has no size");
  return {rows, columns, copied(values, size_t(rows) * size_t(columns))};
}

// Kernel, stride and padding: eight numbers.
bnn::Slide slide(const int* numbers) {
  return {{numbers[0], numbers[1]},
          {numbers[2], numbers[3]},
          {numbers[4], numbers[5], numbers[6], numbers[7]}};
}

void check_inputs(bool bytes, bool integers) {
  if (bytes == integers || bytes != finished().takes_bytes())
    throw std::invalid_argument("inputs are of the wrong type");
}

}  // namespace

BNN_EXPORT(bnn_allocate) void* bnn_allocate(size_t bytes) {
  void* at = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (at == nullptr) throw std::bad_alloc();
  return at;
}

BNN_EXPORT(bnn_release) void bnn_release(void* at) { std::free(at); }

// `lattice` is base, step and codes; `table` has 256 entries, or is null.
BNN_EXPORT(bnn_begin)
void bnn_begin(int height, int width, int channels, int base, int step, int codes,
               const int16_t* table) {
  plan.reset();
  walked.clear();
  program.emplace(bnn::Input{{height, width, channels}, {base, step, codes}, copied(table, 256)});
}

BNN_EXPORT(bnn_window) int bnn_window(int source, const int* numbers, int pad_value) {
  return building().window(source, slide(numbers), pad_value);
}

BNN_EXPORT(bnn_dot)
int bnn_dot(int source, int rows, int columns, const int16_t* weights, const int32_t* bias) {
  return building().dot(source, matrix(rows, columns, weights), copied(bias, size_t(rows)));
}

BNN_EXPORT(bnn_threshold)
int bnn_threshold(int source, int channels, int levels, const int32_t* thresholds,
                  const int8_t* signs, int base, int step) {
  return building().threshold(source, matrix(channels, levels, thresholds),
                              copied(signs, size_t(channels)), base, step);
}

BNN_EXPORT(bnn_pool) int bnn_pool(int source, const int* numbers) {
  return building().pool(source, slide(numbers));
}

BNN_EXPORT(bnn_add) int bnn_add(int source, int other) { return building().add(source, other); }

BNN_EXPORT(bnn_arg_max) int bnn_arg_max(int source, int rule) {
  if (rule < 0 || rule > 2) throw bnn::ProgramError("there is no such rule");
  return building().arg_max(source, bnn::Rule(rule));
}

// Writes height, width, channels, and the least and the largest value of edge `number`.
BNN_EXPORT(bnn_edge) void bnn_edge(int number, int32_t* five) {
  const bnn::Edge& edge = building().edge(number);
  five[0] = edge.shape.height, five[1] = edge.shape.width, five[2] = edge.shape.channels;
  five[3] = int32_t(edge.low), five[4] = int32_t(edge.high);
}

BNN_EXPORT(bnn_finish) void bnn_finish(int scores, int decision) {
  plan.emplace(building(), scores, decision, "");
}

// The name of the kernel set, ended by a zero.
BNN_EXPORT(bnn_kernel) const char* bnn_kernel() { return finished().kernels(); }

// Runs n images; see Plan::run. `decisions` has int64 values.
BNN_EXPORT(bnn_run)
void bnn_run(const uint8_t* bytes, const int16_t* integers, int n, int32_t* scores,
             int64_t* decisions) {
  check_inputs(bytes != nullptr, integers != nullptr);
  if (n < 0 || (decisions != nullptr) != finished().has_decision())
    throw std::invalid_argument("decisions must be given exactly if the plan makes them");
  finished().run(bytes, integers, n, scores, decisions, 1);
}

// Every edge of one image, by the plainest loops: what bnn_walked then gives.
BNN_EXPORT(bnn_walk) void bnn_walk(const uint8_t* bytes, const int16_t* integers) {
  check_inputs(bytes != nullptr, integers != nullptr);
  size_t total = 0;
  for (const bnn::Edge& edge : building().edges()) total += edge.shape.values();
  if (total > max_walked) throw bnn::ProgramError("the edges are too large to be shown");
  const bnn::Input& input = building().input();
  naive::Values values(input.shape.values());
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = bytes != nullptr ? input.table[bytes[i]] : integers[i];
  walked.clear();
  for (const naive::Values& edge : naive::evaluate(building(), std::move(values)))
    walked.emplace_back(edge.begin(), edge.end());
}

// The values of edge `number` of the image that was walked, [height][width][channel].
BNN_EXPORT(bnn_walked) const int32_t* bnn_walked(int number) {
  if (number < 0 || size_t(number) >= walked.size())
    throw std::invalid_argument("no image was walked, or there is no such edge");
  return walked[size_t(number)].data();
}
