// SPDX-License-Identifier: BSD-3-Clause
// The work of a kernel: one fused layer over a few images.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bnn {

constexpr int max_pool_positions = 16;  // of the largest pool that is fused into a dot
constexpr int panel_channels = 64;      // output channels that are computed together

// How a kernel's results are stored.
enum class Form {
  bits,   // one or two planes of packed codes, 64 channels a word: [pixel][panel][plane]
  bytes,  // uint8 codes [pixel][channel]
  words,  // int32 accumulators [pixel][channel]
};

// A window (or none), a dot, thresholds (or none) and a pool side by side (or none).
//
// A *patch* is what one output position reads: `rows` kernel rows, each `groups` groups long
// and `row_stride` bytes from the next. A *group* is what a kernel takes at once: a 64-bit word
// of packed codes, or four bytes of codes. Rows may be read up to the end of their last group
// (3 bytes too far); the weights are zero there.
//
// The kernel makes raw sums r, one for each position and channel, and
//   with thresholds:    code = #{level: thresholds[level][channel] <= r}
//   without (words):    accumulator = offset[channel] + step * ((r - zero[channel]) / divisor)
// `flip_before` and `flip_after` mark channels whose code becomes levels - code before and after
// pooling: that is what a falling activation is (see encode.cpp).
struct Job {
  // patches
  const uint8_t* source = nullptr;    // of the first image
  size_t image_stride = 0;            // bytes between images
  const uint32_t* patches = nullptr;  // byte offset of each position's patch in its image
  int positions = 0;                  // per image; those of one pool window follow each other
  int images = 0;
  int rows = 0;
  size_t row_stride = 0;
  int groups = 0;

  // weights as the kernel's own pack function made them
  const uint8_t* weights = nullptr;
  int panels = 0;
  int channels = 0;

  // thresholds, [panel][level][64], ascending along levels; channels after `channels` are never
  // reached
  const int32_t* thresholds = nullptr;
  int levels = 0;
  const uint64_t* flip_before = nullptr;  // [panel], one bit a channel
  const uint64_t* flip_after = nullptr;
  int pool = 1;  // positions per output

  // or accumulators; [channel], up to whole panels
  const int32_t* offset = nullptr;
  const int32_t* zero = nullptr;
  int step = 1, divisor = 1;

  // The positions again, in their order, for engines that take two neighbours of one image
  // together.
  struct Pair {
    uint32_t offset;  // of the first one's patch
    uint32_t size;    // 2, or 1 where the next position is not `pair_shift` bytes further
  };
  const Pair* pairs = nullptr;
  int pair_count = 0;
  uint32_t pair_shift = 0;

  // The positions as patches that are `pair_shift` bytes apart from one to the next, all over the
  // map: number of each position's patch among these, or null if they do not lie so.
  const uint32_t* grid = nullptr;
  int grid_count = 0;  // of those patches

  // working memory, for engines that need it
  uint8_t* scratch = nullptr;
  size_t scratch_bytes = 0;

  Form form = Form::bits;
  uint8_t* out = nullptr;       // of the first image
  size_t out_image_stride = 0;  // bytes
  size_t out_stride = 0;        // bytes between output positions
};

}  // namespace bnn
