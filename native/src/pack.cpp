// SPDX-License-Identifier: BSD-3-Clause
// Weights into the layout that an engine streams through.
#include <cstring>

#include "engine.hpp"

namespace bnn {
namespace {

// `each` weights of a plane, a vector of channels at a time; channels beyond the last one get zeros.
template <class To, class From>
std::vector<uint8_t> pack_strips(const std::vector<From>& values, int channels, int steps, int planes, int each,
                                 Strips strips) {
  const int panels = (channels + panel_channels - 1) / panel_channels;
  const int strip = strips.lanes * strips.vectors;
  std::vector<uint8_t> packed(size_t(panels) * panel_channels * size_t(steps) * size_t(planes * each) * sizeof(To));
  uint8_t* to = packed.data();
  for (int first = 0; first < panels * panel_channels; first += strip)
    for (int step = 0; step < steps; ++step)
      for (int vector = 0; vector < strips.vectors; ++vector)
        for (int plane = 0; plane < planes; ++plane)
          for (int lane = 0; lane < strips.lanes; ++lane) {
            const int channel = first + vector * strips.lanes + lane;
            const size_t at = ((size_t(channel) * size_t(steps) + size_t(step)) * size_t(planes) + size_t(plane)) *
                              size_t(each);
            for (int i = 0; i < each; ++i, to += sizeof(To)) {
              const To value = channel < channels ? To(values[at + size_t(i)]) : To(0);
              std::memcpy(to, &value, sizeof value);
            }
          }
  return packed;
}

// Nibbles of four channels (one plane) or two channels (two planes), 64 output channels a look-up.
std::vector<uint8_t> pack_nibbles(const BitWeights& w) {
  const int panels = (w.channels + panel_channels - 1) / panel_channels;
  const int step = w.planes == 2 ? 2 : 4;  // channels of a look-up
  const int words = w.rows * w.groups;     // source planes have the same weights: the first one's will do
  std::vector<uint8_t> packed;
  packed.reserve(size_t(panels) * size_t(words / w.source_planes) * size_t(64 / step) * panel_channels);
  for (int panel = 0; panel < panels; ++panel)
    for (int word = 0; word < words; word += w.source_planes)
      for (int bit = 0; bit < 64; bit += step)
        for (int lane = 0; lane < panel_channels; ++lane) {
          const int channel = panel * panel_channels + lane;
          const size_t at = (size_t(channel) * size_t(words) + size_t(word)) * size_t(w.planes);
          if (channel >= w.channels) packed.push_back(0);
          else if (w.planes == 1) packed.push_back(uint8_t(w.words[at] >> bit & 15));
          else packed.push_back(uint8_t((w.words[at] >> bit & 3) | (w.words[at + 1] >> bit & 3) << 2));
        }
  return packed;
}

}  // namespace

std::vector<uint8_t> pack(const BitWeights& w, const BitEngine& engine) {
  if (engine.nibbles) return pack_nibbles(w);
  return pack_strips<uint64_t>(w.words, w.channels, w.rows * w.groups, w.planes, 1, engine.strips);
}

std::vector<uint8_t> pack(const ByteWeights& w, const ByteEngine& engine) {
  const int steps = w.rows * w.groups;
  if (engine.weight_bytes == 1) return pack_strips<int8_t>(w.values, w.channels, steps, 1, 4, engine.strips);
  return pack_strips<int16_t>(w.values, w.channels, steps, 1, 4, engine.strips);
}

bool takes(const ByteEngine& engine, const Range& range) {
  if (engine.weight_bytes == 1 && (range.low < -128 || range.high > 127)) return false;
  return engine.burst(range) > 0;
}

}  // namespace bnn
