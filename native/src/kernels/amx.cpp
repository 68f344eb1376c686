// SPDX-License-Identifier: BSD-3-Clause
// AMX: tiles of 16 x 64 bytes multiply codes by weights of 8 bits, whatever the precision. 1 024
// multiply-adds per cycle are faster even than counting bits, so packed codes are spread to bytes.
//
// Two tiles of 16 patches are multiplied by two tiles of 16 channels. A map of packed codes is
// spread once; patches of neighbours are then loaded from where they overlap. Others are copied
// side by side. With few patches most of a tile would be unused: then the AVX-512 engines do it.
#include <immintrin.h>

#include "gemm.hpp"
#include "kernels.hpp"

namespace bnn {
namespace {

constexpr int tile_rows = 16, tile_bytes = 64;
constexpr int block = 2 * tile_rows;  // rows of patches at a time
constexpr int strip = 32;             // channels at a time: half a panel
constexpr size_t line = 64;           // of the caches: the bytes of a tile's row

// All eight tiles alike: 0-3 hold sums, 4-5 patches, 6-7 weights.
class Tiles {
 public:
  Tiles() {
    alignas(64) struct {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t bytes[16] = {};
      uint8_t rows[16] = {};
    } config;
    for (int i = 0; i < 8; ++i) config.bytes[i] = tile_bytes, config.rows[i] = tile_rows;
    _tile_loadconfig(&config);
  }
  ~Tiles() { _tile_release(); }
};

// Memory of a job, handed out in whole lines from Job::scratch.
class Scratch {
 public:
  explicit Scratch(const Job& job) : next_(job.scratch) {}
  template <class T>
  T* take(size_t count) {
    uint8_t* here = next_;
    next_ += (count * sizeof(T) + line - 1) / line * line;
    return reinterpret_cast<T*>(here);
  }
  uint8_t* rest() const { return next_; }

 private:
  uint8_t* next_;
};

// ---- patches: rows of bytes of codes, in memory so that tiles can be loaded from there ----

// How a patch lies there: `runs` runs of `lines` lines, `stride` bytes from the next.
struct Walk {
  int runs, lines;
  size_t stride;
};

// Where patches lie: one in each row of the tiles, which follow each other.
struct Rows {
  const uint8_t* first;
  size_t row_stride;
  Walk walk;

  const uint8_t* tile(int t) const { return first + size_t(t) * tile_rows * row_stride; }
};

// Packed codes. One word of each plane makes a line of bytes.
template <int Planes>
struct FromBits {
  static constexpr bool spreads = true;
  static BNN_INLINE void line_of(const uint8_t* from, uint8_t* to) {
    const __m512i one = _mm512_set1_epi8(1);
    uint64_t words[Planes];
    std::memcpy(words, from, sizeof words);
    __m512i codes = _mm512_maskz_mov_epi8(words[0], one);
    if constexpr (Planes == 2) codes = _mm512_mask_add_epi8(codes, words[1], codes, one);
    _mm512_storeu_si512(to, codes);
  }
  static void spread(const uint8_t* map, size_t bytes, uint8_t* to) {
    for (size_t at = 0; at < bytes; at += 8 * Planes, to += line) line_of(map + at, to);
  }
  static constexpr size_t scale = 8 / Planes;
  static size_t row_bytes(const Job& job) { return size_t(job.groups / Planes) * line; }
  static BNN_INLINE void gather(const Job& job, const uint8_t* patch, uint8_t* to) {
    for (int row = 0; row < job.rows; ++row, patch += job.row_stride)
      for (int group = 0; group < job.groups; group += Planes, to += line)
        line_of(patch + size_t(group) * 8, to);
  }
};

struct FromBytes {
  static constexpr bool spreads = false;
  static constexpr size_t scale = 1;
  static void spread(const uint8_t*, size_t, uint8_t*) {}
  static size_t row_bytes(const Job& job) { return size_t(job.groups) * 4; }
  static BNN_INLINE void gather(const Job& job, const uint8_t* patch, uint8_t* to) {
    const size_t bytes = row_bytes(job);
    for (int row = 0; row < job.rows; ++row, patch += job.row_stride, to += bytes)
      for (size_t at = 0; at < bytes; at += line) {
        const __mmask64 some =
            bytes - at >= line ? ~uint64_t(0) : (uint64_t(1) << (bytes - at)) - 1;
        _mm512_mask_storeu_epi8(to + at, some, _mm512_maskz_loadu_epi8(some, patch + at));
      }
  }
};

int strips(const Job& job) { return (job.channels + strip - 1) / strip; }

// Lines of a patch that was copied together.
template <class From>
int gathered_lines(const Job& job) {
  return int((From::row_bytes(job) * size_t(job.rows) + line - 1) / line);
}

// ---- products ----

// Weights of a strip: for each line of codes two tiles, of 16 channels each, side by side.
template <class From>
const uint8_t* weights_of(const Job& job, int number) {
  return job.weights + From::row_bytes(job) * size_t(job.rows) * size_t(number) * strip;
}

// sums[row][...] of one strip, for one or two tiles of patches. `meanwhile` is called at each step,
// for work that does not need the tiles.
template <bool Two, class Meanwhile>
BNN_INLINE void multiply(const Rows& rows, int tile, const uint8_t* weights, int32_t* sums,
                         size_t stride, Meanwhile&& meanwhile) {
  constexpr int64_t weight_stride = 2 * tile_bytes;
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (Two) {
    _tile_zero(2);
    _tile_zero(3);
  }
  const auto row_stride = int64_t(rows.row_stride);
  const Walk walk = rows.walk;
  const uint8_t* run = rows.tile(tile);
  const ptrdiff_t other = Two ? rows.tile(tile + 1) - run : 0;
  for (int r = 0; r < walk.runs; ++r, run += walk.stride) {
    const uint8_t* at = run;
    for (int left = walk.lines; left > 0;
         --left, at += line, weights += tile_rows * weight_stride) {
      _tile_loadd(6, weights, weight_stride);
      _tile_loadd(4, at, row_stride);
      _tile_dpbusd(0, 4, 6);
      _tile_loadd(7, weights + tile_bytes, weight_stride);
      _tile_dpbusd(1, 4, 7);
      if constexpr (Two) {
        _tile_loadd(5, at + other, row_stride);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
      }
      meanwhile();
    }
  }
  _tile_stored(0, sums, int64_t(stride));
  _tile_stored(1, sums + tile_rows, int64_t(stride));
  if constexpr (Two) {
    auto* second =
        reinterpret_cast<int32_t*>(reinterpret_cast<uint8_t*>(sums) + tile_rows * stride);
    _tile_stored(2, second, int64_t(stride));
    _tile_stored(3, second + tile_rows, int64_t(stride));
  }
}

// ---- results in packed codes ----

// Compares the sums of one block with the thresholds while the next one is multiplied: a few rows
// at each step, and not before the tiles with them are surely in memory: waiting for them
// would delay what follows. codes[row] is a pixel as the next layer reads it, [panel][plane].
template <int Planes>
class Thresholds {
 public:
  Thresholds(const Job& job, int steps, uint64_t* codes, Scratch& scratch)
      : codes_(codes), row_bytes_(size_t(job.panels) * Planes * sizeof *codes),
        each_((pieces - 1) / std::max(1, steps - lag) + 1) {
    const size_t channels = size_t(job.panels) * panel_channels;
    least_ = scratch.take<int32_t>(channels * Planes);
    for (size_t c = 0; c < channels; ++c)
      for (size_t plane = 0; plane < Planes; ++plane) {
        const size_t panel = c / panel_channels, lane = c % panel_channels;
        least_[(c / 16 * Planes + plane) * 16 + c % 16] =
            job.thresholds[(panel * Planes + plane) * panel_channels + lane] - job.zero[c];
      }
    for (int32_t*& sums : sums_) sums = scratch.take<int32_t>(block * strip);
  }
  static size_t bytes(const Job& job) {
    return (size_t(job.panels) * panel_channels * Planes + 2 * block * strip) * sizeof(int32_t);
  }
  // Where the next sums go.
  int32_t* sums() { return sums_[turn_]; }
  // Notes that the sums of a strip are there, from row `row` on.
  void hand_over(int number, int row) {
    finish();
    from_ = sums_[turn_];
    turn_ ^= 1;
    const auto half = size_t(number);
    limits_ = least_ + half * 2 * 16 * Planes;
    to_ = reinterpret_cast<uint8_t*>(codes_) + size_t(row) * row_bytes_ +
          half / 2 * Planes * sizeof(uint64_t) + half % 2 * sizeof(uint32_t);
    wait_ = lag;
    left_ = pieces;
  }
  BNN_INLINE void some() {
    if (wait_-- > 0) return;
    for (int i = std::min(each_, left_); i > 0; --i) piece();
  }
  void finish() {
    while (left_ > 0) piece();
  }

 private:
  static constexpr int lag = 3;  // steps
  static constexpr int piece_rows = 4, pieces = block / piece_rows;

  // Four rows. Rows that are not patches are compared too: there is room for them.
  BNN_INLINE void piece() {
    unroll<2 * Planes>([&](auto which) BNN_LAMBDA_INLINE {
      constexpr int vector = which / Planes, plane = which % Planes;
      const __m512i limit = _mm512_load_si512(limits_ + 16 * which);
      unroll<piece_rows>([&](auto row) BNN_LAMBDA_INLINE {
        const __mmask16 reached =
            _mm512_cmple_epi32_mask(limit, _mm512_load_si512(from_ + row * strip + 16 * vector));
        std::memcpy(to_ + row * row_bytes_ + plane * sizeof(uint64_t) + vector * 2, &reached,
                    sizeof reached);
      });
    });
    from_ += piece_rows * strip;
    to_ += piece_rows * row_bytes_;
    --left_;
  }

  uint64_t* codes_;
  size_t row_bytes_;
  int each_, turn_ = 0, wait_ = 0, left_ = 0;
  int32_t *least_, *sums_[2];
  const int32_t *from_ = nullptr, *limits_ = nullptr;
  uint8_t* to_ = nullptr;
};

// Pools codes and stores them: `count` outputs from `first` (of all images) on. row_of says in
// which row the codes of a position are, counted from the first one. `Flips`: some channels want
// it.
template <int Planes, bool Flips, class RowOf>
void deliver(const Job& job, const uint64_t* codes, int64_t first, int count, RowOf&& row_of) {
  const auto words = size_t(job.panels) * Planes;
  // Planes of a panel: those of the code, or of what it lacks to the largest one.
  const auto flip = [&](const uint64_t* from, const uint64_t* masks, size_t word)
                        BNN_LAMBDA_INLINE {
                          if constexpr (!Flips) return from[word];
                          const uint64_t mask = masks[word / Planes];
                          return (from[word] & ~mask) | (~from[word ^ (Planes - 1)] & mask);
                        };
  Outputs outputs(job, first);
  uint64_t pooled[Planes];
  for (int p = 0; p < count * job.pool; p += job.pool) {
    uint8_t* out = outputs.next();
    const uint64_t* rows[max_pool_positions];
    for (int i = 0; i < job.pool; ++i) rows[i] = codes + row_of(p + i) * words;
    for (size_t word = 0; word < words; word += Planes, out += sizeof pooled) {
      unroll<Planes>([&](auto plane) BNN_LAMBDA_INLINE {
        uint64_t code = flip(rows[0], job.flip_before, word + plane);
        for (int i = 1; i < job.pool; ++i) code |= flip(rows[i], job.flip_before, word + plane);
        pooled[plane] = code;
      });
      uint64_t code[Planes];
      unroll<Planes>([&](auto plane) BNN_LAMBDA_INLINE {
        code[plane] = Flips ? flip(pooled, job.flip_after + word / Planes, plane) : pooled[plane];
      });
      std::memcpy(out, code, sizeof code);
    }
  }
}

constexpr int max_copies = 8 * block;  // patches that are copied before they are multiplied

int round_up(int rows) { return (rows + block - 1) / block * block; }

// How the patches of a job become rows of tiles: in place, in a map that is spread once (then
// patches overlap, and those that are not positions of the job are multiplied too), or copied side
// by side.
template <class From, int Planes>
struct Layout {
  bool in_place;
  int copies;                // at a time: whole windows of the pool
  int rows;                  // of tiles, at a time
  Walk walk;                 // of a patch
  size_t row_stride, bytes;  // of all rows

  explicit Layout(const Job& job) {
    in_place = From::spreads && job.grid && 2 * round_up(job.grid_count) <= 3 * job.positions;
    copies = std::max(1, max_copies / job.pool) * job.pool;
    rows = round_up(in_place ? job.grid_count : copies);
    if (in_place) {
      const size_t row = job.row_stride * From::scale;
      walk = {job.rows, int(From::row_bytes(job) / line), row};
      row_stride = job.pair_shift * From::scale;
      bytes = job.image_stride * From::scale + block * row_stride +
              size_t(job.rows) * row;  // and read past it
    } else {
      walk = {1, gathered_lines<From>(job), 0};
      row_stride = size_t(walk.lines) * line;
      bytes = size_t(rows) * row_stride;
    }
  }
  size_t code_words(const Job& job) const { return size_t(rows) * size_t(job.panels) * Planes; }
};

template <class From, int Planes>
size_t bits_scratch(const Job& job) {
  const Layout<From, Planes> layout(job);
  return layout.bytes + layout.code_words(job) * sizeof(uint64_t) + Thresholds<Planes>::bytes(job) +
         8 * line;
}

template <class From, int Planes>
class BitRun {
 public:
  explicit BitRun(const Job& job)
      : job_(job), layout_(job), scratch_(job),
        codes_(scratch_.take<uint64_t>(layout_.code_words(job))),
        thresholds_(job, layout_.walk.runs * layout_.walk.lines, codes_, scratch_),
        patches_(scratch_.rest()) {
    const auto wanted = [&](const uint64_t* flips) {
      return std::any_of(flips, flips + job.panels, [](uint64_t mask) { return mask != 0; });
    };
    flips_ = wanted(job.flip_before) || wanted(job.flip_after);
    // The second half of a panel is skipped where it has no channels.
    if (strips(job) % 2 != 0) std::fill_n(codes_, layout_.code_words(job), 0);
  }
  void run() { layout_.in_place ? run_in_place() : run_copies(); }

 private:
  void run_in_place() {
    const int outputs = job_.positions / job_.pool;
    for (int image = 0; image < job_.images; ++image) {
      From::spread(job_.source + size_t(image) * job_.image_stride, job_.image_stride, patches_);
      compare(job_.grid_count);
      deliver_from(int64_t(image) * outputs, outputs, [&](int p) { return job_.grid[p]; });
    }
  }

  void run_copies() {
    const size_t length = layout_.row_stride, used = From::row_bytes(job_) * size_t(job_.rows);
    for (int p = 0; p < layout_.copies; ++p)
      std::memset(patches_ + size_t(p) * length + used, 0, length - used);
    const int64_t total = int64_t(job_.positions) * job_.images;
    Patches patches(job_);
    for (int64_t first = 0; first < total; first += layout_.copies) {
      const auto count = int(std::min<int64_t>(layout_.copies, total - first));
      for (int p = 0; p < count; ++p)
        From::gather(job_, patches.next(), patches_ + size_t(p) * length);
      compare(count);
      deliver_from(first / job_.pool, count / job_.pool, [](int p) { return size_t(p); });
    }
  }

  // Makes and compares the sums of `count` rows with all strips. A strip of weights stays in cache
  // while all patches are multiplied by it.
  void compare(int count) {
    const auto meanwhile = [&]() BNN_LAMBDA_INLINE { thresholds_.some(); };
    constexpr size_t stride = strip * sizeof(int32_t);
    const Rows rows{patches_, layout_.row_stride, layout_.walk};
    for (int s = 0; s < strips(job_); ++s) {
      const uint8_t* weights = weights_of<From>(job_, s);
      for (int row = 0; row < count; row += block) {
        if (count - row > tile_rows)
          multiply<true>(rows, row / tile_rows, weights, thresholds_.sums(), stride, meanwhile);
        else
          multiply<false>(rows, row / tile_rows, weights, thresholds_.sums(), stride, meanwhile);
        thresholds_.hand_over(s, row);
      }
    }
    thresholds_.finish();
  }

  template <class RowOf>
  void deliver_from(int64_t first, int count, RowOf&& row_of) {
    flips_ ? deliver<Planes, true>(job_, codes_, first, count, row_of)
           : deliver<Planes, false>(job_, codes_, first, count, row_of);
  }

  const Job& job_;
  const Layout<From, Planes> layout_;
  Scratch scratch_;
  uint64_t* codes_;
  Thresholds<Planes> thresholds_;
  uint8_t* patches_;
  bool flips_;
};

template <class From, int Planes>
void run_bits(const Job& job) {
  const Tiles tiles;
  BitRun<From, Planes>(job).run();
}

// ---- results in bytes and words ----

// Kernels that write 64 channels at a time get the raw sums of a whole panel.
template <class From, class Writer>
void run_sums(const Job& job) {
  const Tiles tiles;
  Scratch scratch(job);
  constexpr int most = 4 * block;
  auto* sums = scratch.take<int32_t>(most * panel_channels);
  uint8_t* copies = scratch.rest();
  const int lines = gathered_lines<From>(job);
  const size_t length = size_t(lines) * line, used = From::row_bytes(job) * size_t(job.rows);
  const Rows rows{copies, length, {1, lines, 0}};
  for (int p = 0; p < most; ++p) std::memset(copies + size_t(p) * length + used, 0, length - used);
  const int whole = most / job.pool * job.pool;  // patches that make whole windows of the pool
  const int64_t total = int64_t(job.positions) * job.images;
  Patches patches(job);
  constexpr size_t stride = panel_channels * sizeof(int32_t);
  for (int64_t first = 0; first < total; first += whole) {
    const int count = int(std::min<int64_t>(whole, total - first));
    for (int p = 0; p < count; ++p) From::gather(job, patches.next(), copies + size_t(p) * length);
    for (int panel = 0; panel < job.panels; ++panel) {
      for (int half = 0; half < 2 && 2 * panel + half < strips(job); ++half)
        for (int p = 0; p < count; p += block) {
          const uint8_t* weights = weights_of<From>(job, 2 * panel + half);
          int32_t* to = sums + p * panel_channels + half * strip;
          if (count - p > tile_rows)
            multiply<true>(rows, p / tile_rows, weights, to, stride, [] {});
          else
            multiply<false>(rows, p / tile_rows, weights, to, stride, [] {});
        }
      Writer writer(job, panel, first / job.pool);
      const int32_t* zero = job.zero + size_t(panel) * panel_channels;
      for (int p = 0; p < count; ++p) {
        alignas(64) int32_t raw[panel_channels];
        for (int c = 0; c < panel_channels; ++c) raw[c] = sums[p * panel_channels + c] + zero[c];
        writer.put(raw);
      }
    }
  }
}

template <class From>
size_t sums_scratch(const Job& job) {
  return 4 * block * (size_t(gathered_lines<From>(job)) * line + panel_channels * sizeof(int32_t)) +
         line;
}

template <class From>
size_t scratch_bytes(const Job& job) {
  if (job.form != Form::bits) return sums_scratch<From>(job);
  return job.levels == 1 ? bits_scratch<From, 1>(job) : bits_scratch<From, 2>(job);
}

template <class From>
void run_form(const Job& job) {
  if (job.form == Form::words) return run_sums<From, WordWriter>(job);
  if (job.form == Form::bytes) return run_sums<From, ByteWriter>(job);
  if (job.levels == 1) return run_bits<From, 1>(job);
  run_bits<From, 2>(job);
}

constexpr BitEngine bits{{tile_rows, 2},
                         BitLayout::bytes,
                         no_limit,
                         [](const Job& job, int planes, int) {
                           planes == 1 ? run_form<FromBits<1>>(job) : run_form<FromBits<2>>(job);
                         },
                         [](const Job& job, int planes) {
                           return planes == 1 ? scratch_bytes<FromBits<1>>(job)
                                              : scratch_bytes<FromBits<2>>(job);
                         },
                         "amx"};
constexpr ByteEngine bytes{{tile_rows, 2},
                           1,
                           4,
                           tile_bytes,
                           false,
                           Unlimited::burst,
                           [](const Job& job, int) { run_form<FromBytes>(job); },
                           scratch_bytes<FromBytes>,
                           "amx"};

}  // namespace

Kernels amx_kernels() {
  const Kernels base = avx512_kernels();
  return {.bits = {&bits, base.bits[0]},
          .bytes = {&bytes, base.bytes[0], base.bytes[1]},
          .few = 8,
          .few_bits = base.bits[0],
          .few_bytes = base.bytes[0],
          .words = base.words,
          .depthwise = base.depthwise,
          .vector = base.vector};
}

}  // namespace bnn
