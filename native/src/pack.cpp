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

}  // namespace

std::vector<uint8_t> pack(const BitWeights& w, const BitEngine& engine) {
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
