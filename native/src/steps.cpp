// SPDX-License-Identifier: BSD-3-Clause
// The steps that are not a dot: short loops, one for each operation and form.
#include "steps.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

namespace bnn {
namespace {

// A step that is a function of the frame and one image's number.
template <class F>
class EachImage final : public Step {
 public:
  explicit EachImage(F body) : body_(std::move(body)) {}
  void run(const Frame& frame) const override {
    for (int image = 0; image < frame.images; ++image) body_(frame, image);
  }

 private:
  F body_;
};

template <class F>
StepPointer each_image(F body) {
  return std::make_unique<EachImage<F>>(std::move(body));
}

uint64_t low_bits(int count) { return count >= 64 ? ~uint64_t(0) : (uint64_t(1) << count) - 1; }

// The lowest bits of eight bytes, the first byte's lowest.
uint64_t gather_bits(uint64_t bytes) {
  constexpr uint64_t ones = 0x0101010101010101, places = 0x0102040810204080;
  return (bytes & ones) * places >> 56;
}

// Codes (0, 1 or 2) of up to 64 channels to planes of a thermometer.
void pack_word(const uint8_t* codes, int count, int planes, uint64_t* words) {
  uint64_t any = 0, two = 0;
  for (int c = 0; c < count; c += 8) {
    uint64_t bytes = 0;
    if (count - c >= 8)
      std::memcpy(&bytes, codes + c, 8);
    else
      std::memcpy(&bytes, codes + c, size_t(count - c));
    if constexpr (std::endian::native == std::endian::big) bytes = __builtin_bswap64(bytes);
    any |= gather_bits(bytes | bytes >> 1) << c;
    two |= gather_bits(bytes >> 1) << c;
  }
  words[0] = any;
  if (planes == 2) words[1] = two;
}

// Eight bits as bytes of 0 and 1, the lowest bit first.
uint64_t spread_bits(uint64_t bits) {
  constexpr uint64_t ones = 0x0101010101010101, places = 0x8040201008040201;
  return (((bits & 255) * ones & places) + 0x7f * ones) >> 7 & ones;
}

void unpack_word(const uint64_t* words, int planes, int count, uint8_t* codes) {
  for (int c = 0; c < count; c += 8) {
    uint64_t bytes = spread_bits(words[0] >> c);
    if (planes == 2) bytes += spread_bits(words[1] >> c);
    if constexpr (std::endian::native == std::endian::big) bytes = __builtin_bswap64(bytes);
    if (count - c >= 8)
      std::memcpy(codes + c, &bytes, 8);
    else
      std::memcpy(codes + c, &bytes, size_t(count - c));
  }
}

template <class F>
void each_word(const Map& bits, F&& body) {  // body(first value of the bytes form, word, channels)
  const int channels = bits.shape.channels;
  size_t word = 0;
  for (size_t pixel = 0; pixel < bits.shape.pixels(); ++pixel)
    for (int first = 0; first < channels; first += 64, word += size_t(bits.planes))
      body(pixel * size_t(channels) + size_t(first), word, std::min(64, channels - first));
}

Shape slid(const Shape& shape, const Slide& slide) {
  const auto& [top, left, bottom, right] = slide.padding;
  return {(shape.height + top + bottom - slide.kernel[0]) / slide.stride[0] + 1,
          (shape.width + left + right - slide.kernel[1]) / slide.stride[1] + 1, shape.channels};
}

// The larger one of two pixels.
template <class T>
void larger(T* best, const T* other, size_t count) {
  for (size_t i = 0; i < count; ++i) best[i] = std::max(best[i], other[i]);
}
template <>
void larger(uint64_t* best, const uint64_t* other, size_t count) {
  for (size_t i = 0; i < count; ++i) best[i] |= other[i];  // of thermometers
}

template <class T>
StepPointer pool_of(const Map& from, Slot source, const Slide& slide, Slot target) {
  const size_t each = from.pixel_bytes() / sizeof(T);
  return each_image([=](const Frame& frame, int image) {
    const T* in = frame.as<T>(source, image);
    T* out = frame.as<T>(target, image);
    const Shape map = from.shape, pooled = slid(map, slide);
    for (int y = 0; y < pooled.height; ++y)
      for (int x = 0; x < pooled.width; ++x, out += each) {
        const int row = y * slide.stride[0] - slide.padding[0],
                  column = x * slide.stride[1] - slide.padding[1];
        bool first = true;
        for (int r = std::max(row, 0); r < std::min(row + slide.kernel[0], map.height); ++r)
          for (int c = std::max(column, 0); c < std::min(column + slide.kernel[1], map.width);
               ++c) {
            const T* pixel = in + (size_t(r) * size_t(map.width) + size_t(c)) * each;
            if (first)
              std::copy(pixel, pixel + each, out);
            else
              larger(out, pixel, each);
            first = false;
          }
      }
  });
}

// Where the table is one step from code 0 to code 1: the first byte of code 1. Else 0.
int threshold_of(const Input& input) {
  const auto low = int16_t(input.lattice.base),
             high = int16_t(input.lattice.base + input.lattice.step);
  const auto first = std::find(input.table.begin(), input.table.end(), high);
  const bool step =
      std::all_of(input.table.begin(), first, [=](int16_t value) { return value == low; }) &&
      std::all_of(first, input.table.end(), [=](int16_t value) { return value == high; });
  return step && first != input.table.end() ? int(first - input.table.begin()) : 0;
}

int class_of(Rule rule, const int32_t* values, int count) {
  if (rule == Rule::highest_positive) {
    for (int i = count - 1; i > 0; --i)
      if (values[i] > 0) return i;
    return 0;
  }
  const int32_t* most = std::max_element(values, values + count);
  return rule == Rule::first_positive && *most <= 0 ? 0 : int(most - values);
}

}  // namespace

StepPointer load_step(const Input& input, Slot to) {
  const size_t values = input.shape.values();
  const Lattice lattice = input.lattice;
  // Vectorised, unlike a division.
  if (input.table.empty() && std::has_single_bit(unsigned(lattice.step)))
    return each_image(
        [=, shift = std::countr_zero(unsigned(lattice.step))](const Frame& frame, int image) {
          const int16_t* from = frame.integers + size_t(image) * values;
          uint8_t* codes = frame.at(to, image);
          for (size_t i = 0; i < values; ++i) codes[i] = uint8_t((from[i] - lattice.base) >> shift);
        });
  if (input.table.empty())
    return each_image([=](const Frame& frame, int image) {
      const int16_t* from = frame.integers + size_t(image) * values;
      uint8_t* codes = frame.at(to, image);
      for (size_t i = 0; i < values; ++i)
        codes[i] = uint8_t((from[i] - lattice.base) / lattice.step);
    });
  const int threshold = threshold_of(input);
  if (threshold > 0)
    return each_image([=](const Frame& frame, int image) {
      const uint8_t* from = frame.bytes + size_t(image) * values;
      uint8_t* codes = frame.at(to, image);
      for (size_t i = 0; i < values; ++i)
        codes[i] = from[i] >= threshold;  // vectorised, unlike the table
    });
  std::vector<uint8_t> table;
  for (int value : input.table) table.push_back(uint8_t((value - lattice.base) / lattice.step));
  return each_image([=](const Frame& frame, int image) {
    const uint8_t* from = frame.bytes + size_t(image) * values;
    uint8_t* codes = frame.at(to, image);
    for (size_t i = 0; i < values; ++i) codes[i] = table[from[i]];
  });
}

StepPointer load_words_step(const Input& input, Slot to) {
  const size_t values = input.shape.values();
  if (input.table.empty())
    return each_image([=](const Frame& frame, int image) {
      const int16_t* from = frame.integers + size_t(image) * values;
      std::copy(from, from + values, frame.as<int32_t>(to, image));
    });
  return each_image([=, table = input.table](const Frame& frame, int image) {
    const uint8_t* from = frame.bytes + size_t(image) * values;
    auto* words = frame.as<int32_t>(to, image);
    for (size_t i = 0; i < values; ++i) words[i] = table[from[i]];
  });
}

StepPointer convert_step(const Map& from, Slot source, const Map& to, Slot target,
                         Lattice lattice) {
  const size_t values = from.shape.values();
  if (from.form == Form::bytes && to.form == Form::bits)
    return each_image([=](const Frame& frame, int image) {
      const uint8_t* codes = frame.at(source, image);
      auto* words = frame.as<uint64_t>(target, image);
      each_word(to, [&](size_t first, size_t word, int count) {
        pack_word(codes + first, count, to.planes, words + word);
      });
    });
  if (from.form == Form::bits && to.form == Form::bytes)
    return each_image([=](const Frame& frame, int image) {
      uint8_t* codes = frame.at(target, image);
      const auto* words = frame.as<uint64_t>(source, image);
      each_word(from, [&](size_t first, size_t word, int count) {
        unpack_word(words + word, from.planes, count, codes + first);
      });
    });
  if (from.form == Form::bytes && to.form == Form::words)
    return each_image([=](const Frame& frame, int image) {
      const uint8_t* codes = frame.at(source, image);
      auto* words = frame.as<int32_t>(target, image);
      for (size_t i = 0; i < values; ++i) words[i] = lattice.base + lattice.step * codes[i];
    });
  if (from.form == Form::words && to.form == Form::bytes)
    return each_image([=](const Frame& frame, int image) {
      uint8_t* codes = frame.at(target, image);
      const auto* words = frame.as<int32_t>(source, image);
      if (lattice.step == 1)  // a division is slow
        for (size_t i = 0; i < values; ++i) codes[i] = uint8_t(words[i] - lattice.base);
      else
        for (size_t i = 0; i < values; ++i)
          codes[i] = uint8_t((words[i] - lattice.base) / lattice.step);
    });
  throw std::logic_error("no such conversion");
}

StepPointer border_step(const Map& from, Slot source, const Slide& slide, int fill,
                        std::vector<uint8_t> recode, Slot target) {
  const size_t each = from.pixel_bytes();
  std::vector<uint8_t> border(each, uint8_t(fill));
  if (from.form == Form::bits) {
    const int channels = from.shape.channels;
    for (int word = 0; word < from.words(); ++word) {
      const int first = word / from.planes * 64;
      const uint64_t bits = fill > word % from.planes ? low_bits(channels - first) : 0;
      std::memcpy(border.data() + size_t(word) * 8, &bits, 8);
    }
  }
  if (from.form == Form::words) {
    const auto value = int32_t(fill);
    for (size_t i = 0; i < each; i += sizeof value)
      std::memcpy(border.data() + i, &value, sizeof value);
  }
  return each_image([=, recode = std::move(recode)](const Frame& frame, int image) {
    const auto& [top, left, bottom, right] = slide.padding;
    const uint8_t* in = frame.at(source, image);
    uint8_t* out = frame.at(target, image);
    const auto put_border = [&](size_t pixels) {
      for (size_t i = 0; i < pixels; ++i, out += each) std::memcpy(out, border.data(), each);
    };
    const size_t width = size_t(from.shape.width), row = width * each;
    put_border(size_t(top) * (width + size_t(left) + size_t(right)));
    for (int y = 0; y < from.shape.height; ++y, in += row) {
      put_border(size_t(left));
      if (recode.empty())
        std::memcpy(out, in, row);
      else
        for (size_t i = 0; i < row; ++i) out[i] = recode[in[i]];
      out += row;
      put_border(size_t(right));
    }
    put_border(size_t(bottom) * (width + size_t(left) + size_t(right)));
  });
}

StepPointer widen_step(const Map& from, Slot source, int run, const Map& to, Slot target) {
  const int channels = from.shape.channels, planes = from.planes;
  const size_t width = size_t(to.shape.width);
  if (to.words() == planes)  // one word of each plane
    return each_image([=](const Frame& frame, int image) {
      const auto* in = frame.as<uint64_t>(source, image);
      auto* out = frame.as<uint64_t>(target, image);
      const size_t skipped = size_t(from.shape.width - to.shape.width) * size_t(planes);
      for (int y = 0; y < to.shape.height; ++y, in += skipped)
        for (size_t i = 0; i < width * size_t(planes); ++i, ++in, ++out) {
          uint64_t word = *in;
          for (int pixel = 1; pixel < run; ++pixel)
            word |= in[pixel * planes] << (pixel * channels);
          *out = word;
        }
    });
  return each_image([=](const Frame& frame, int image) {
    const auto* in = frame.as<uint64_t>(source, image);
    auto* out = frame.as<uint64_t>(target, image);
    const size_t each = size_t(from.words()), made = size_t(to.words());
    std::fill_n(out, made * to.shape.pixels(), uint64_t(0));
    for (int y = 0; y < to.shape.height;
         ++y, in += each * size_t(from.shape.width - to.shape.width))
      for (size_t x = 0; x < width; ++x, in += each, out += made)
        for (int pixel = 0; pixel < run; ++pixel)
          for (size_t word = 0; word < each; ++word) {
            // The first of its channels, among those of `to`.
            const size_t first = size_t(pixel * channels) + word / size_t(planes) * 64;
            const size_t at = first / 64 * size_t(planes) + word % size_t(planes);
            const uint64_t bits = in[size_t(pixel) * each + word];
            out[at] |= bits << (first % 64);
            if (first % 64 != 0 && at + size_t(planes) < made)
              out[at + size_t(planes)] |= bits >> (64 - first % 64);
          }
  });
}

StepPointer patches_step(const Map& from, Slot source, const Slide& slide, Slot target) {
  return each_image([=](const Frame& frame, int image) {
    const size_t pixel = from.pixel_bytes(), row = pixel * size_t(from.shape.width);
    const size_t run = pixel * size_t(slide.kernel[1]);
    const uint8_t* in = frame.at(source, image);
    uint8_t* out = frame.at(target, image);
    const Shape map = slid(from.shape, slide);
    for (int y = 0; y < map.height; ++y)
      for (int x = 0; x < map.width; ++x)
        for (int r = 0; r < slide.kernel[0]; ++r, out += run)
          std::memcpy(
              out, in + size_t(y * slide.stride[0] + r) * row + size_t(x * slide.stride[1]) * pixel,
              run);
  });
}

StepPointer pool_step(const Map& from, Slot source, const Slide& slide, Slot target) {
  switch (from.form) {
    case Form::bits: return pool_of<uint64_t>(from, source, slide, target);
    case Form::bytes: return pool_of<uint8_t>(from, source, slide, target);
    case Form::words: return pool_of<int32_t>(from, source, slide, target);
  }
  throw std::logic_error("no such form");
}

StepPointer threshold_step(const Op& op, const Shape& shape, Slot source, const Map& to,
                           Slot target) {
  const size_t pixels = shape.pixels();
  if (to.form == Form::words)
    return each_image([=, thresholds = op.thresholds, signs = op.signs, base = op.base,
                       step = op.step](const Frame& frame, int image) {
      const auto* values = frame.as<int32_t>(source, image);
      auto* words = frame.as<int32_t>(target, image);
      for (size_t pixel = 0; pixel < pixels; ++pixel)
        for (int c = 0; c < thresholds.rows; ++c) {
          const int64_t value = int64_t(*values++) * (signs.empty() ? 1 : signs[size_t(c)]);
          const int32_t* first = thresholds.row(c);
          *words++ =
              base + step * int(std::upper_bound(first, first + thresholds.columns, value) - first);
        }
    });
  return each_image([=, thresholds = op.thresholds, signs = op.signs, falling = op.step < 0](
                        const Frame& frame, int image) {
    const auto* values = frame.as<int32_t>(source, image);
    uint8_t* codes = frame.at(target, image);
    const int levels = thresholds.columns;
    for (size_t pixel = 0; pixel < pixels; ++pixel)
      for (int c = 0; c < thresholds.rows; ++c) {
        const int64_t value = int64_t(*values++) * (signs.empty() ? 1 : signs[size_t(c)]);
        const int32_t* first = thresholds.row(c);
        const auto count = int(std::upper_bound(first, first + levels, value) - first);
        *codes++ = uint8_t(falling ? levels - count : count);
      }
  });
}

StepPointer add_step(size_t values, Slot one, Slot two, Slot target) {
  return each_image([=](const Frame& frame, int image) {
    const auto *a = frame.as<int32_t>(one, image), *b = frame.as<int32_t>(two, image);
    auto* sum = frame.as<int32_t>(target, image);
    for (size_t i = 0; i < values; ++i) sum[i] = a[i] + b[i];
  });
}

StepPointer multiply_step(size_t values, Slot one, Slot two, Slot target) {
  return each_image([=](const Frame& frame, int image) {
    const auto *a = frame.as<int32_t>(one, image), *b = frame.as<int32_t>(two, image);
    auto* product = frame.as<int32_t>(target, image);
    for (size_t i = 0; i < values; ++i) product[i] = a[i] * b[i];
  });
}

StepPointer concat_step(const Map& one, Slot first, const Map& two, Slot second, Slot target,
                        std::array<std::vector<uint8_t>, 2> recode) {
  const size_t pixels = one.shape.pixels(), a = one.pixel_bytes(), b = two.pixel_bytes();
  return each_image([=, recode = std::move(recode)](const Frame& frame, int image) {
    const uint8_t *from_one = frame.at(first, image), *from_two = frame.at(second, image);
    uint8_t* out = frame.at(target, image);
    const auto put = [&out](const uint8_t*& from, size_t bytes, const std::vector<uint8_t>& table) {
      if (table.empty())
        std::memcpy(out, from, bytes);
      else
        for (size_t i = 0; i < bytes; ++i) out[i] = table[from[i]];
      out += bytes, from += bytes;
    };
    for (size_t pixel = 0; pixel < pixels; ++pixel) {
      put(from_one, a, recode[0]);
      put(from_two, b, recode[1]);
    }
  });
}

StepPointer rescale_step(const Scaling& scaling, const Shape& shape, Slot source, Slot target) {
  const size_t pixels = shape.pixels();
  return each_image([=](const Frame& frame, int image) {
    const auto* values = frame.as<int32_t>(source, image);
    auto* words = frame.as<int32_t>(target, image);
    for (size_t pixel = 0; pixel < pixels; ++pixel)
      for (size_t c = 0; c < scaling.multipliers.size(); ++c)
        *words++ = int32_t(scaling(c, *values++));
  });
}

StepPointer arg_max_step(Rule rule, int channels, Slot source, Slot target) {
  return each_image([=](const Frame& frame, int image) {
    *frame.as<int32_t>(target, image) = class_of(rule, frame.as<int32_t>(source, image), channels);
  });
}

StepPointer scores_step(int classes, Slot source) {
  return each_image([=](const Frame& frame, int image) {
    const auto* values = frame.as<int32_t>(source, image);
    std::copy(values, values + classes, frame.scores + size_t(image) * size_t(classes));
  });
}

StepPointer decisions_step(Slot source) {
  return each_image([=](const Frame& frame, int image) {
    frame.decisions[image] = *frame.as<int32_t>(source, image);
  });
}

}  // namespace bnn
