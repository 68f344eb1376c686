// SPDX-License-Identifier: BSD-3-Clause
// The interface of a kernel set to the plan: engines that run a Job, each with its weight layout.
//
// Plain data without inline functions: kernel sources are compiled for instructions that this CPU
// may lack, so nothing that a linker could share with other sources may come out of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "job.hpp"

namespace bnn {

// Weights of a dot in the order of its patches, before they are packed for an engine.
// One plane of packed bits for weights of -1 and +1, two for -1, 0, +1 (the value is half their
// sum). A bit is 1 where the weight is -1, so that what adds to the sum are ones of `code xor bit`.
// The words are those of one plane of codes: all planes meet the same weights.
struct BitWeights {
  int channels = 0, rows = 0, groups = 0, planes = 1;
  std::vector<uint64_t> words;  // [channel][row][group][plane]
};

// The range of the factors of a dot, which decides which sums of products fit.
struct Range {
  int code = 0;           // largest code
  int low = 0, high = 0;  // of the weights
};

// [panel][strip][row][group][vector][plane][lane]: a strip is `vectors` vectors of `lanes`
// channels.
struct Strips {
  int lanes, vectors;
};

enum class BitLayout {
  words,    // strips of 64-bit words
  nibbles,  // [panel][row][look-up][64 channels], a byte being a nibble of weights: four channels
            // of one plane, or two channels of two planes
  bytes,    // strips of four bytes: the sum of the planes' -1 and +1
};

struct BitEngine {
  Strips strips;
  BitLayout layout;
  int max_sum;  // largest raw sum that it can add up
  // `source_planes` planes of codes (1 or 2), `weight_planes` planes of weights.
  void (*run)(const Job& job, int source_planes, int weight_planes);
  size_t (*scratch)(const Job& job, int source_planes) = nullptr;  // bytes of working memory
  const char* instructions = "";  // whose limit it has: a name of limits.hpp, or none
};

struct ByteEngine {
  Strips strips;
  int weight_bytes;  // 1 or 2
  int group;         // codes that it takes at once: 2 or 4
  int min_codes;     // patches of fewer codes are not worth it
  bool one_burst;    // the whole patch must fit one burst
  // Groups that may be added up before a flush, or 0: the products are too large.
  int (*burst)(const Range& range);
  void (*run)(const Job& job, int burst);
  size_t (*scratch)(const Job& job) = nullptr;  // bytes of working memory
  const char* instructions = "";
};

// A dot over values of 32 bits: those that have no code of a byte. Sums are made modulo 2^32; the
// program has proved that they fit.
struct WordJob {
  const int32_t* source = nullptr;    // of an image
  const uint32_t* patches = nullptr;  // of each position: values before its patch
  int positions = 0;
  int rows = 0, run = 0;             // kernel rows of a patch, values of each
  size_t row_stride = 0;             // values
  const int32_t* weights = nullptr;  // [channel][row][value]
  const int32_t* offset = nullptr;   // [channel]
  int channels = 0;
  int32_t* out = nullptr;  // [position][channel]
};

// A dot whose rows read one channel each: row `channel * parts + part` reads `channel`. Sums are
// made modulo 2^16 (`is_short`) or 2^32; accumulator = offset + step * sum. With `levels`, the
// result is the code none + turn * #{level: least[level] <= accumulator}, else the accumulator.
struct DepthwiseJob {
  const uint8_t* bytes = nullptr;     // of an image: codes,
  const int32_t* words = nullptr;     // or values
  const uint32_t* patches = nullptr;  // of each position: values before its patch
  int positions = 0;
  int rows = 0, run = 0;  // kernel rows of a patch, pixels of each
  size_t row_stride = 0;  // values
  int channels = 0, parts = 1;
  bool is_short = false;
  const int16_t* short_weights = nullptr;  // [part][row][pixel][channel], if `is_short`
  const int32_t* weights = nullptr;        // else
  const int32_t* offset = nullptr;         // [part][channel], as all that follow
  int step = 1;
  int levels = 0;
  const int32_t *least = nullptr, *none = nullptr, *turn = nullptr;
  int32_t* sums = nullptr;   // [position][channel][part], or
  uint8_t* codes = nullptr;  // with levels
};

// A matrix times one vector, both of 16 bits; each product / 2^shift, rounded, before it is added.
struct VectorJob {
  const int16_t* source;   // [column]
  const int16_t* weights;  // [row][column]
  const int32_t* offset;   // [row]
  int rows, columns;
  int shift, rounding;  // bnn::Rounding as a number
  int32_t* out;         // [row]
};

// One choice of instructions for the whole plan.
struct Kernels {
  // The fastest first; the last one, before a null, takes everything.
  const BitEngine* bits[2] = {};
  const ByteEngine* bytes[3] = {};
  const BitEngine* ternary = nullptr;  // for two planes of weights
  // Used instead when there are fewer positions than `few` (of all images together); or none.
  int few = 0;
  const BitEngine* few_bits = nullptr;
  const ByteEngine* few_bytes = nullptr;
  void (*words)(const WordJob& job) = nullptr;
  void (*depthwise)(const DepthwiseJob& job) = nullptr;
  void (*vector)(const VectorJob& job) = nullptr;
};

// A kernel set that was compiled in.
struct KernelSet {
  const char* name;
  const char* uses;      // what it is built on, for people
  bool (*available)();   // on this CPU
  Kernels (*kernels)();  // only if it is: already this function has the set's instructions
};

// All of them, the best first; "portable" is the last.
const std::vector<KernelSet>& kernel_sets();
// The best available one, or the one called `name`; std::invalid_argument says what there is.
const KernelSet& choose_kernels(const std::string& name);

}  // namespace bnn
