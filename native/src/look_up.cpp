// SPDX-License-Identifier: BSD-3-Clause
#include "bnn/look_up.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "kernels/look_up.hpp"
#include "lines.hpp"
#include "share.hpp"

namespace bnn::training {
namespace {

LookUp best_look_up() {
#if defined(BNN_KERNELS_AVX2_LOOK_UP)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    return avx512_look_up();
  if (__builtin_cpu_supports("avx2")) return avx2_look_up();
#elif defined(BNN_KERNELS_NEON_LOOK_UP)
  return neon_look_up();
#endif
  return portable_look_up();
}

int round_up(int value, int to) { return (value + to - 1) / to * to; }

// Below `most`, so that the largest value stays within it whichever way it is rounded.
float scale_for(uint16_t largest, int most) {
  const uint32_t bits = uint32_t(largest) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  // A gradient that is no number must not become an index; the loss tells of it.
  return value > 1e-30f && value < 1e30f ? (float(most) - 0.01f) / value : 0.0f;
}

float inverse(float scale) { return scale > 0 ? 1 / scale : 0.0f; }

// Collects stretches and has them summed whenever a burst is full.
class Summing {
 public:
  explicit Summing(int bias) : sum_(bias <= 4 ? look_up().sum_small : look_up().sum) {}

  void begin(int32_t* first, int32_t* second) { sums_[0] = first, sums_[1] = second; }

  void add(const uint8_t* first, const uint8_t* second, const uint8_t* codes, int64_t count) {
    while (count > 0) {
      const auto now = int(std::min<int64_t>(count, burst - used_));
      stretches_[held_++] = {{first, second}, codes, now};
      used_ += now;
      if (used_ == burst || held_ == most_held) flush();
      first += now * table_bytes, second += now * table_bytes, codes += now * lanes;
      count -= now;
    }
  }

  void flush() {
    if (held_ > 0) sum_(stretches_, held_, sums_);
    held_ = used_ = 0;
  }

 private:
  static constexpr int most_held = 32;
  decltype(LookUp::sum) sum_;
  int32_t* sums_[2] = {};
  Stretch stretches_[most_held];
  int held_ = 0, used_ = 0;
};

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

Gather forward_of(const Correlation& by, Signs signs) {
  return {by.images, by.height, by.width, by.inputs, by.rows(), by.columns(), by.outputs,
          by.kernel, by.padding[0], by.padding[1], false, signs};
}

Gather backward_of(const Correlation& by, Signs signs) {
  return {by.images, by.rows(), by.columns(), by.outputs, by.height, by.width, by.inputs,
          by.kernel, by.kernel[0] - 1 - by.padding[0], by.kernel[1] - 1 - by.padding[1], true, signs};
}

// Codes of groups of inputs' weights, `lanes` outputs side by side: [panel][row][column][group][lane].
Bytes pack(const Gather& by, const int8_t* weights) {
  const int each = group(by.signs), groups = round_up(by.inputs, block * each) / each;
  const int panels = round_up(by.outputs, lanes) / lanes, taps = by.kernel[0] * by.kernel[1];
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
  const int panels = round_up(by.outputs, lanes) / lanes;
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

Place place_of(const Gather& by, int64_t image, int64_t position, int panel) {
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

// Groups of images, in whole blocks.
int64_t groups_of(int64_t images, Signs signs) {
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
            if (row < rows)
              look_up().round(grad + row * by.outputs, scales_.data(), by.outputs, seed + uint32_t(row * by.outputs), to);
            else std::memset(to, 0, size_t(by.outputs));
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
Bytes codes_of(const Correlation& by, const int8_t* x, Signs signs, int threads) {
  const int each = group(signs), panels = round_up(by.inputs, lanes) / lanes;
  const int64_t groups = groups_of(by.images, signs), positions = int64_t(by.height) * by.width;
  Bytes codes(size_t(panels * positions * groups * lanes));
  divide(positions, workers(positions, int64_t(codes.size()), threads), [&](int, int64_t first, int64_t last) {
    for (int64_t position = first; position < last; ++position)
      for (int panel = 0; panel < panels; ++panel) {
        uint8_t* to = codes.data() + (panel * positions + position) * groups * lanes;
        for (int64_t group = 0; group * each < by.images; ++group) {
          const int8_t* images[4];
          for (int image = 0; image < 4; ++image)
            images[image] = x + (std::min(group * each + image, by.images - 1) * positions + position) * by.inputs +
                            panel * lanes;
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

// work(first image, second image or the first again) for each pair.
template <class Work>
void for_pairs(const Gather& by, int threads, const Work& work) {
  const int64_t pairs = (by.images + 1) / 2, values = by.images * by.height * by.width * by.inputs;
  divide(pairs, workers(pairs, values, threads), [&](int, int64_t pair, int64_t last) {
    for (; pair < last; ++pair) work(2 * pair, std::min(2 * pair + 1, by.images - 1));
  });
}

}  // namespace

const LookUp& look_up() {
  static const LookUp best = best_look_up();
  return best;
}

void check(const Correlation& by) {
  const bool shaped = by.images > 0 && by.height > 0 && by.width > 0 && by.inputs > 0 && by.outputs > 0 &&
                      by.kernel[0] > 0 && by.kernel[1] > 0 && by.rows() > 0 && by.columns() > 0 &&
                      *std::min_element(by.padding.begin(), by.padding.end()) >= 0 &&
                      std::max(by.padding[0], by.padding[2]) < by.kernel[0] &&
                      std::max(by.padding[1], by.padding[3]) < by.kernel[1];
  if (!shaped) throw std::invalid_argument("a correlation has an impossible shape");
  if (by.fan_in() > 32767) throw std::invalid_argument("sums leave 16 bits");
  if (by.images * by.rows() * by.columns() > 1 << 24) throw std::invalid_argument("a batch is too large");
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
  const int64_t values = by.images * by.rows() * by.columns() * by.outputs;
  const int64_t pairs = grads.channels() / 2;
  divide(pairs, workers(pairs, values, threads), [&](int, int64_t first, int64_t last) {
    WeightSums(by, grads, codes, of_x).run(first, last, grad_weights);
  });
}

}  // namespace bnn::training
