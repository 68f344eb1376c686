// SPDX-License-Identifier: BSD-3-Clause
#include "pack.hpp"

#include <cstring>

namespace bnn {
namespace {

constexpr size_t weight_slack = 2048;  // tiles may be read to their end

// `each` weights of a plane, a vector of channels at a time; channels after the last one get zeros.
template <class To, class From>
Bytes pack_strips(const std::vector<From>& values, int channels, int steps, int planes, int each,
                  Strips strips) {
  const int panels = (channels + panel_channels - 1) / panel_channels;
  const int strip = strips.lanes * strips.vectors;
  Bytes packed(size_t(panels) * panel_channels * size_t(steps) * size_t(planes * each) *
               sizeof(To));
  uint8_t* to = packed.data();
  for (int first = 0; first < panels * panel_channels; first += strip)
    for (int step = 0; step < steps; ++step)
      for (int vector = 0; vector < strips.vectors; ++vector)
        for (int plane = 0; plane < planes; ++plane)
          for (int lane = 0; lane < strips.lanes; ++lane) {
            const int channel = first + vector * strips.lanes + lane;
            const size_t at = ((size_t(channel) * size_t(steps) + size_t(step)) * size_t(planes) +
                               size_t(plane)) *
                              size_t(each);
            if (channel < channels)
              for (int i = 0; i < each; ++i) {
                const To value = To(values[at + size_t(i)]);
                std::memcpy(to + size_t(i) * sizeof(To), &value, sizeof value);
              }
            to += size_t(each) * sizeof(To);  // it is zero already
          }
  return packed;
}

// Nibbles of four channels (one plane) or two channels (two planes), 64 output channels a look-up.
Bytes pack_nibbles(const BitWeights& w) {
  const int panels = (w.channels + panel_channels - 1) / panel_channels;
  const int step = w.planes == 2 ? 2 : 4;  // channels of a look-up
  const int words = w.rows * w.groups;
  Bytes packed;
  packed.reserve(size_t(panels) * size_t(words) * size_t(64 / step) *
                 panel_channels);
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

// Planes of bits to sums of -1 and +1. After the last channel codes are 0, so any weight will do.
ByteWeights spread(const BitWeights& w) {
  ByteWeights bytes{w.channels, w.rows, w.groups * 16, 4, {}};
  const size_t words = size_t(w.channels) * size_t(w.rows) * size_t(w.groups);
  const size_t planes = size_t(w.planes);
  bytes.values.assign(words * 64, int16_t(w.planes));
  int16_t* to = bytes.values.data();
  for (size_t word = 0; word < words; ++word, to += 64)
    for (size_t plane = 0; plane < planes; ++plane) {
      const uint64_t negative = w.words[word * planes + plane];
      for (int bit = 0; bit < 64; ++bit) to[bit] -= int16_t((negative >> bit & 1) * 2);
    }
  return bytes;
}

Bytes pack_bytes(const ByteWeights& w, int weight_bytes, Strips strips) {
  const int steps = w.rows * w.groups;
  auto packed = weight_bytes == 1
                    ? pack_strips<int8_t>(w.values, w.channels, steps, 1, w.each, strips)
                    : pack_strips<int16_t>(w.values, w.channels, steps, 1, w.each, strips);
  packed.resize(packed.size() + weight_slack);
  return packed;
}

}  // namespace

Bytes pack(const BitWeights& w, const BitEngine& engine) {
  if (engine.layout == BitLayout::nibbles) return pack_nibbles(w);
  if (engine.layout == BitLayout::bytes) return pack_bytes(spread(w), 1, engine.strips);
  return pack_strips<uint64_t>(w.words, w.channels, w.rows * w.groups, w.planes, 1, engine.strips);
}

Bytes pack(const ByteWeights& w, const ByteEngine& engine) {
  return pack_bytes(w, engine.weight_bytes, engine.strips);
}

bool takes(const ByteEngine& engine, const Range& range, int codes) {
  if (codes < engine.min_codes) return false;
  if (engine.weight_bytes == 1 && (range.low < -128 || range.high > 127)) return false;
  const int burst = engine.burst(range);
  return engine.one_burst ? int64_t(burst) * engine.group >= codes : burst > 0;
}

}  // namespace bnn
