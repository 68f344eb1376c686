// SPDX-License-Identifier: BSD-3-Clause
#include "pack.hpp"

#include <cstring>
#include <stdexcept>
#include <utility>

namespace bnn {
namespace {

constexpr size_t weight_slack = 2048;  // tiles may be read to their end

// Where the pieces of an engine's layout begin (engine.hpp): `piece` bytes for a channel, step and
// plane. Channels after the last one, and what nobody sets, are zeros.
class Packed {
 public:
  Packed(int channels, int steps, int planes, size_t piece, Strips strips, size_t slack)
      : bytes_(size_t((channels + panel_channels - 1) / panel_channels * panel_channels) *
                   size_t(steps) * size_t(planes) * piece +
               slack),
        steps_(size_t(steps)), plane_(size_t(strips.lanes) * piece),
        vector_(size_t(planes) * plane_), step_(size_t(strips.vectors) * vector_), piece_(piece),
        strips_(strips) {}

  // Of a channel: its piece of step 0 and plane 0.
  uint8_t* first_of(int channel) {
    const int strip = strips_.lanes * strips_.vectors;
    return bytes_.data() + size_t(channel / strip) * steps_ * step_ +
           size_t(channel % strip / strips_.lanes) * vector_ +
           size_t(channel % strips_.lanes) * piece_;
  }
  // Bytes from a piece to that of the next step, and of the next plane.
  size_t step() const { return step_; }
  size_t plane() const { return plane_; }
  Bytes take() { return std::move(bytes_); }

 private:
  Bytes bytes_;
  size_t steps_, plane_, vector_, step_, piece_;
  Strips strips_;
};

Bytes pack_words(const BitWeights& w, Strips strips) {
  const int steps = w.rows * w.groups;
  Packed packed(w.channels, steps, w.planes, sizeof(uint64_t), strips, 0);
  const uint64_t* from = w.words.data();
  for (int channel = 0; channel < w.channels; ++channel) {
    uint8_t* to = packed.first_of(channel);
    for (int step = 0; step < steps; ++step, to += packed.step())
      for (size_t plane = 0; plane < size_t(w.planes); ++plane, ++from)
        std::memcpy(to + plane * packed.plane(), from, sizeof *from);
  }
  return packed.take();
}

// Nibbles of four channels (one plane) or two channels (two planes), 64 output channels a look-up.
Bytes pack_nibbles(const BitWeights& w) {
  const int panels = (w.channels + panel_channels - 1) / panel_channels;
  const int step = w.planes == 2 ? 2 : 4;  // channels of a look-up
  const int words = w.rows * w.groups;
  Bytes packed;
  packed.reserve(size_t(panels) * size_t(words) * size_t(64 / step) * panel_channels);
  for (int panel = 0; panel < panels; ++panel)
    for (int word = 0; word < words; ++word)
      for (int bit = 0; bit < 64; bit += step)
        for (int lane = 0; lane < panel_channels; ++lane) {
          const int channel = panel * panel_channels + lane;
          const size_t at = (size_t(channel) * size_t(words) + size_t(word)) * size_t(w.planes);
          if (channel >= w.channels)
            packed.push_back(0);
          else if (w.planes == 1)
            packed.push_back(uint8_t(w.words[at] >> bit & 15));
          else
            packed.push_back(uint8_t((w.words[at] >> bit & 3) | (w.words[at + 1] >> bit & 3) << 2));
        }
  return packed;
}

// Sums of -1 and +1 as four bytes each, for four bits of two planes.
struct Spread {
  uint8_t bytes[256][4];

  explicit Spread(int planes) {
    for (int bits = 0; bits < 256; ++bits)
      for (int i = 0; i < 4; ++i) {
        const int first = (bits >> i & 1) != 0 ? -1 : 1,
                  second = (bits >> (i + 4) & 1) != 0 ? -1 : 1;
        bytes[bits][i] = uint8_t(planes == 2 ? first + second : first);
      }
  }
};

// Planes of bits to sums of -1 and +1. After the last channel of a pixel codes are 0, so any weight
// will do.
Bytes pack_spread(const BitWeights& w, Strips strips) {
  constexpr int pieces = 16;  // of four channels, in a word
  const int words = w.rows * w.groups;
  const Spread spread(w.planes);
  Packed packed(w.channels, words * pieces, 1, 4, strips, weight_slack);
  const uint64_t* from = w.words.data();
  for (int channel = 0; channel < w.channels; ++channel) {
    uint8_t* to = packed.first_of(channel);
    for (int word = 0; word < words; ++word, from += w.planes) {
      const uint64_t first = from[0], second = w.planes == 2 ? from[1] : 0;
      for (int i = 0; i < pieces; ++i, to += packed.step()) {
        const uint64_t bits = (first >> (4 * i) & 15) | (second >> (4 * i) & 15) << 4;
        std::memcpy(to, spread.bytes[bits], 4);
      }
    }
  }
  return packed.take();
}

// `Each` weights a group; rows end with a whole group, filled up with zeros.
template <class To, int Each, class From>
void pack_row(const From* weights, const PatchLayout& layout, uint8_t* to, size_t step) {
  const int run = layout.run * layout.channels;
  for (int row = 0; row < layout.rows; ++row, weights += run) {
    int at = 0;
    for (; at + Each <= run; at += Each, to += step) {
      To group[Each];
      for (int i = 0; i < Each; ++i) group[i] = To(weights[at + i]);
      std::memcpy(to, group, sizeof group);
    }
    if (at == run) continue;
    To group[Each] = {};
    for (int i = 0; at + i < run; ++i) group[i] = To(weights[at + i]);
    std::memcpy(to, group, sizeof group);
    to += step;
  }
}

template <class To, int Each>
Bytes pack_groups(const Weights& weights, const PatchLayout& layout, int groups, Strips strips) {
  Packed packed(weights.rows, layout.rows * groups, 1, Each * sizeof(To), strips, weight_slack);
  std::vector<To> room;
  for (int channel = 0; channel < weights.rows; ++channel) {
    uint8_t* to = packed.first_of(channel);
    if constexpr (sizeof(To) == 1)
      pack_row<To, Each>(weights.narrow_row(channel, room), layout, to, packed.step());
    else
      pack_row<To, Each>(weights.row(channel, room), layout, to, packed.step());
  }
  return packed.take();
}

}  // namespace

Bytes pack(const BitWeights& w, const BitEngine& engine) {
  switch (engine.layout) {
    case BitLayout::nibbles: return pack_nibbles(w);
    case BitLayout::bytes: return pack_spread(w, engine.strips);
    case BitLayout::words: return pack_words(w, engine.strips);
  }
  throw std::logic_error("no such layout");
}

int groups_of(const PatchLayout& layout, const ByteEngine& engine) {
  return (layout.run * layout.channels + engine.group - 1) / engine.group;
}

Bytes pack(const Weights& weights, const PatchLayout& layout, const ByteEngine& engine) {
  const int groups = groups_of(layout, engine);
  if (engine.weight_bytes == 2)
    return pack_groups<int16_t, 4>(weights, layout, groups, engine.strips);
  if (engine.group == 2) return pack_groups<int8_t, 2>(weights, layout, groups, engine.strips);
  return pack_groups<int8_t, 4>(weights, layout, groups, engine.strips);
}

bool takes(const ByteEngine& engine, const Range& range, int codes) {
  if (codes < engine.min_codes) return false;
  if (engine.weight_bytes == 1 && (range.low < -128 || range.high > 127)) return false;
  const int burst = engine.burst(range);
  return engine.one_burst ? int64_t(burst) * engine.group >= codes : burst > 0;
}

}  // namespace bnn
