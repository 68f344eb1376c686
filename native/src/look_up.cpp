// SPDX-License-Identifier: BSD-3-Clause
#include "bnn/look_up.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "gather.hpp"
#include "weight_sums.hpp"

namespace bnn::training {

void check(const Correlation& by) {
  const bool shaped = by.images > 0 && by.height > 0 && by.width > 0 && by.inputs > 0 && by.outputs > 0 &&
                      by.kernel[0] > 0 && by.kernel[1] > 0 && by.rows() > 0 && by.columns() > 0 &&
                      *std::min_element(by.padding.begin(), by.padding.end()) >= 0 &&
                      std::max(by.padding[0], by.padding[2]) < by.kernel[0] &&
                      std::max(by.padding[1], by.padding[3]) < by.kernel[1];
  if (!shaped) throw std::invalid_argument("a correlation has an impossible shape");
  if (by.fan_in() > 32767) throw std::invalid_argument("sums leave 16 bits");
  // Images are looked up in whole blocks, each look-up adds at most 2 * full, and sums have 32 bits.
  const int64_t images = round_up(int(std::min<int64_t>(by.images, 1 << 24)), block * group(Signs::bipolar));
  if (images * by.rows() * by.columns() > 1 << 24) throw std::invalid_argument("a batch is too large");
}

const char* look_up_kernel() { return look_up().name; }

void correlate(const Correlation& of, const int8_t* x, const int8_t* weights, Signs of_weights, int16_t* y,
               int threads) {
  check(of);
  const Gather by = forward_of(of, of_weights);
  const Bytes packed = pack(by, weights);
  const int64_t row = int64_t(by.width) * by.inputs;
  for_pairs(by, threads, [&](int64_t first, int64_t second) {
    Ring rings[2] = {Ring(by), Ring(by)};
    const auto source = [&](int64_t image) {
      return [=](int line, int8_t* to) { std::memcpy(to, x + (image * by.height + line) * row, size_t(row)); };
    };
    gather_pair(by, packed, rings, source(first), source(second),
                [&](int side, int64_t position, int panel, int32_t excess, int32_t* sums) {
                  const Place to = place_of(by, side == 0 ? first : second, position, panel);
                  look_up().finish_sums(sums, excess, to.count, y + to.offset);
                });
  });
}

void correlate_back(const Correlation& of, const Bf16* grad, const int8_t* weights, Signs of_weights, uint32_t seed,
                    Bf16* grad_x, int threads) {
  check(of);
  const Gather by = backward_of(of, of_weights);
  const Bytes packed = pack(by, weights);
  for_pairs(by, threads, [&](int64_t first, int64_t second) {
    Ring rings[2] = {Ring(by), Ring(by)};
    const Rounded rounded[2] = {{by, grad, of_weights, seed, first}, {by, grad, of_weights, seed, second}};
    gather_pair(by, packed, rings, rounded[0], rounded[1],
                [&](int side, int64_t position, int panel, int32_t excess, int32_t* sums) {
                  const Place to = place_of(by, side == 0 ? first : second, position, panel);
                  look_up().finish_reals(sums, excess, rounded[side].unit(), to.count, grad_x + to.offset);
                });
  });
}

void correlate_weights(const Correlation& by, const Bf16* grad, const int8_t* x, Signs of_x, uint32_t seed,
                       float* grad_weights, int threads) {
  check(by);
  const Columns grads(by, grad, of_x, seed, threads);
  const Bytes codes = codes_of(by, x, of_x, threads);
  const int64_t pairs = grads.channels() / 2;
  divide(pairs, workers(pairs, by.values(), threads), [&](int, int64_t first, int64_t last) {
    WeightSums(by, grads, codes, of_x).run(first, last, grad_weights);
  });
}

}  // namespace bnn::training
