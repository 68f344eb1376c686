// SPDX-License-Identifier: BSD-3-Clause
#include "depthwise_step.hpp"

#include <algorithm>
#include <limits>

namespace bnn {
namespace {

class DepthwiseStep final : public Step {
 public:
  DepthwiseStep(const DotTask& task, const Edge& sums, int run, int channels,
                const Kernels& kernels, Needs& needs)
      : from_(task.from), to_(task.to), run_(kernels.depthwise), form_(task.source.form) {
    const Weights& weights = task.dot->weights;
    job_.channels = channels;
    job_.parts = weights.rows / channels;
    job_.rows = task.slide.kernel[0];
    job_.run = run;
    job_.row_stride = size_t(task.source.shape.width) * size_t(task.source.shape.channels);
    lay_out_patches(task);
    copy_weights(*task.dot, task.lattice);
    if (task.threshold) set_thresholds(*task.threshold, sums);
    needs.weights += weights_.size() * sizeof(int32_t) + short_weights_.size() * sizeof(int16_t);
  }

  void run(const Frame& frame) const override {
    DepthwiseJob job = job_;
    for (int image = 0; image < frame.images; ++image) {
      if (form_ == Form::words)
        job.words = frame.as<int32_t>(from_, image);
      else
        job.bytes = frame.at(from_, image);
      if (job.levels > 0)
        job.codes = frame.at(to_, image);
      else
        job.sums = frame.as<int32_t>(to_, image);
      run_(job);
    }
  }
  Cost cost() const override {
    const size_t count = std::max(weights_.size(), short_weights_.size());
    const size_t bytes =
        weights_.size() * sizeof(int32_t) + short_weights_.size() * sizeof(int16_t);
    return {int64_t(patches_.size()) * int64_t(count), bytes, ""};
  }

 private:
  void lay_out_patches(const DotTask& task) {
    const Shape& map = task.source.shape;
    const Slide& slide = task.slide;
    for (int y = 0; y + slide.kernel[0] <= map.height; y += slide.stride[0])
      for (int x = 0; x + slide.kernel[1] <= map.width; x += slide.stride[1])
        patches_.push_back(
            uint32_t((size_t(y) * size_t(map.width) + size_t(x)) * size_t(map.channels)));
    job_.patches = patches_.data();
    job_.positions = int(patches_.size());
  }

  // From [channel][part][tap] to [part][tap][channel].
  void copy_weights(const Op& dot, const Lattice& lattice) {
    const int taps = dot.weights.columns, channels = job_.channels, parts = job_.parts;
    const bool codes = form_ == Form::bytes;
    const int64_t base = codes ? lattice.base : 0;
    job_.step = codes ? lattice.step : 1;
    std::vector<int32_t> all(size_t(taps) * size_t(dot.weights.rows));
    offset_.resize(size_t(dot.weights.rows));
    std::vector<int16_t> room;
    int64_t largest = 0;  // magnitude of a sum of codes, also of a part of it
    for (int row = 0; row < dot.weights.rows; ++row) {
      const size_t channel = size_t(row / parts), part = size_t(row % parts);
      const int16_t* from = dot.weights.row(row, room);
      for (int tap = 0; tap < taps; ++tap)
        all[(part * size_t(taps) + size_t(tap)) * size_t(channels) + channel] = from[tap];
      const RowSums& sums = dot.sums[size_t(row)];
      largest = std::max({largest, sums.positive, -sums.negative});
      // Modulo 2^32, as the sums are.
      offset_[part * size_t(channels) + channel] =
          int32_t(uint32_t(dot.bias.empty() ? 0 : dot.bias[size_t(row)]) +
                  uint32_t(uint64_t(base * (sums.positive + sums.negative))));
    }
    job_.offset = offset_.data();
    job_.is_short = codes && largest * (lattice.codes - 1) <= std::numeric_limits<int16_t>::max();
    if (job_.is_short)
      short_weights_.assign(all.begin(), all.end());
    else
      weights_ = std::move(all);
    job_.short_weights = short_weights_.data();
    job_.weights = weights_.data();
  }

  // A threshold t of a channel with sign -1 is reached by x <= -t: not by x >= 1 - t.
  void set_thresholds(const Op& threshold, const Edge& sums) {
    const int rows = threshold.thresholds.rows, levels = threshold.thresholds.columns;
    job_.levels = levels;
    least_.resize(size_t(levels) * size_t(rows));
    none_.resize(size_t(rows));
    turn_.resize(size_t(rows));
    for (int row = 0; row < rows; ++row) {
      const size_t place =
          size_t(row % job_.parts) * size_t(job_.channels) + size_t(row / job_.parts);
      const bool falls = !threshold.signs.empty() && threshold.signs[size_t(row)] < 0;
      for (int level = 0; level < levels; ++level) {
        const int64_t given = threshold.thresholds.row(row)[level];
        const int64_t least = std::clamp(falls ? 1 - given : given, sums.low, sums.high + 1);
        least_[size_t(level) * size_t(rows) + place] = int32_t(least);
      }
      const bool down = falls != (threshold.step < 0);
      none_[place] = down ? levels : 0;
      turn_[place] = down ? -1 : 1;
    }
    job_.least = least_.data();
    job_.none = none_.data();
    job_.turn = turn_.data();
  }

  Slot from_, to_;
  void (*run_)(const DepthwiseJob& job);
  Form form_;
  std::vector<int32_t> weights_, offset_, least_, none_, turn_;
  std::vector<int16_t> short_weights_;
  std::vector<uint32_t> patches_;
  DepthwiseJob job_;
};

}  // namespace

StepPointer depthwise_step(const DotTask& task, const Edge& sums, int run, int channels,
                           const Kernels& kernels, Needs& needs) {
  return std::make_unique<DepthwiseStep>(task, sums, run, channels, kernels, needs);
}

}  // namespace bnn
