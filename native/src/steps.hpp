// SPDX-License-Identifier: BSD-3-Clause
// The steps of a plan: functions on buffers, each for a block of images.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "bnn/program.hpp"
#include "engine.hpp"

namespace bnn {

// Number of a buffer in an arena; a buffer holds one map per image, or is working memory.
using Slot = int;

struct Buffer {
  size_t image_bytes = 0;
  size_t fixed_bytes = 0;  // for any number of images
  size_t offset = 0;       // of the first image in the arena
};

// A block of images on its way through the steps.
struct Frame {
  uint8_t* arena;
  const std::vector<Buffer>* buffers;
  int images;
  const uint8_t* bytes;     // input, pictures
  const int16_t* integers;  // or integers
  int32_t* scores;
  int64_t* decisions;

  uint8_t* at(Slot slot, int image = 0) const {
    const Buffer& buffer = (*buffers)[size_t(slot)];
    return arena + buffer.offset + size_t(image) * buffer.image_bytes;
  }
  template <class T>
  T* as(Slot slot, int image) const {
    return reinterpret_cast<T*>(at(slot, image));
  }
};

// What a step has to do, for `bnn bench --layers`.
struct Cost {
  int64_t multiply_adds = 0;  // of an image
  size_t weight_bytes = 0;
  const char* instructions = "";  // see limits.hpp; empty if it multiplies nothing
};

class Step {
 public:
  virtual ~Step() = default;
  virtual void run(const Frame& frame) const = 0;
  virtual Cost cost() const { return {}; }
};
using StepPointer = std::unique_ptr<Step>;

// How a map is stored. job.hpp explains codes and planes.
struct Map {
  Shape shape;
  Form form = Form::bytes;
  int planes = 1;  // of form bits

  int words() const { return (shape.channels + 63) / 64 * planes; }  // of a pixel of form bits
  size_t pixel_bytes() const {
    if (form == Form::bits) return size_t(words()) * 8;
    return size_t(shape.channels) * (form == Form::bytes ? 1 : 4);
  }
  size_t bytes() const { return shape.pixels() * pixel_bytes(); }
};

// The caller's input to codes, or to its integers (words).
StepPointer load_step(const Input& input, Slot to);
StepPointer load_words_step(const Input& input, Slot to);
// From one form to another; the channels stay.
StepPointer convert_step(const Map& from, Slot source, const Map& to, Slot target, Lattice lattice);
// Puts a border of code `fill` (form words: of this value) around a map, every code c becoming
// recode[c] (form bytes only).
StepPointer border_step(const Map& from, Slot source, const Slide& slide, int fill,
                        std::vector<uint8_t> recode, Slot target);
// Pixels of form bits side by side in one: each of `to` has the channels of `run` neighbours,
// without the unused bits between them.
StepPointer widen_step(const Map& from, Slot source, int run, const Map& to, Slot target);
// Patches of a map of form bytes or words that has its border already: `slide` has no padding.
StepPointer patches_step(const Map& from, Slot source, const Slide& slide, Slot target);
StepPointer pool_step(const Map& from, Slot source, const Slide& slide, Slot target);
// Accumulators or values (words) to codes (bytes), or to values (words).
StepPointer threshold_step(const Op& op, const Shape& shape, Slot source, const Map& to,
                           Slot target);
// The channels of two maps of one form side by side. Codes of form bytes are translated by a table
// each.
StepPointer concat_step(const Map& one, Slot first, const Map& two, Slot second, Slot target,
                        std::array<std::vector<uint8_t>, 2> recode);
StepPointer rescale_step(const Scaling& scaling, const Shape& shape, Slot source, Slot target);
StepPointer add_step(size_t values, Slot one, Slot two, Slot target);
StepPointer multiply_step(size_t values, Slot one, Slot two, Slot target);
StepPointer arg_max_step(Rule rule, int channels, Slot source, Slot target);
StepPointer scores_step(int classes, Slot source);
StepPointer decisions_step(Slot source);

}  // namespace bnn
