// SPDX-License-Identifier: BSD-3-Clause
#include "bnn/training_lut.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "gather.hpp"
#include "weight_sums.hpp"

namespace bnn::training {

void check(const Correlation& correlation) {
  const bool shaped =
      correlation.images > 0 && correlation.height > 0 && correlation.width > 0 &&
      correlation.inputs > 0 && correlation.outputs > 0 && correlation.kernel[0] > 0 &&
      correlation.kernel[1] > 0 && correlation.rows() > 0 && correlation.columns() > 0 &&
      *std::min_element(correlation.padding.begin(), correlation.padding.end()) >= 0 &&
      std::max(correlation.padding[0], correlation.padding[2]) < correlation.kernel[0] &&
      std::max(correlation.padding[1], correlation.padding[3]) < correlation.kernel[1];
  if (!shaped) throw std::invalid_argument("a correlation has an impossible shape");
  if (correlation.fan_in() > 32767) throw std::invalid_argument("sums exceed 16 bits");
  // Images are looked up in whole blocks, each look-up adds at most 2 * max_table_sum, and sums
  // have 32 bits.
  const int64_t images = round_up(int(std::min<int64_t>(correlation.images, 1 << 24)),
                                  block_tables * values_per_table(Signs::bipolar));
  if (images * correlation.rows() * correlation.columns() > 1 << 24)
    throw std::invalid_argument("a batch is too large");
}

const char* lut_kernel() { return lut().name; }

void correlate(const Correlation& correlation, const int8_t* x, const int8_t* weights,
               Signs weight_signs, int16_t* y, int threads) {
  check(correlation);
  const Gather gather = forward_of(correlation, weight_signs);
  const Bytes packed = pack(gather, weights);
  const int64_t row = int64_t(gather.width) * gather.inputs;
  for_pairs(gather, threads, [&](int64_t first, int64_t second) {
    Ring rings[2] = {Ring(gather), Ring(gather)};
    const auto source = [&](int64_t image) {
      return [=](int line, int8_t* to) {
        std::memcpy(to, x + (image * gather.height + line) * row, size_t(row));
      };
    };
    gather_pair(gather, packed, rings, source(first), source(second),
                [&](int side, int64_t position, int panel, int32_t excess, int32_t* sums) {
                  const Place to = place_of(gather, side == 0 ? first : second, position, panel);
                  lut().finish_sums(sums, excess, to.count, y + to.offset);
                });
  });
}

void correlate_back(const Correlation& correlation, const Bf16* grad, const int8_t* weights,
                    Signs weight_signs, uint32_t seed, Bf16* grad_x, int threads) {
  check(correlation);
  const Gather gather = backward_of(correlation, weight_signs);
  const Bytes packed = pack(gather, weights);
  for_pairs(gather, threads, [&](int64_t first, int64_t second) {
    Ring rings[2] = {Ring(gather), Ring(gather)};
    const Rounded rounded[2] = {{gather, grad, weight_signs, seed, first},
                                {gather, grad, weight_signs, seed, second}};
    gather_pair(gather, packed, rings, rounded[0], rounded[1],
                [&](int side, int64_t position, int panel, int32_t excess, int32_t* sums) {
                  const Place to = place_of(gather, side == 0 ? first : second, position, panel);
                  lut().finish_reals(sums, excess, rounded[side].unit(), to.count,
                                     grad_x + to.offset);
                });
  });
}

void correlate_weights(const Correlation& correlation, const Bf16* grad, const int8_t* x,
                       Signs x_signs, uint32_t seed, float* grad_weights, int threads) {
  check(correlation);
  const Columns grads(correlation, grad, x_signs, seed, threads);
  const Bytes codes = codes_of(correlation, x, x_signs, threads);
  const int64_t pairs = grads.channels() / 2;
  parallel_for(pairs, thread_count(pairs, correlation.values(), threads),
               [&](int, int64_t first, int64_t last) {
                 WeightSums(correlation, grads, codes, x_signs).run(first, last, grad_weights);
               });
}

}  // namespace bnn::training
