// SPDX-License-Identifier: BSD-3-Clause
// Sums of a map from tables of its values, looked up by codes of the weights: forward, and back
// to the map.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "aligned.hpp"
#include "parallel.hpp"
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
  int bias() const {
    return back ? max_table_sum : values_per_table(signs);
  }  // forward, values are at most 1
};

inline Gather forward_of(const Correlation& correlation, Signs signs) {
  return {correlation.images,
          correlation.height,
          correlation.width,
          correlation.inputs,
          correlation.rows(),
          correlation.columns(),
          correlation.outputs,
          correlation.kernel,
          correlation.padding[0],
          correlation.padding[1],
          false,
          signs};
}

inline Gather backward_of(const Correlation& correlation, Signs signs) {
  return {correlation.images,
          correlation.rows(),
          correlation.columns(),
          correlation.outputs,
          correlation.height,
          correlation.width,
          correlation.inputs,
          correlation.kernel,
          correlation.kernel[0] - 1 - correlation.padding[0],
          correlation.kernel[1] - 1 - correlation.padding[1],
          true,
          signs};
}

// Codes of groups of inputs' weights, `lanes` outputs side by side:
// [panel][row][column][group][lane].
inline Bytes pack(const Gather& gather, const int8_t* weights) {
  const int each = values_per_table(gather.signs),
            groups = round_up(gather.inputs, block_tables * each) / each;
  const int panels = panels_of(gather.outputs), taps = gather.kernel[0] * gather.kernel[1];
  // Of weights (outputs, taps, inputs) of the forward pass.
  const int64_t per_tap = gather.back ? gather.outputs : gather.inputs;
  const int64_t per_row = taps * per_tap;
  const int64_t along_lane = gather.back ? 1 : per_row, along_input = gather.back ? per_row : 1;
  Bytes packed(size_t(panels) * size_t(taps) * size_t(groups) * lanes);
  uint8_t* to = packed.data();
  for (int panel = 0; panel < panels; ++panel)
    for (int tap = 0; tap < taps; ++tap) {
      const int8_t* from = weights + (gather.back ? taps - 1 - tap : tap) * per_tap;
      const int count = std::min(lanes, gather.outputs - panel * lanes);
      for (int first = 0; first < groups * each; first += each, to += lanes)
        for (int which = 0; which < each && first + which < gather.inputs; ++which) {
          const int8_t* row =
              from + (first + which) * along_input + int64_t(panel) * lanes * along_lane;
          for (int lane = 0; lane < count; ++lane) {
            const int value = row[lane * along_lane];
            to[lane] = uint8_t(to[lane] |
                               (gather.signs == Signs::bipolar ? int(value > 0) << which
                                                               : ((value + 1) & 3) << 2 * which));
          }
        }
    }
  lut().arrange(packed.data(), int64_t(packed.size()) / (block_tables * lanes));
  return packed;
}

// The tables of the rows of one image that a row of results needs.
class Ring {
 public:
  explicit Ring(const Gather& gather)
      : gather_(gather),
        padded_(round_up(gather.inputs, block_tables * values_per_table(gather.signs))),
        row_bytes_(int64_t(gather.width) * (padded_ / values_per_table(gather.signs)) *
                   table_bytes),
        tables_(size_t(row_bytes_) * size_t(gather.kernel[0])),
        values_(size_t(gather.width) * size_t(padded_)) {}

  int64_t position_bytes() const { return row_bytes_ / gather_.width; }
  const uint8_t* row(int y) const { return tables_.data() + (y % gather_.kernel[0]) * row_bytes_; }

  // `fetch(row, values)` writes a row's (width, inputs) integers to values.
  template <class Fetch>
  void build(int y, const Fetch& fetch) {
    fetch(y, values_.data());
    if (padded_ > gather_.inputs)
      for (int x = gather_.width - 1; x >= 0; --x) {  // spread, with zeros between
        int8_t* to = values_.data() + int64_t(x) * padded_;
        std::memmove(to, values_.data() + int64_t(x) * gather_.inputs, size_t(gather_.inputs));
        std::memset(to + gather_.inputs, 0, size_t(padded_ - gather_.inputs));
      }
    uint8_t* to = tables_.data() + (y % gather_.kernel[0]) * row_bytes_;
    lut().tables(
        values_.data(),
        int64_t(gather_.width) * padded_ / (block_tables * values_per_table(gather_.signs)),
        gather_.signs, gather_.bias(), to);
  }

 private:
  const Gather& gather_;
  int padded_;
  int64_t row_bytes_;
  Bytes tables_;
  std::vector<int8_t> values_;
};

// All sums of a pair of images, whose rows `first` and `second` fetch for a Ring. emit(side,
// position, panel, excess, sums) must subtract `excess` from every sum and reset the sums to 0.
template <class Source, class Emit>
void gather_pair(const Gather& gather, const Bytes& weights, Ring (&rings)[2], const Source& first,
                 const Source& second, const Emit& emit) {
  const int64_t position = rings[0].position_bytes(), groups = position / table_bytes;
  const int panels = panels_of(gather.outputs);
  const int64_t panel_bytes = int64_t(weights.size()) / panels;
  Summing summing(gather.bias());
  int built = 0;
  alignas(64) int32_t sums[2][lanes] = {};
  for (int y = 0; y < gather.rows; ++y) {
    const int upper = std::max(0, gather.top - y),
              lower = std::min(gather.kernel[0], gather.height + gather.top - y);
    for (; built < std::min(gather.height, y - gather.top + lower); ++built) {
      rings[0].build(built, first);
      rings[1].build(built, second);
    }
    for (int panel = 0; panel < panels; ++panel)
      for (int x = 0; x < gather.columns; ++x) {
        const int from = std::max(0, gather.left - x),
                  to = std::min(gather.kernel[1], gather.width + gather.left - x);
        const int64_t count = std::max(0, to - from) * groups;
        summing.begin(sums[0], sums[1]);
        for (int row = upper; row < lower && count > 0; ++row) {
          const int64_t at = (x + from - gather.left) * position;
          const int line = y + row - gather.top;
          summing.add(rings[0].row(line) + at, rings[1].row(line) + at,
                      weights.data() + panel * panel_bytes +
                          (row * gather.kernel[1] + from) * groups * lanes,
                      count);
        }
        summing.flush();
        const auto excess = int32_t(gather.bias() * count * std::max(0, lower - upper));
        for (int side = 0; side < 2; ++side)
          emit(side, int64_t(y) * gather.columns + x, panel, excess, sums[side]);
      }
  }
}

// Where a panel of sums goes, and how many of them.
struct Place {
  int64_t offset;
  int count;
};

inline Place place_of(const Gather& gather, int64_t image, int64_t position, int panel) {
  const int first = panel * lanes;
  return {(image * gather.rows * gather.columns + position) * gather.outputs + first,
          std::min(lanes, gather.outputs - first)};
}

// A gradient of one image as integers, a row at a time.
class Rounded {
 public:
  Rounded(const Gather& gather, const Bf16* grad, Signs signs, uint32_t seed, int64_t image)
      : grad_(grad + image * gather.height * gather.width * gather.inputs),
        row_(int64_t(gather.width) * gather.inputs),
        seed_(seed + uint32_t(image * gather.height * row_)), scales_(size_t(row_)) {
    std::vector<uint16_t> largest(size_t(row_), 0);
    for (int y = 0; y < gather.height; ++y) lut().largest(grad_ + y * row_, row_, largest.data());
    scale_ = scale_for(*std::max_element(largest.begin(), largest.end()), max_value(signs));
    std::fill(scales_.begin(), scales_.end(), scale_);
  }
  float unit() const { return inverse(scale_); }
  void operator()(int y, int8_t* to) const {
    lut().round(grad_ + y * row_, scales_.data(), row_, seed_ + uint32_t(y * row_), to);
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
void for_pairs(const Gather& gather, int threads, const Work& work) {
  const int64_t pairs = (gather.images + 1) / 2,
                values = gather.images * gather.height * gather.width * gather.inputs;
  parallel_for(pairs, thread_count(pairs, values, threads), [&](int, int64_t pair, int64_t last) {
    for (; pair < last; ++pair) work(2 * pair, std::min(2 * pair + 1, gather.images - 1));
  });
}

}  // namespace bnn::training
