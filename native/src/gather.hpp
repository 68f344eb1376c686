// SPDX-License-Identifier: BSD-3-Clause
// A map's sums from tables of its values and codes of the weights to it: forward, and back to the map.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "lines.hpp"
#include "share.hpp"
#include "summing.hpp"

namespace bnn::training {

// A correlation as both the forward pass and the gradient of its map need it: the gradient is
// correlated with the mirrored kernel, under what padding is left over.
struct Gather {
  int64_t images;
  int height, width, inputs, rows, columns, outputs;
  std::array<int, 2> kernel;
  int top, left;
  bool back;
  Signs signs;  // of the weights
  int bias() const { return back ? full : group(signs); }  // forward, values are at most 1
};

inline Gather forward_of(const Correlation& by, Signs signs) {
  return {by.images, by.height, by.width, by.inputs, by.rows(), by.columns(), by.outputs,
          by.kernel, by.padding[0], by.padding[1], false, signs};
}

inline Gather backward_of(const Correlation& by, Signs signs) {
  return {by.images, by.rows(), by.columns(), by.outputs, by.height, by.width, by.inputs,
          by.kernel, by.kernel[0] - 1 - by.padding[0], by.kernel[1] - 1 - by.padding[1], true, signs};
}

// Codes of groups of inputs' weights, `lanes` outputs side by side: [panel][row][column][group][lane].
inline Bytes pack(const Gather& by, const int8_t* weights) {
  const int each = group(by.signs), groups = round_up(by.inputs, block * each) / each;
  const int panels = panels_of(by.outputs), taps = by.kernel[0] * by.kernel[1];
  // Of weights (outputs, taps, inputs) of the forward pass.
  const int64_t per_tap = by.back ? by.outputs : by.inputs;
  const int64_t per_row = taps * per_tap;
  const int64_t along_lane = by.back ? 1 : per_row, along_input = by.back ? per_row : 1;
  Bytes packed(size_t(panels) * size_t(taps) * size_t(groups) * lanes);
  uint8_t* to = packed.data();
  for (int panel = 0; panel < panels; ++panel)
    for (int tap = 0; tap < taps; ++tap) {
      const int8_t* from = weights + (by.back ? taps - 1 - tap : tap) * per_tap;
      const int count = std::min(lanes, by.outputs - panel * lanes);
      for (int first = 0; first < groups * each; first += each, to += lanes)
        for (int which = 0; which < each && first + which < by.inputs; ++which) {
          const int8_t* row = from + (first + which) * along_input + int64_t(panel) * lanes * along_lane;
          for (int lane = 0; lane < count; ++lane) {
            const int value = row[lane * along_lane];
            to[lane] = uint8_t(to[lane] | (by.signs == Signs::bipolar ? int(value > 0) << which : ((value + 1) & 3) << 2 * which));
          }
        }
    }
  look_up().arrange(packed.data(), int64_t(packed.size()) / (block * lanes));
  return packed;
}

// The tables of the rows of one image that a row of results needs.
class Ring {
 public:
  explicit Ring(const Gather& by)
      : by_(by), padded_(round_up(by.inputs, block * group(by.signs))),
        row_bytes_(int64_t(by.width) * (padded_ / group(by.signs)) * table_bytes),
        tables_(size_t(row_bytes_) * size_t(by.kernel[0])),
        values_(size_t(by.width) * size_t(padded_)) {}

  int64_t position_bytes() const { return row_bytes_ / by_.width; }
  const uint8_t* row(int y) const { return tables_.data() + (y % by_.kernel[0]) * row_bytes_; }

  // `fetch(row, values)` leaves a row's (width, inputs) integers in values.
  template <class Fetch>
  void build(int y, const Fetch& fetch) {
    fetch(y, values_.data());
    if (padded_ > by_.inputs)
      for (int x = by_.width - 1; x >= 0; --x) {  // spread, with zeros between
        int8_t* to = values_.data() + int64_t(x) * padded_;
        std::memmove(to, values_.data() + int64_t(x) * by_.inputs, size_t(by_.inputs));
        std::memset(to + by_.inputs, 0, size_t(padded_ - by_.inputs));
      }
    uint8_t* to = tables_.data() + (y % by_.kernel[0]) * row_bytes_;
    look_up().tables(values_.data(), int64_t(by_.width) * padded_ / (block * group(by_.signs)), by_.signs, by_.bias(), to);
  }

 private:
  const Gather& by_;
  int padded_;
  int64_t row_bytes_;
  Bytes tables_;
  std::vector<int8_t> values_;
};

// All sums of a pair of images, whose rows `first` and `second` fetch for a Ring. emit(side, position, panel,
// excess, sums) takes sums that are `excess` too large, and leaves zeros.
template <class Source, class Emit>
void gather_pair(const Gather& by, const Bytes& weights, Ring (&rings)[2],
                 const Source& first, const Source& second, const Emit& emit) {
  const int64_t position = rings[0].position_bytes(), groups = position / table_bytes;
  const int panels = panels_of(by.outputs);
  const int64_t panel_bytes = int64_t(weights.size()) / panels;
  Summing summing(by.bias());
  int built = 0;
  alignas(64) int32_t sums[2][lanes] = {};
  for (int y = 0; y < by.rows; ++y) {
    const int upper = std::max(0, by.top - y), lower = std::min(by.kernel[0], by.height + by.top - y);
    for (; built < std::min(by.height, y - by.top + lower); ++built) {
      rings[0].build(built, first);
      rings[1].build(built, second);
    }
    for (int panel = 0; panel < panels; ++panel)
      for (int x = 0; x < by.columns; ++x) {
        const int from = std::max(0, by.left - x), to = std::min(by.kernel[1], by.width + by.left - x);
        const int64_t count = std::max(0, to - from) * groups;
        summing.begin(sums[0], sums[1]);
        for (int row = upper; row < lower && count > 0; ++row) {
          const int64_t at = (x + from - by.left) * position;
          const int line = y + row - by.top;
          summing.add(rings[0].row(line) + at, rings[1].row(line) + at,
                      weights.data() + panel * panel_bytes + (row * by.kernel[1] + from) * groups * lanes, count);
        }
        summing.flush();
        const auto excess = int32_t(by.bias() * count * std::max(0, lower - upper));
        for (int side = 0; side < 2; ++side) emit(side, int64_t(y) * by.columns + x, panel, excess, sums[side]);
      }
  }
}

// Where a panel of sums goes, and how many of them.
struct Place {
  int64_t offset;
  int count;
};

inline Place place_of(const Gather& by, int64_t image, int64_t position, int panel) {
  const int first = panel * lanes;
  return {(image * by.rows * by.columns + position) * by.outputs + first, std::min(lanes, by.outputs - first)};
}

// A gradient of one image as integers, a row at a time.
class Rounded {
 public:
  Rounded(const Gather& by, const Bf16* grad, Signs signs, uint32_t seed, int64_t image)
      : grad_(grad + image * by.height * by.width * by.inputs), row_(int64_t(by.width) * by.inputs),
        seed_(seed + uint32_t(image * by.height * row_)), scales_(size_t(row_)) {
    std::vector<uint16_t> largest(size_t(row_), 0);
    for (int y = 0; y < by.height; ++y) look_up().largest(grad_ + y * row_, row_, largest.data());
    scale_ = scale_for(*std::max_element(largest.begin(), largest.end()), most(signs));
    std::fill(scales_.begin(), scales_.end(), scale_);
  }
  float unit() const { return inverse(scale_); }
  void operator()(int y, int8_t* to) const {
    look_up().round(grad_ + y * row_, scales_.data(), row_, seed_ + uint32_t(y * row_), to);
  }

 private:
  const Bf16* grad_;
  int64_t row_;
  uint32_t seed_;
  float scale_ = 0;
  std::vector<float> scales_;
};

// work(first image, second image or the first again) for each pair.
template <class Work>
void for_pairs(const Gather& by, int threads, const Work& work) {
  const int64_t pairs = (by.images + 1) / 2, values = by.images * by.height * by.width * by.inputs;
  divide(pairs, workers(pairs, values, threads), [&](int, int64_t pair, int64_t last) {
    for (; pair < last; ++pair) work(2 * pair, std::min(2 * pair + 1, by.images - 1));
  });
}

}  // namespace bnn::training
