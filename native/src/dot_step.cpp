// SPDX-License-Identifier: BSD-3-Clause
#include "dot_step.hpp"

#include <algorithm>
#include <limits>

#include "pack.hpp"

namespace bnn {
namespace {

Range range_of(const Op& dot, const Lattice& lattice) {
  Range range{lattice.codes - 1, 0, 0};
  for (const RowSums& row : dot.sums) {
    range.low = std::min(range.low, row.low);
    range.high = std::max(range.high, row.high);
  }
  return range;
}

// All weights in 16 bits, in a type of the caller's.
template <class T>
std::vector<T> copied(const Weights& weights) {
  std::vector<T> values;
  values.reserve(size_t(weights.rows) * size_t(weights.columns));
  std::vector<int16_t> room;
  for (int row = 0; row < weights.rows; ++row) {
    const int16_t* from = weights.row(row, room);
    values.insert(values.end(), from, from + weights.columns);
  }
  return values;
}

// Copies numbers modulo 2^32, as the sums are, with zeros up to a whole panel.
std::vector<int32_t> narrow(const std::vector<int64_t>& wide) {
  std::vector<int32_t> values(wide.begin(), wide.end());
  values.resize((wide.size() + panel_channels - 1) / panel_channels * panel_channels);
  return values;
}

// Byte offsets of the patches of a map, those of one pool window together.
std::vector<uint32_t> patch_offsets(const Map& map, const Slide& slide, std::array<int, 2> pool) {
  const int height = (map.shape.height - slide.kernel[0]) / slide.stride[0] + 1;
  const int width = (map.shape.width - slide.kernel[1]) / slide.stride[1] + 1;
  std::vector<uint32_t> offsets;
  for (int y = 0; y + pool[0] <= height; y += pool[0])
    for (int x = 0; x + pool[1] <= width; x += pool[1])
      for (int r = 0; r < pool[0]; ++r)
        for (int c = 0; c < pool[1]; ++c) {
          const size_t pixel = size_t((y + r) * slide.stride[0]) * size_t(map.shape.width) +
                               size_t((x + c) * slide.stride[1]);
          offsets.push_back(uint32_t(pixel * map.pixel_bytes()));
        }
  return offsets;
}

// Pairs of neighbouring positions whose patches are `shift` bytes apart.
std::vector<Job::Pair> pair_up(const std::vector<uint32_t>& patches, uint32_t shift) {
  std::vector<Job::Pair> pairs;
  for (size_t at = 0; at < patches.size(); at += pairs.back().size) {
    const bool two = at + 1 < patches.size() && patches[at + 1] - patches[at] == shift;
    pairs.push_back({patches[at], two ? 2u : 1u});
  }
  return pairs;
}

// Weights in the layout of an engine by bits or by bytes.
struct Packed {
  const BitEngine* bits = nullptr;
  const ByteEngine* bytes = nullptr;
  int burst = 0;
  Bytes weights;
};

// Bytes of working memory that the engine needs.
size_t scratch_for(const Packed& packed, const Job& job, int source_planes) {
  if (packed.bits) return packed.bits->scratch ? packed.bits->scratch(job, source_planes) : 0;
  return packed.bytes->scratch ? packed.bytes->scratch(job) : 0;
}

// Numbers of patches `shift` bytes apart from the first of the map on; empty if some lie between.
std::vector<uint32_t> number_patches(const std::vector<uint32_t>& patches, uint32_t shift) {
  std::vector<uint32_t> numbers;
  for (uint32_t patch : patches) {
    if (patch % shift != 0) return {};
    numbers.push_back(patch / shift);
  }
  return numbers;
}

class DotStep final : public Step {
 public:
  DotStep(const DotTask& task, const Kernels& kernels, Needs& needs)
      : from_(task.from), to_(task.to), scratch_(task.scratch), weight_planes_(task.weight_planes),
        source_planes_(task.source.planes), few_(kernels.few) {
    const EncodedDot encoded = encode_dot(*task.dot, task.lattice, task.weight_planes);
    pack(task, kernels, *std::max_element(encoded.high.begin(), encoded.high.end()));
    lay_out_patches(task);
    set_result(task, encoded);
    multiply_adds_ = int64_t(patches_.size()) * task.dot->weights.rows * task.dot->weights.columns;
    needs.weights += many_.weights.size() + those_few_.weights.size();
    needs.scratch = std::max(needs.scratch, scratch_for(many_, job_, source_planes_));
  }

  void run(const Frame& frame) const override {
    Job job = job_;
    job.images = frame.images;
    job.source = frame.at(from_);
    job.out = frame.at(to_);
    job.scratch = frame.at(scratch_);
    job.scratch_bytes = (*frame.buffers)[size_t(scratch_)].fixed_bytes;
    const bool few = int64_t(job.positions) * job.images < few_;
    const Packed& packed = few && !those_few_.weights.empty() ? those_few_ : many_;
    job.weights = packed.weights.data();
    packed.bits ? packed.bits->run(job, source_planes_, weight_planes_)
                : packed.bytes->run(job, packed.burst);
  }
  Cost cost() const override {
    return {multiply_adds_, many_.weights.size(),
            many_.bits ? many_.bits->instructions : many_.bytes->instructions};
  }

 private:
  void pack(const DotTask& task, const Kernels& kernels, int64_t max_sum) {
    const Weights& weights = task.dot->weights;
    const PatchLayout layout{task.slide.kernel[0], task.slide.kernel[1],
                             task.source.shape.channels};
    job_.rows = layout.rows;
    job_.channels = weights.rows;
    job_.panels = (weights.rows + panel_channels - 1) / panel_channels;
    if (weight_planes_ > 0) {
      const BitWeights bits = bit_weights(weights, weight_planes_, layout);
      job_.groups = bits.groups * source_planes_;
      many_.bits = kernels.bits[max_sum <= kernels.bits[0]->max_sum ? 0 : 1];
      if (kernels.ternary && weight_planes_ == 2) many_.bits = kernels.ternary;
      many_.weights = bnn::pack(bits, *many_.bits);
      if (kernels.few_bits)
        those_few_ = {kernels.few_bits, nullptr, 0, bnn::pack(bits, *kernels.few_bits)};
      return;
    }
    const Range range = range_of(*task.dot, task.lattice);
    const auto fits = [&](const ByteEngine& engine) {
      return takes(engine, range, layout.rows * groups_of(layout, engine) * engine.group);
    };
    const auto* engine = kernels.bytes;
    while (!fits(**engine)) ++engine;
    many_.bytes = *engine;
    job_.groups = groups_of(layout, *many_.bytes);
    many_.burst = many_.bytes->burst(range);
    many_.weights = bnn::pack(weights, layout, *many_.bytes);
    if (kernels.few_bytes && kernels.few_bytes != many_.bytes && fits(*kernels.few_bytes))
      those_few_ = {nullptr, kernels.few_bytes, kernels.few_bytes->burst(range),
                    bnn::pack(weights, layout, *kernels.few_bytes)};
  }

  void lay_out_patches(const DotTask& task) {
    const auto pool = task.pool ? task.pool->slide.kernel : std::array<int, 2>{1, 1};
    patches_ = patch_offsets(task.source, task.slide, pool);
    job_.pool = pool[0] * pool[1];
    job_.patches = patches_.data();
    job_.positions = int(patches_.size());
    job_.pair_shift = uint32_t(size_t(task.slide.stride[1]) * task.source.pixel_bytes());
    pairs_ = pair_up(patches_, job_.pair_shift);
    job_.pairs = pairs_.data();
    job_.pair_count = int(pairs_.size());
    grid_ = number_patches(patches_, job_.pair_shift);
    if (!grid_.empty()) {
      job_.grid = grid_.data();
      job_.grid_count = int(*std::max_element(grid_.begin(), grid_.end())) + 1;
    }
    job_.image_stride = task.source.bytes();
    job_.row_stride = size_t(task.source.shape.width) * task.source.pixel_bytes();
    job_.out_image_stride = task.target.bytes();
    job_.out_stride = task.target.pixel_bytes();
  }

  void set_result(const DotTask& task, const EncodedDot& encoded) {
    job_.form = task.target.form;
    job_.step = encoded.step;
    job_.divisor = encoded.divisor;
    offset_ = narrow(encoded.offset);
    zero_ = narrow(encoded.zero);
    falling_.assign(size_t(job_.panels), 0);
    rising_.assign(size_t(job_.panels), 0);
    if (task.threshold) {
      EncodedThresholds thresholds = encode_thresholds(*task.threshold, encoded);
      thresholds_ = std::move(thresholds.levels);
      falling_ = std::move(thresholds.falling);
      job_.levels = task.threshold->thresholds.columns;
    }
    // The maximum of codes that fall with the sum: flip, then pool. Of sums: pool, then flip.
    job_.flip_before = task.pool_first ? rising_.data() : falling_.data();
    job_.flip_after = task.pool_first ? falling_.data() : rising_.data();
    job_.thresholds = thresholds_.data();
    job_.offset = offset_.data();
    job_.zero = zero_.data();
  }

  Slot from_, to_, scratch_;
  int64_t multiply_adds_ = 0;
  int weight_planes_, source_planes_, few_;
  Packed many_, those_few_;
  std::vector<uint32_t> patches_, grid_;
  std::vector<Job::Pair> pairs_;
  std::vector<int32_t> thresholds_, offset_, zero_;
  std::vector<uint64_t> falling_, rising_;
  Job job_;
};

// The step for values that have no code of a byte.
class WordDotStep final : public Step {
 public:
  WordDotStep(const DotTask& task, const Kernels& kernels, Needs& needs)
      : from_(task.from), to_(task.to), run_(kernels.words),
        weights_(copied<int32_t>(task.dot->weights)), offset_(task.dot->bias),
        patches_(patch_offsets(task.source, task.slide, {1, 1})) {
    for (uint32_t& patch : patches_) patch /= uint32_t(sizeof(int32_t));
    offset_.resize(size_t(task.dot->weights.rows));
    job_.patches = patches_.data();
    job_.positions = int(patches_.size());
    job_.rows = task.slide.kernel[0];
    job_.run = task.slide.kernel[1] * task.source.shape.channels;
    job_.row_stride = size_t(task.source.shape.width) * size_t(task.source.shape.channels);
    job_.weights = weights_.data();
    job_.offset = offset_.data();
    job_.channels = task.dot->weights.rows;
    needs.weights += weights_.size() * sizeof(int32_t);
  }

  void run(const Frame& frame) const override {
    WordJob job = job_;
    for (int image = 0; image < frame.images; ++image) {
      job.source = frame.as<int32_t>(from_, image);
      job.out = frame.as<int32_t>(to_, image);
      run_(job);
    }
  }
  Cost cost() const override {
    return {int64_t(patches_.size()) * int64_t(weights_.size()),
            weights_.size() * sizeof weights_[0], ""};
  }

 private:
  Slot from_, to_;
  void (*run_)(const WordJob& job);
  std::vector<int32_t> weights_, offset_;
  std::vector<uint32_t> patches_;
  WordJob job_;
};

// The step for sums of codes that exceed 32 bits although the accumulators do not.
class WideDotStep final : public Step {
 public:
  explicit WideDotStep(const DotTask& task)
      : task_(task), weights_{task.dot->weights.rows, task.dot->weights.columns,
                              copied<int16_t>(task.dot->weights)},
        encoded_(encode_dot(*task.dot, task.lattice, 0)),
        patches_(patch_offsets(task.source, task.slide, {1, 1})) {}

  void run(const Frame& frame) const override {
    for (int image = 0; image < frame.images; ++image) {
      auto* out = frame.as<int32_t>(task_.to, image);
      for (uint32_t patch : patches_)
        for (int row = 0; row < weights_.rows; ++row)
          *out++ = int32_t(encoded_.offset[size_t(row)] +
                           encoded_.step * sum(frame.at(task_.from, image) + patch, row));
    }
  }
  Cost cost() const override {
    return {int64_t(patches_.size()) * int64_t(weights_.values.size()),
            weights_.values.size() * sizeof weights_.values[0], ""};
  }

 private:
  int64_t sum(const uint8_t* patch, int row) const {
    const int run = task_.slide.kernel[1] * task_.source.shape.channels;
    const int16_t* weights = weights_.row(row);
    int64_t total = 0;
    for (int r = 0; r < task_.slide.kernel[0]; ++r, weights += run) {
      const uint8_t* codes =
          patch + size_t(r) * size_t(task_.source.shape.width) * task_.source.pixel_bytes();
      for (int i = 0; i < run; ++i) total += weights[i] * codes[i];
    }
    return total;
  }

  DotTask task_;
  Matrix<int16_t> weights_;
  EncodedDot encoded_;
  std::vector<uint32_t> patches_;
};

}  // namespace

bool fits_kernels(const Op& dot, const Lattice& lattice, int weight_planes) {
  const EncodedDot encoded = encode_dot(dot, lattice, weight_planes);
  const auto lowest = *std::min_element(encoded.low.begin(), encoded.low.end());
  const auto highest = *std::max_element(encoded.high.begin(), encoded.high.end());
  using Limits = std::numeric_limits<int32_t>;
  return lowest >= Limits::min() && highest < Limits::max();
}

StepPointer dot_step(const DotTask& task, const Kernels& kernels, Needs& needs) {
  return std::make_unique<DotStep>(task, kernels, needs);
}

StepPointer word_dot_step(const DotTask& task, const Kernels& kernels, Needs& needs) {
  return std::make_unique<WordDotStep>(task, kernels, needs);
}

StepPointer wide_dot_step(const DotTask& task) { return std::make_unique<WideDotStep>(task); }

}  // namespace bnn
