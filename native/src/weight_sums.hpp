// SPDX-License-Identifier: BSD-3-Clause
// Gradients of weights from tables of a gradient's values in several images, and codes of these
// images' inputs.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "aligned.hpp"
#include "parallel.hpp"
#include "summing.hpp"

namespace bnn::training {

// Software prefetch: each image is a stream of its own, more streams than a CPU's prefetcher
// tracks.
template <class T>
inline void prefetch(const T* from, int count) {
  constexpr int line = 64 / sizeof(T);
  for (int at = 0; at < count; at += line) __builtin_prefetch(from + at);
}

// Groups of images, in whole blocks.
inline int64_t groups_of(int64_t images, Signs signs) {
  const int each = block_tables * values_per_table(signs);
  return (images + each - 1) / each * block_tables;
}

// The gradients' integers of all images: [position][channel, an even number][group of
// images][image].
class Columns {
 public:
  Columns(const Correlation& correlation, const Bf16* grad, Signs signs, uint32_t seed, int threads)
      : each_(values_per_table(signs)), channels_(round_up(correlation.outputs, 2)),
        groups_(groups_of(correlation.images, signs)),
        positions_(int64_t(correlation.rows()) * correlation.columns()), scales_(size_t(channels_)),
        values_(size_t(positions_ * channels_ * groups_ * each_)) {
    std::vector<uint16_t> largest(size_t(correlation.outputs), 0);
    const int64_t rows = correlation.images * positions_;
    for (int64_t row = 0; row < rows; ++row)
      lut().largest(grad + row * correlation.outputs, correlation.outputs, largest.data());
    for (size_t c = 0; c < largest.size(); ++c)
      scales_[c] = scale_for(largest[c], max_value(signs));
    parallel_for(positions_, thread_count(positions_, rows * correlation.outputs, threads),
                 [&](int, int64_t first, int64_t last) {
                   std::vector<int8_t> rounded(size_t(each_) * size_t(correlation.outputs));
                   const int8_t* images[4] = {};
                   for (int image = 0; image < each_; ++image)
                     images[image] = rounded.data() + image * correlation.outputs;
                   for (int64_t position = first; position < last; ++position)
                     for (int64_t group = 0; group * each_ < correlation.images; ++group) {
                       for (int image = 0; image < each_; ++image) {
                         const int64_t row = (group * each_ + image) * positions_ + position;
                         int8_t* to = rounded.data() + image * correlation.outputs;
                         if (row < rows) {
                           lut().round(grad + row * correlation.outputs, scales_.data(),
                                       correlation.outputs,
                                       seed + uint32_t(row * correlation.outputs), to);
                           prefetch(grad + (row + 1) * correlation.outputs, correlation.outputs);
                         } else {
                           std::memset(to, 0, size_t(correlation.outputs));
                         }
                       }
                       lut().interleave(images, correlation.outputs, signs, groups_ * each_,
                                        values_.data() + at_(position, 0) + group * each_);
                     }
                 });
  }

  int64_t channels() const { return channels_; }
  int64_t groups() const { return groups_; }
  float unit(int channel) const { return inverse(scales_[size_t(channel)]); }
  // Those of all images.
  const int8_t* at(int64_t position, int64_t channel) const {
    return values_.data() + at_(position, channel);
  }

 private:
  int64_t at_(int64_t position, int64_t channel) const {
    return (position * channels_ + channel) * groups_ * each_;
  }

  int each_;
  int64_t channels_, groups_, positions_;
  std::vector<float> scales_;
  std::vector<int8_t> values_;
};

// Codes of the inputs of groups of images: [panel of channels][position][group of images][lane].
inline Bytes codes_of(const Correlation& correlation, const int8_t* x, Signs signs, int threads) {
  const int each = values_per_table(signs), panels = panels_of(correlation.inputs);
  const int64_t groups = groups_of(correlation.images, signs),
                positions = int64_t(correlation.height) * correlation.width;
  Bytes codes(size_t(panels * positions * groups * lanes));
  parallel_for(positions, thread_count(positions, int64_t(codes.size()), threads),
               [&](int, int64_t first, int64_t last) {
                 for (int64_t position = first; position < last; ++position)
                   for (int panel = 0; panel < panels; ++panel) {
                     uint8_t* to = codes.data() + (panel * positions + position) * groups * lanes;
                     for (int64_t group = 0; group * each < correlation.images; ++group) {
                       const int8_t* images[4];
                       for (int image = 0; image < 4; ++image) {
                         images[image] =
                             x +
                             (std::min(group * each + image, correlation.images - 1) * positions +
                              position) *
                                 correlation.inputs +
                             panel * lanes;
                         prefetch(images[image] + correlation.inputs, lanes);
                       }
                       lut().codes(images, std::min(lanes, correlation.inputs - panel * lanes),
                                   signs, to + group * lanes);
                     }
                     lut().arrange(to, groups / block_tables);
                   }
               });
  return codes;
}

// The sums of some pairs of output channels over all positions and images.
class WeightSums {
 public:
  WeightSums(const Correlation& correlation, const Columns& grads, const Bytes& codes, Signs signs)
      : correlation_(correlation), grads_(grads), codes_(codes), signs_(signs),
        wide_(round_up(correlation.inputs, lanes)),
        side_bytes_(correlation.columns() * grads.groups() * table_bytes),
        tables_(size_t(2 * side_bytes_)) {}

  void run(int64_t first, int64_t last, float* grad_weights) {
    const int64_t taps = int64_t(correlation_.kernel[0]) * correlation_.kernel[1];
    std::vector<int32_t> sums(size_t((last - first) * 2 * taps * wide_));
    for (int y = 0; y < correlation_.rows(); ++y)
      for (int64_t pair = first; pair < last; ++pair)
        add_row(y, pair, sums.data() + (pair - first) * 2 * taps * wide_);
    for (int64_t channel = 2 * first; channel < std::min<int64_t>(2 * last, correlation_.outputs);
         ++channel)
      for (int64_t tap = 0; tap < taps; ++tap) {
        const int32_t* from = sums.data() + ((channel - 2 * first) * taps + tap) * wide_;
        float* to = grad_weights + (channel * taps + tap) * correlation_.inputs;
        const int32_t excess = max_table_sum * int32_t(lookups(int(tap)));
        for (int c = 0; c < correlation_.inputs; ++c)
          to[c] = grads_.unit(int(channel)) * float(from[c] - excess);
      }
  }

 private:
  // Results that lie `tap` before a place of the map, along an axis.
  struct Span {
    int first, last;
    int size() const { return std::max(0, last - first); }
  };
  Span rows(int tap) const {
    return {std::max(0, correlation_.padding[0] - tap),
            std::min(correlation_.rows(), correlation_.height + correlation_.padding[0] - tap)};
  }
  Span columns(int tap) const {
    return {std::max(0, correlation_.padding[1] - tap),
            std::min(correlation_.columns(), correlation_.width + correlation_.padding[1] - tap)};
  }
  int64_t lookups(int tap) const {
    return grads_.groups() * rows(tap / correlation_.kernel[1]).size() *
           columns(tap % correlation_.kernel[1]).size();
  }

  void add_row(int y, int64_t pair, int32_t* sums) {
    const int64_t groups = grads_.groups();
    for (int x = 0; x < correlation_.columns(); ++x)
      for (int side = 0; side < 2; ++side)
        lut().tables(grads_.at(int64_t(y) * correlation_.columns() + x, 2 * pair + side),
                     groups / block_tables, signs_, max_table_sum,
                     tables_.data() + side * side_bytes_ + x * groups * table_bytes);
    // A few columns at a time: their tables and codes stay in the nearest cache.
    const auto some = int(std::max<int64_t>(1, max_word_lookups / groups));
    for (int x = 0; x < correlation_.columns(); x += some)
      add_columns(y, {x, std::min(x + some, correlation_.columns())}, sums);
  }

  void add_columns(int y, Span part, int32_t* sums) {
    const int64_t groups = grads_.groups(),
                  taps = int64_t(correlation_.kernel[0]) * correlation_.kernel[1];
    const int64_t panel_bytes = int64_t(correlation_.height) * correlation_.width * groups * lanes;
    Summing summing(max_table_sum);
    for (int64_t tap = 0; tap < taps; ++tap) {
      const auto down = int(tap / correlation_.kernel[1]),
                 right = int(tap % correlation_.kernel[1]);
      const Span lines = rows(down), all = columns(right);
      const Span span{std::max(part.first, all.first), std::min(part.last, all.last)};
      if (y < lines.first || y >= lines.last || span.size() == 0) continue;
      const int64_t place = int64_t(y + down - correlation_.padding[0]) * correlation_.width +
                            span.first + right - correlation_.padding[1];
      const uint8_t* tables = tables_.data() + span.first * groups * table_bytes;
      const uint8_t* codes = codes_.data() + place * groups * lanes;
      for (int lane = 0; lane < wide_; lane += lanes, codes += panel_bytes) {
        summing.begin(sums + tap * wide_ + lane, sums + (taps + tap) * wide_ + lane);
        summing.add(tables, tables + side_bytes_, codes, span.size() * groups);
        summing.flush();
      }
    }
  }

  const Correlation& correlation_;
  const Columns& grads_;
  const Bytes& codes_;
  Signs signs_;
  int wide_;
  int64_t side_bytes_;
  Bytes tables_;
};

}  // namespace bnn::training
