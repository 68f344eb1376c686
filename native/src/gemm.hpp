// SPDX-License-Identifier: BSD-3-Clause
// The algorithm of every kernel but the look-up tables': patches times weights, then thresholds,
// pooling and packing while the sums are still in registers.
//
// It is written once over a small vector vocabulary V, one struct for each instruction set and
// kind of group:
//   Group             what is broadcast: uint64_t (packed codes), uint32_t or uint16_t (byte
//   codes);
//                     with codes(const uint8_t*) the vocabulary loads them itself
//   Weights           a vector of weights, `bytes` long: one group for each of `lanes` channels
//   Part, Acc         running sums; a Part takes `burst` groups, then flush adds it to the Acc
//   P, Q              tile: positions x vectors of channels; (P, Q) Parts and Accs in registers.
//                     Positions that do not fill a tile are done one by one.
//   zero_part(), zero_acc(), broadcast(Group), load(const uint8_t*),
//   mac(Part&, A, W), flush(Acc&, Part&), store(Acc, int32_t*),
//   Least, reach(Acc, const Least* thresholds) -> bits
// Dots over two planes of codes a, b (a ternary vocabulary) count both planes at once:
//   popc(a ^ w) + popc(b ^ w) = 2 popc((a ^ w) & (b ^ w)) + popc(a ^ b).
// Their groups are pairs of words that share their weights, and the last term, which no weight
// changes, is counted once for each patch. Instead of zero_part() and zero_acc() they have
//   weight_planes, start(Part&, Acc&, int32_t)  a sum that begins at so much
// Bursts that depend on the precision (Job-independent sums of bytes in 16 bits) come as an
// argument of gemm().
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "engine.hpp"

#define BNN_INLINE inline __attribute__((always_inline))
#define BNN_LAMBDA_INLINE __attribute__((always_inline))

namespace bnn {
// An unnamed namespace in a header, on purpose: every kernel source must keep its own copy. A
// linker would choose one of them for all, and that one might need AVX-512.
namespace {

constexpr int no_limit = std::numeric_limits<int>::max();

// Base of the vocabularies of multiply-adds whose parts never overflow: they flush once, at
// the end.
struct Unlimited {
  static constexpr bool one_burst = false;
  static constexpr int burst(const Range&) { return no_limit; }
  template <class Acc>
  static BNN_INLINE void flush(Acc& acc, Acc& part) {
    acc = part;
  }
};

// Loops whose index is a constant early enough for compilers to keep arrays of vectors in
// registers.
template <class F, size_t... I>
BNN_INLINE void unrolled(F&& body, std::index_sequence<I...>) {
  (body(std::integral_constant<int, int(I)>{}), ...);
}
template <int N, class F>
BNN_INLINE void unroll(F&& body) {
  unrolled(body, std::make_index_sequence<size_t(N)>{});
}

// Walks over the positions of all images: where each one's patch begins.
class Patches {
 public:
  // Offsets are for a map whose elements are `scale` times as large.
  explicit Patches(const Job& job, size_t scale = 1)
      : job_(job), image_(job.source), scale_(scale) {}
  // Patch of the next position; after the last one, the last one again.
  const uint8_t* next() {
    if (position_ == job_.positions) {
      if (left_ > 1) {
        --left_;
        image_ += job_.image_stride;
        position_ = 0;
      } else {
        return image_ + job_.patches[job_.positions - 1] * scale_;
      }
    }
    return image_ + job_.patches[position_++] * scale_;
  }

 private:
  const Job& job_;
  const uint8_t* image_;
  size_t scale_;
  int position_ = 0;
  int left_ = job_.images;
};

// Walks over the outputs of all images.
class Outputs {
 public:
  // `first` counts the outputs of all images.
  explicit Outputs(const Job& job, int64_t first) : job_(job), outputs_(job.positions / job.pool) {
    const auto skipped = int(first % outputs_);
    image_ = job.out + size_t(first / outputs_) * job.out_image_stride;
    next_ = image_ + size_t(skipped) * job.out_stride;
    left_ = outputs_ - skipped;
  }
  uint8_t* next() {
    uint8_t* here = next_;
    next_ += job_.out_stride;
    if (--left_ == 0) {
      image_ += job_.out_image_stride;
      next_ = image_;
      left_ = outputs_;
    }
    return here;
  }

 private:
  const Job& job_;
  int outputs_, left_;
  uint8_t* image_;
  uint8_t* next_;
};

// Pools and stores packed codes of one panel: the planes of a position at a time.
template <int Planes>
class BitWriter {
 public:
  BitWriter(const Job& job, int panel, int64_t first_output = 0)
      : job_(job), outputs_(job, first_output), panel_(panel), before_(job.flip_before[panel]),
        after_(job.flip_after[panel]) {}

  BNN_INLINE void put(const uint64_t* planes) {
    uint64_t code[Planes];
    flip(planes, before_, code);
    for (int plane = 0; plane < Planes; ++plane) pooled_[plane] |= code[plane];
    if (++seen_ < job_.pool) return;
    flip(pooled_, after_, code);
    std::memcpy(outputs_.next() + size_t(panel_) * sizeof code, code, sizeof code);
    for (int plane = 0; plane < Planes; ++plane) pooled_[plane] = 0;
    seen_ = 0;
  }

 private:
  // Planes are a thermometer: plane k says whether the code is greater than k.
  static BNN_INLINE void flip(const uint64_t* from, uint64_t mask, uint64_t* to) {
    for (int plane = 0; plane < Planes; ++plane)
      to[plane] = (from[plane] & ~mask) | (~from[Planes - 1 - plane] & mask);
  }
  const Job& job_;
  Outputs outputs_;
  int panel_;
  uint64_t before_, after_;
  uint64_t pooled_[Planes] = {};
  int seen_ = 0;
};

// Thresholds, pools and stores byte codes of one panel: the sums of a position at a time.
class ByteWriter {
 public:
  ByteWriter(const Job& job, int panel, int64_t first_output = 0)
      : job_(job), outputs_(job, first_output), first_(panel * panel_channels),
        count_(std::min(panel_channels, job.channels - first_)),
        thresholds_(job.thresholds + size_t(panel) * job.levels * panel_channels) {
    for (int c = 0; c < panel_channels; ++c) {
      before_[c] = (job.flip_before[panel] >> c & 1) ? 0xff : 0;
      after_[c] = (job.flip_after[panel] >> c & 1) ? 0xff : 0;
    }
  }

  void put(const int32_t* sums) {
    uint8_t code[panel_channels] = {};
    for (int level = 0; level < job_.levels; ++level) {
      const int32_t* threshold = thresholds_ + level * panel_channels;
      for (int c = 0; c < panel_channels; ++c)
        code[c] = uint8_t(code[c] + (sums[c] >= threshold[c]));
    }
    flip(code, before_);
    for (int c = 0; c < panel_channels; ++c) pooled_[c] = std::max(pooled_[c], code[c]);
    if (++seen_ < job_.pool) return;
    flip(pooled_, after_);
    std::memcpy(outputs_.next() + first_, pooled_, size_t(count_));
    std::memset(pooled_, 0, sizeof pooled_);
    seen_ = 0;
  }

 private:
  void flip(uint8_t* code, const uint8_t* mask) const {
    const auto most = uint8_t(job_.levels + 1);
    for (int c = 0; c < panel_channels; ++c)
      code[c] = uint8_t((code[c] ^ mask[c]) + (mask[c] & most));
  }
  const Job& job_;
  Outputs outputs_;
  int first_, count_;
  const int32_t* thresholds_;
  uint8_t before_[panel_channels], after_[panel_channels];
  uint8_t pooled_[panel_channels] = {};
  int seen_ = 0;
};

// Stores accumulators of one panel: the sums of a position at a time.
class WordWriter {
 public:
  WordWriter(const Job& job, int panel, int64_t first_output = 0)
      : job_(job), outputs_(job, first_output), first_(panel * panel_channels),
        count_(std::min(panel_channels, job.channels - first_)) {}

  void put(const int32_t* sums) { job_.divisor == 1 ? put_all<1>(sums) : put_all<2>(sums); }

 private:
  // The divisor is 1, or 2 for two planes of weights; a division by a variable is slow.
  template <int Divisor>
  void put_all(const int32_t* sums) {
    uint8_t* out = outputs_.next() + size_t(first_) * sizeof(int32_t);
    const int32_t *zero = job_.zero + first_, *offset = job_.offset + first_;
    const auto step = uint32_t(job_.step);
    for (int c = 0; c < count_; ++c) {
      // Unsigned: step * dot alone may exceed 32 bits, the accumulator does not.
      const auto dot = uint32_t((int64_t(sums[c]) - zero[c]) / Divisor);
      const uint32_t sum = uint32_t(offset[c]) + step * dot;
      std::memcpy(out + size_t(c) * sizeof sum, &sum, sizeof sum);
    }
  }

  const Job& job_;
  Outputs outputs_;
  int first_, count_;
};

// Whether a vocabulary takes two planes of codes at once.
template <class V>
concept Ternary = requires { V::weight_planes; };

template <class V>
constexpr int planes_of() {
  return Ternary<V> ? 2 : 1;
}

// Groups of the vocabulary in a row of a patch.
template <class V>
int groups_of(const Job& job) {
  return job.groups / planes_of<V>();
}

// Bytes of one panel's weights.
template <class V>
size_t panel_bytes(const Job& job) {
  return size_t(job.rows) * size_t(groups_of<V>(job)) * (panel_channels / V::lanes) * V::bytes;
}

// Positions whose sums are made with one panel before the next one.
constexpr int chunk_positions = 1024;

// The patches of some positions: the same for all panels.
struct Chunk {
  int count = 0;
  const uint8_t* patch[chunk_positions];
  // Of two planes: in how many codes they differ. A raw sum is twice what is counted, and this for
  // each plane of weights.
  int32_t differ[chunk_positions];
};

// In how many codes the two planes of a patch differ.
BNN_INLINE int32_t count_differing(const Job& job, const uint8_t* patch) {
  uint64_t count = 0;
  for (int row = 0; row < job.rows; ++row, patch += job.row_stride)
    for (int group = 0; group < job.groups; group += 2) {
      uint64_t planes[2];
      std::memcpy(planes, patch + size_t(group) * sizeof *planes, sizeof planes);
      count += uint64_t(__builtin_popcountll(planes[0] ^ planes[1]));
    }
  return int32_t(count);
}

template <class V>
void fill(Chunk& chunk, const Job& job, Patches& patches, int count) {
  chunk.count = count;
  for (int i = 0; i < count; ++i) {
    chunk.patch[i] = patches.next();
    if constexpr (Ternary<V>) chunk.differ[i] = count_differing(job, chunk.patch[i]);
  }
}

// Calls body(chunk, panel, number of its first output) for some positions after the others, for
// each with all panels.
template <class V, class Body>
void each_chunk(const Job& job, Body&& body) {
  const int whole = chunk_positions / job.pool * job.pool;
  const int64_t total = int64_t(job.positions) * job.images;
  Patches patches(job);
  Chunk chunk;
  for (int64_t first = 0; first < total; first += whole) {
    fill<V>(chunk, job, patches, int(std::min<int64_t>(whole, total - first)));
    for (int panel = 0; panel < job.panels; ++panel) body(chunk, panel, first / job.pool);
  }
}

// What the count of a position begins with: the half of `differ` that is whole, for each plane of
// weights. What then is missing from a raw sum is twice the count, and rest().
template <class V>
BNN_INLINE int32_t start_of(const Chunk& chunk, int at) {
  if constexpr (Ternary<V>)
    return V::weight_planes == 2 ? chunk.differ[at] : chunk.differ[at] / 2;
  else
    return 0;
}
template <class V>
BNN_INLINE int32_t rest_of(const Chunk& chunk, int at) {
  if constexpr (Ternary<V>)
    return V::weight_planes == 2 ? 0 : chunk.differ[at] % 2;
  else
    return 0;
}

// The thresholds of a panel for what is counted, in the type that the vocabulary compares with.
template <class V, int Planes>
class PanelThresholds {
 public:
  using Least = typename V::Least;

  PanelThresholds(const Job& job, int panel) {
    const int32_t* all = job.thresholds + size_t(panel) * Planes * panel_channels;
    for (int i = 0; i < Planes * panel_channels; ++i)
      if constexpr (Ternary<V>) {  // halves, upwards; for a rest of 1, downwards
        least_[0][i] = Least((all[i] >> 1) + (all[i] & 1));
        least_[1][i] = Least(all[i] >> 1);
      } else {
        least_[0][i] = Least(all[i]);
      }
  }
  BNN_INLINE const Least* of(int32_t rest) const { return least_[Ternary<V> ? rest : 0]; }

 private:
  alignas(64) Least least_[planes_of<V>()][Planes * panel_channels];
};

// A group of codes for all lanes.
template <class V>
BNN_INLINE auto codes_at(const uint8_t* from) {
  if constexpr (requires { V::codes(from); }) {
    return V::codes(from);
  } else {
    typename V::Group bits;
    std::memcpy(&bits, from, sizeof bits);
    return V::broadcast(bits);
  }
}

// Weights of a panel; the last panel may have fewer channels than others.
struct PanelWeights {
  const uint8_t* first;
  int channels;
};
template <class V>
PanelWeights panel_weights(const Job& job, int panel) {
  return {job.weights + size_t(panel) * panel_bytes<V>(job),
          std::min(panel_channels, job.channels - panel * panel_channels)};
}

// Sums of P patches with the channels of a panel, handed out Q vectors at a time.
template <class V, int P, class Emit>
BNN_INLINE void tile(const Job& job, const PanelWeights& panel, const Chunk& chunk, int first,
                     int burst, Emit&& emit) {
  const int groups = groups_of<V>(job);
  const uint8_t* const* patch = chunk.patch + first;
  const uint8_t* weights = panel.first;
  for (int vector = 0; vector * V::lanes < panel.channels; vector += V::Q) {
    typename V::Acc acc[P][V::Q];
    typename V::Part part[P][V::Q];
    unroll<P>([&](auto p) BNN_LAMBDA_INLINE {
      unroll<V::Q>([&](auto q) BNN_LAMBDA_INLINE {
        if constexpr (Ternary<V>) {
          V::start(part[p][q], acc[p][q], start_of<V>(chunk, first + p));
        } else {
          acc[p][q] = V::zero_acc();
          part[p][q] = V::zero_part();
        }
      });
    });
    const auto flush = [&]() BNN_LAMBDA_INLINE {
      unroll<P>([&](auto p) BNN_LAMBDA_INLINE {
        unroll<V::Q>([&](auto q) BNN_LAMBDA_INLINE { V::flush(acc[p][q], part[p][q]); });
      });
    };
    int room = burst;
    for (int row = 0; row < job.rows; ++row) {
      size_t at = size_t(row) * job.row_stride;
      for (int left = groups; left > 0;) {
        const int now = std::min(left, room);
        for (int group = 0; group < now; ++group) {
          typename V::Weights w[V::Q];
          unroll<V::Q>([&](auto q) BNN_LAMBDA_INLINE { w[q] = V::load(weights + q * V::bytes); });
          unroll<P>([&](auto p) BNN_LAMBDA_INLINE {
            const auto a = codes_at<V>(patch[p] + at);
            unroll<V::Q>([&](auto q) BNN_LAMBDA_INLINE { V::mac(part[p][q], a, w[q]); });
          });
          at += sizeof(typename V::Group);
          weights += size_t(V::Q) * V::bytes;
        }
        left -= now;
        room -= now;
        if (room == 0) {
          flush();
          room = burst;
        }
      }
    }
    flush();
    unroll<P>([&](auto p) BNN_LAMBDA_INLINE {
      unroll<V::Q>([&](auto q) BNN_LAMBDA_INLINE { emit(p, vector + q, acc[p][q]); });
    });
  }
}

// Sets the bits of a vector's lanes, which are 0. Whole bytes need no shift and no register on
// their way.
template <int Lanes>
BNN_INLINE void put_lanes(uint64_t& bits, int vector, uint32_t lanes) {
  constexpr bool whole = std::endian::native == std::endian::little;
  if constexpr (whole && Lanes == 8) {
    const auto narrow = uint8_t(lanes);
    std::memcpy(reinterpret_cast<uint8_t*>(&bits) + vector, &narrow, sizeof narrow);
  } else if constexpr (whole && Lanes == 16) {
    const auto narrow = uint16_t(lanes);
    std::memcpy(reinterpret_cast<uint8_t*>(&bits) + 2 * vector, &narrow, sizeof narrow);
  } else {
    bits |= uint64_t(lanes) << (vector * Lanes);
  }
}

// The planes of P positions of a panel, from the registers to the writer.
template <class V, int P, int Planes>
BNN_INLINE void put_bits(const Job& job, const PanelWeights& weights,
                         const PanelThresholds<V, Planes>& thresholds, int burst,
                         const Chunk& chunk, int first, BitWriter<Planes>& writer) {
  uint64_t planes[P][Planes] = {};
  const typename V::Least* least[P];
  for (int p = 0; p < P; ++p) least[p] = thresholds.of(rest_of<V>(chunk, first + p));
  tile<V, P>(job, weights, chunk, first, burst,
             [&](auto p, int vector, const auto& acc) BNN_LAMBDA_INLINE {
               unroll<Planes>([&](auto plane) BNN_LAMBDA_INLINE {
                 const auto* reach = least[p] + plane * panel_channels + vector * V::lanes;
                 put_lanes<V::lanes>(planes[p][plane], vector, V::reach(acc, reach));
               });
             });
  for (const auto& position : planes) writer.put(position);
}

template <class V, int Planes>
void gemm_bits(const Job& job, int burst) {
  each_chunk<V>(job, [&](const Chunk& chunk, int panel, int64_t first_output) {
    const PanelWeights weights = panel_weights<V>(job, panel);
    const PanelThresholds<V, Planes> thresholds(job, panel);
    BitWriter<Planes> writer(job, panel, first_output);
    int at = 0;
    for (; at + V::P <= chunk.count; at += V::P)
      put_bits<V, V::P>(job, weights, thresholds, burst, chunk, at, writer);
    for (; at < chunk.count; ++at)
      put_bits<V, 1>(job, weights, thresholds, burst, chunk, at, writer);
  });
}

// The same through memory (the first-level cache), not registers.
template <class V, int P, class Writer>
BNN_INLINE void put_sums(const Job& job, const PanelWeights& weights, int burst, const Chunk& chunk,
                         int first, Writer& writer) {
  alignas(64) int32_t sums[P][panel_channels];
  // Writers look at all channels, and store those that there are.
  if (weights.channels < panel_channels) std::memset(sums, 0, sizeof sums);
  tile<V, P>(job, weights, chunk, first, burst,
             [&](auto p, int vector, const auto& acc)
                 BNN_LAMBDA_INLINE { V::store(acc, &sums[p][vector * V::lanes]); });
  if constexpr (Ternary<V>)
    for (int p = 0; p < P; ++p)
      for (int32_t& sum : sums[p]) sum = 2 * sum + rest_of<V>(chunk, first + p);
  for (const auto& position : sums) writer.put(position);
}

template <class V, class Writer>
void gemm_sums(const Job& job, int burst) {
  each_chunk<V>(job, [&](const Chunk& chunk, int panel, int64_t first_output) {
    const PanelWeights weights = panel_weights<V>(job, panel);
    Writer writer(job, panel, first_output);
    int at = 0;
    for (; at + V::P <= chunk.count; at += V::P)
      put_sums<V, V::P>(job, weights, burst, chunk, at, writer);
    for (; at < chunk.count; ++at) put_sums<V, 1>(job, weights, burst, chunk, at, writer);
  });
}

// Runs `job`, flushing every `burst` groups.
template <class V>
void gemm(const Job& job, int burst) {
  if (job.form == Form::words) return gemm_sums<V, WordWriter>(job, burst);
  if (job.form == Form::bytes) return gemm_sums<V, ByteWriter>(job, burst);
  return job.levels == 1 ? gemm_bits<V, 1>(job, burst) : gemm_bits<V, 2>(job, burst);
}

// V<1> and V<2> are the vocabulary for one and two planes of weights, T<1> and T<2> the ternary
// one.
template <template <int> class V, template <int> class T>
constexpr BitEngine bit_engine(const char* instructions = "") {
  static_assert(V<1>::lanes == T<1>::lanes && V<1>::Q == T<1>::Q && V<1>::Q == T<2>::Q);
  return {{V<1>::lanes, V<1>::Q},
          BitLayout::words,
          no_limit,
          [](const Job& job, int source_planes, int weight_planes) {
            if (source_planes == 2)
              return weight_planes == 1 ? gemm<T<1>>(job, T<1>::burst)
                                        : gemm<T<2>>(job, T<2>::burst);
            weight_planes == 1 ? gemm<V<1>>(job, V<1>::burst) : gemm<V<2>>(job, V<2>::burst);
          },
          nullptr,
          instructions};
}

// V::Element is the type of a packed weight; V::burst(range) how many groups fit a Part, or 0.
template <class V>
constexpr ByteEngine byte_engine(const char* instructions = "") {
  return {{V::lanes, V::Q},
          sizeof(typename V::Element),
          sizeof(typename V::Group),
          0,
          V::one_burst,
          V::burst,
          gemm<V>,
          nullptr,
          instructions};
}

}  // namespace
}  // namespace bnn
