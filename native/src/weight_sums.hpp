// SPDX-License-Identifier: BSD-3-Clause
// The weights' sums from tables of a gradient's values in several images and codes of these images' inputs.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "lines.hpp"
#include "share.hpp"
#include "summing.hpp"

namespace bnn::training {

// An image is far from the next, and its next position is wanted soon: more streams than a CPU follows by itself.
template <class T>
inline void ahead(const T* from, int count) {
  constexpr int line = 64 / sizeof(T);
  for (int at = 0; at < count; at += line) __builtin_prefetch(from + at);
}

// Groups of images, in whole blocks.
inline int64_t groups_of(int64_t images, Signs signs) {
  const int each = block * group(signs);
  return (images + each - 1) / each * block;
}

// The gradients' integers of all images: [position][channel, an even number][group of images][image].
class Columns {
 public:
  Columns(const Correlation& by, const Bf16* grad, Signs signs, uint32_t seed, int threads)
      : each_(group(signs)), channels_(round_up(by.outputs, 2)), groups_(groups_of(by.images, signs)),
        positions_(int64_t(by.rows()) * by.columns()), scales_(size_t(channels_)),
        values_(size_t(positions_ * channels_ * groups_ * each_)) {
    std::vector<uint16_t> largest(size_t(by.outputs), 0);
    const int64_t rows = by.images * positions_;
    for (int64_t row = 0; row < rows; ++row) look_up().largest(grad + row * by.outputs, by.outputs, largest.data());
    for (size_t c = 0; c < largest.size(); ++c) scales_[c] = scale_for(largest[c], most(signs));
    divide(positions_, workers(positions_, rows * by.outputs, threads), [&](int, int64_t first, int64_t last) {
      std::vector<int8_t> rounded(size_t(each_) * size_t(by.outputs));
      const int8_t* images[4] = {};
      for (int image = 0; image < each_; ++image) images[image] = rounded.data() + image * by.outputs;
      for (int64_t position = first; position < last; ++position)
        for (int64_t group = 0; group * each_ < by.images; ++group) {
          for (int image = 0; image < each_; ++image) {
            const int64_t row = (group * each_ + image) * positions_ + position;
            int8_t* to = rounded.data() + image * by.outputs;
            if (row < rows) {
              look_up().round(grad + row * by.outputs, scales_.data(), by.outputs, seed + uint32_t(row * by.outputs), to);
              ahead(grad + (row + 1) * by.outputs, by.outputs);
            } else {
              std::memset(to, 0, size_t(by.outputs));
            }
          }
          look_up().interleave(images, by.outputs, signs, groups_ * each_, values_.data() + at_(position, 0) + group * each_);
        }
    });
  }

  int64_t channels() const { return channels_; }
  int64_t groups() const { return groups_; }
  float unit(int channel) const { return inverse(scales_[size_t(channel)]); }
  // Those of all images.
  const int8_t* at(int64_t position, int64_t channel) const { return values_.data() + at_(position, channel); }

 private:
  int64_t at_(int64_t position, int64_t channel) const { return (position * channels_ + channel) * groups_ * each_; }

  int each_;
  int64_t channels_, groups_, positions_;
  std::vector<float> scales_;
  std::vector<int8_t> values_;
};

// Codes of the inputs of groups of images: [panel of channels][position][group of images][lane].
inline Bytes codes_of(const Correlation& by, const int8_t* x, Signs signs, int threads) {
  const int each = group(signs), panels = panels_of(by.inputs);
  const int64_t groups = groups_of(by.images, signs), positions = int64_t(by.height) * by.width;
  Bytes codes(size_t(panels * positions * groups * lanes));
  divide(positions, workers(positions, int64_t(codes.size()), threads), [&](int, int64_t first, int64_t last) {
    for (int64_t position = first; position < last; ++position)
      for (int panel = 0; panel < panels; ++panel) {
        uint8_t* to = codes.data() + (panel * positions + position) * groups * lanes;
        for (int64_t group = 0; group * each < by.images; ++group) {
          const int8_t* images[4];
          for (int image = 0; image < 4; ++image) {
            images[image] = x + (std::min(group * each + image, by.images - 1) * positions + position) * by.inputs +
                            panel * lanes;
            ahead(images[image] + by.inputs, lanes);
          }
          look_up().codes(images, std::min(lanes, by.inputs - panel * lanes), signs, to + group * lanes);
        }
        look_up().arrange(to, groups / block);
      }
  });
  return codes;
}

// The sums of some pairs of output channels over all positions and images.
class WeightSums {
 public:
  WeightSums(const Correlation& by, const Columns& grads, const Bytes& codes, Signs signs)
      : by_(by), grads_(grads), codes_(codes), signs_(signs), wide_(round_up(by.inputs, lanes)),
        side_bytes_(by.columns() * grads.groups() * table_bytes), tables_(size_t(2 * side_bytes_)) {}

  void run(int64_t first, int64_t last, float* grad_weights) {
    const int64_t taps = int64_t(by_.kernel[0]) * by_.kernel[1];
    std::vector<int32_t> sums(size_t((last - first) * 2 * taps * wide_));
    for (int y = 0; y < by_.rows(); ++y)
      for (int64_t pair = first; pair < last; ++pair) add_row(y, pair, sums.data() + (pair - first) * 2 * taps * wide_);
    for (int64_t channel = 2 * first; channel < std::min<int64_t>(2 * last, by_.outputs); ++channel)
      for (int64_t tap = 0; tap < taps; ++tap) {
        const int32_t* from = sums.data() + ((channel - 2 * first) * taps + tap) * wide_;
        float* to = grad_weights + (channel * taps + tap) * by_.inputs;
        const int32_t excess = full * int32_t(look_ups(int(tap)));
        for (int c = 0; c < by_.inputs; ++c) to[c] = grads_.unit(int(channel)) * float(from[c] - excess);
      }
  }

 private:
  // Results that lie `tap` before a place of the map, along an axis.
  struct Span {
    int first, last;
    int size() const { return std::max(0, last - first); }
  };
  Span rows(int tap) const {
    return {std::max(0, by_.padding[0] - tap), std::min(by_.rows(), by_.height + by_.padding[0] - tap)};
  }
  Span columns(int tap) const {
    return {std::max(0, by_.padding[1] - tap), std::min(by_.columns(), by_.width + by_.padding[1] - tap)};
  }
  int64_t look_ups(int tap) const {
    return grads_.groups() * rows(tap / by_.kernel[1]).size() * columns(tap % by_.kernel[1]).size();
  }

  void add_row(int y, int64_t pair, int32_t* sums) {
    const int64_t groups = grads_.groups();
    for (int x = 0; x < by_.columns(); ++x)
      for (int side = 0; side < 2; ++side)
        look_up().tables(grads_.at(int64_t(y) * by_.columns() + x, 2 * pair + side), groups / block, signs_, full,
                        tables_.data() + side * side_bytes_ + x * groups * table_bytes);
    // A few columns at a time: their tables and codes stay in the nearest cache.
    const auto some = int(std::max<int64_t>(1, burst / groups));
    for (int x = 0; x < by_.columns(); x += some) add_columns(y, {x, std::min(x + some, by_.columns())}, sums);
  }

  void add_columns(int y, Span part, int32_t* sums) {
    const int64_t groups = grads_.groups(), taps = int64_t(by_.kernel[0]) * by_.kernel[1];
    const int64_t panel_bytes = int64_t(by_.height) * by_.width * groups * lanes;
    Summing summing(full);
    for (int64_t tap = 0; tap < taps; ++tap) {
      const auto down = int(tap / by_.kernel[1]), right = int(tap % by_.kernel[1]);
      const Span lines = rows(down), all = columns(right);
      const Span span{std::max(part.first, all.first), std::min(part.last, all.last)};
      if (y < lines.first || y >= lines.last || span.size() == 0) continue;
      const int64_t place = int64_t(y + down - by_.padding[0]) * by_.width + span.first + right - by_.padding[1];
      const uint8_t* tables = tables_.data() + span.first * groups * table_bytes;
      const uint8_t* codes = codes_.data() + place * groups * lanes;
      for (int lane = 0; lane < wide_; lane += lanes, codes += panel_bytes) {
        summing.begin(sums + tap * wide_ + lane, sums + (taps + tap) * wide_ + lane);
        summing.add(tables, tables + side_bytes_, codes, span.size() * groups);
        summing.flush();
      }
    }
  }

  const Correlation& by_;
  const Columns& grads_;
  const Bytes& codes_;
  Signs signs_;
  int wide_;
  int64_t side_bytes_;
  Bytes tables_;
};

}  // namespace bnn::training
