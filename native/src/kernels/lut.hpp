// SPDX-License-Identifier: BSD-3-Clause
// Binary and ternary dots by table look-up, for AVX2 (native/README.md has the picture).
//
// A byte lane is an output channel that holds a nibble of its weights; a few codes of the patch
// choose a table of 16 bytes, and one shuffle gives every lane what its nibble adds to its sum.
//   pair:    1-bit codes and weights, four channels a look-up; or 2-bit weights, two channels.
//            Two images share a table: a byte is the sum of the one (low nibble) and of the other.
//   single:  2-bit codes and 1-bit weights, four channels a look-up, one image.
// Every look-up adds at most 4 to a nibble, or 8 to a byte. For an image without a partner,
// two neighbouring positions share a table. A dense layer of one image has one position only; there
// one table serves the vectors of several panels.
#pragma once

#include <immintrin.h>

#include "gemm.hpp"

namespace bnn {
namespace {

constexpr int lut_vector = 32;                     // channels of a vector; a panel has two
constexpr int pair_burst = 63, single_burst = 31;  // look-ups whose sum fits a byte

// table[codes][nibble]
struct Tables {
  alignas(64) uint8_t pair1[256][16] = {}, pair2[2][256][16] = {}, single[256][16] = {};
  // Only the low nibbles of the pairs.
  alignas(64) uint8_t alone1[256][16] = {}, alone2[2][256][16] = {};

  constexpr Tables() {
    for (int codes = 0; codes < 256; ++codes)
      for (int w = 0; w < 16; ++w) {
        const int low = codes & 15, high = codes >> 4;
        pair1[codes][w] = uint8_t(ones(low ^ w) | ones(high ^ w) << 4);
        single[codes][w] = uint8_t(ones(low ^ w) + ones(high ^ w));
        alone1[codes][w] = uint8_t(ones(low ^ w));
        for (int planes = 1; planes <= 2; ++planes) {
          pair2[planes - 1][codes][w] = uint8_t(two(low, w, planes) | two(high, w, planes) << 4);
          alone2[planes - 1][codes][w] = uint8_t(two(low, w, planes));
        }
      }
  }

 private:
  static constexpr int ones(int bits) { return __builtin_popcount(unsigned(bits)); }
  // Two channels with two weight planes each; with two planes of codes, half of it (it is even).
  static constexpr int two(int codes, int w, int planes) {
    int sum = 0;
    for (int code_plane = 0; code_plane < planes; ++code_plane)
      for (int weight_plane = 0; weight_plane < 2; ++weight_plane)
        sum += ones((codes >> 2 * code_plane ^ w >> 2 * weight_plane) & 3);
    return sum / planes;
  }
};
// Made by the compiler: a constructor of this source would run on CPUs without its instructions,
// too.
constexpr Tables tables;

BNN_INLINE __m256i load_table(const uint8_t* from) {
  return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(from)));
}

BNN_INLINE __m256i load_weights(const uint8_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

BNN_INLINE __m128i load_word(const uint64_t* from) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
}

BNN_INLINE void store_indices(__m128i codes, uint16_t* to) {  // times 16: an offset into a table
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      _mm256_slli_epi16(_mm256_cvtepu8_epi16(codes), 4));
}

// Four channels of a and of b make an index: 16 indices a word.
BNN_INLINE void expand_nibbles(const uint64_t* a, const uint64_t* b, uint16_t* to) {
  const __m128i low = _mm_set1_epi8(15), high = _mm_set1_epi8(char(0xf0));
  const __m128i x = load_word(a), y = load_word(b);
  const __m128i even =
      _mm_or_si128(_mm_and_si128(x, low), _mm_and_si128(_mm_slli_epi16(y, 4), high));
  const __m128i odd =
      _mm_or_si128(_mm_and_si128(_mm_srli_epi16(x, 4), low), _mm_and_si128(y, high));
  store_indices(_mm_unpacklo_epi8(even, odd), to);
}

// Two channels of two planes of a and of b make an index: 32 indices a word.
BNN_INLINE void expand_pairs(const uint64_t* a, const uint64_t* b, int planes, uint16_t* to) {
  const __m128i two = _mm_set1_epi8(3);
  const auto fields = [&](const uint64_t* words, int shift) BNN_LAMBDA_INLINE {
    const __m128i first = _mm_and_si128(_mm_srli_epi16(load_word(words), shift), two);
    if (planes == 1) return first;
    const __m128i second = _mm_and_si128(_mm_srli_epi16(load_word(words + 1), shift), two);
    return _mm_or_si128(first, _mm_slli_epi16(second, 2));
  };
  __m128i index[4];
  for (int i = 0; i < 4; ++i)
    index[i] = _mm_or_si128(fields(a, 2 * i), _mm_slli_epi16(fields(b, 2 * i), 4));
  const __m128i even = _mm_unpacklo_epi8(index[0], index[1]),
                odd = _mm_unpacklo_epi8(index[2], index[3]);
  store_indices(_mm_unpacklo_epi16(even, odd), to);
  store_indices(_mm_unpackhi_epi16(even, odd), to + 16);
}

// Byte sums of two images, taken apart. Three look-ups at a time, s (at most 12 a nibble), went
// into A += s and B += s >> 4, the latter as words of 16 bits. All true sums fit a byte, so they
// are found modulo 256: odd bytes of B have the high sums only, even ones also the odd byte's low
// sums shifted left by four.
BNN_INLINE void unmix(__m256i a, __m256i b, __m256i& low, __m256i& high) {
  const auto times16 = [](__m256i v) BNN_LAMBDA_INLINE {
    return _mm256_and_si256(_mm256_slli_epi16(v, 4), _mm256_set1_epi8(char(0xf0)));
  };
  const __m256i odd = _mm256_srli_epi16(_mm256_sub_epi8(a, times16(b)), 8);
  high = _mm256_sub_epi8(b, times16(odd));
  low = _mm256_sub_epi8(a, times16(high));
}

// Sums of 32 channels in 16 bits.
struct Sum16 {
  __m256i half[2];
  BNN_INLINE void clear() { half[0] = half[1] = _mm256_setzero_si256(); }
  BNN_INLINE void add(__m256i bytes) {
    half[0] = _mm256_add_epi16(half[0], _mm256_cvtepu8_epi16(_mm256_castsi256_si128(bytes)));
    half[1] = _mm256_add_epi16(half[1], _mm256_cvtepu8_epi16(_mm256_extracti128_si256(bytes, 1)));
  }
  BNN_INLINE uint32_t above(const int16_t* limit) const {
    const auto* limits = reinterpret_cast<const __m256i*>(limit);
    const __m256i first = _mm256_cmpgt_epi16(half[0], _mm256_load_si256(limits));
    const __m256i second = _mm256_cmpgt_epi16(half[1], _mm256_load_si256(limits + 1));
    return uint32_t(
        _mm256_movemask_epi8(_mm256_permute4x64_epi64(_mm256_packs_epi16(first, second), 0xd8)));
  }
  BNN_INLINE void store(int32_t* to, int scale) const {
    alignas(32) int16_t sums[lut_vector];
    _mm256_store_si256(reinterpret_cast<__m256i*>(sums), half[0]);
    _mm256_store_si256(reinterpret_cast<__m256i*>(sums + 16), half[1]);
    for (int i = 0; i < lut_vector; ++i) to[i] = sums[i] * scale;
  }
};

#define BNN_TABLE(index) "movzwl " index ", %%eax\n vbroadcasti128 (%[table],%%rax), %%ymm12\n"
#define BNN_LOOK(weights, to) "vpshufb %%ymm" #weights ", %%ymm12, %%ymm" #to "\n"
#define BNN_ADD(from, to) "vpaddb %%ymm" #from ", %%ymm" #to ", %%ymm" #to "\n"

// Two positions of a pair of images with two vectors of channels. Registers, in assembly because
// compilers spill them: A in 0-3, B in 4-7, s in 8-11, table, look-up, weights in 12, 13, 14-15.
struct PairTile {
  static constexpr int positions = 2, images = 2, burst = pair_burst;
  __m256i a[4], b[4];

  BNN_INLINE void clear() {
    for (int i = 0; i < 4; ++i) a[i] = b[i] = _mm256_setzero_si256();
  }

  BNN_INLINE void lut(const uint16_t* const* index, const uint8_t* weights, int count,
                      const uint8_t* table) {
    const uint16_t *index0 = index[0], *index1 = index[1];
    if (long triples = count / 3; triples > 0) {
#define BNN_LOOK_ADD(weights, to) BNN_LOOK(weights, 13) BNN_ADD(13, to)
#define BNN_WEIGHTS(at) "vmovdqu " at "(%[w]), %%ymm14\n vmovdqu 32+" at "(%[w]), %%ymm15\n"
#define BNN_SPLIT(s, a, b) BNN_ADD(s, a) "vpsrlw $4, %%ymm" #s ", %%ymm" #s "\n" BNN_ADD(s, b)
      register __m256i a0 asm("ymm0") = a[0], a1 asm("ymm1") = a[1], a2 asm("ymm2") = a[2],
                          a3 asm("ymm3") = a[3];
      register __m256i b0 asm("ymm4") = b[0], b1 asm("ymm5") = b[1], b2 asm("ymm6") = b[2],
                          b3 asm("ymm7") = b[3];
      // clang-format off
      asm volatile(
          "1:\n"
          BNN_WEIGHTS("0") BNN_TABLE("(%[i0])") BNN_LOOK(14, 8) BNN_LOOK(15, 9)
          BNN_TABLE("(%[i1])") BNN_LOOK(14, 10) BNN_LOOK(15, 11)
          BNN_WEIGHTS("64") BNN_TABLE("2(%[i0])") BNN_LOOK_ADD(14, 8) BNN_LOOK_ADD(15, 9)
          BNN_TABLE("2(%[i1])") BNN_LOOK_ADD(14, 10) BNN_LOOK_ADD(15, 11)
          BNN_WEIGHTS("128") BNN_TABLE("4(%[i0])") BNN_LOOK_ADD(14, 8) BNN_LOOK_ADD(15, 9)
          BNN_TABLE("4(%[i1])") BNN_LOOK_ADD(14, 10) BNN_LOOK_ADD(15, 11)
          BNN_SPLIT(8, 0, 4) BNN_SPLIT(9, 1, 5) BNN_SPLIT(10, 2, 6) BNN_SPLIT(11, 3, 7)
          "add $192, %[w]\n add $6, %[i0]\n add $6, %[i1]\n dec %[n]\n jnz 1b\n"
          : [w] "+r"(weights), [i0] "+r"(index0), [i1] "+r"(index1), [n] "+r"(triples),
            "+x"(a0), "+x"(a1), "+x"(a2), "+x"(a3), "+x"(b0), "+x"(b1), "+x"(b2), "+x"(b3)
          : [table] "r"(table)
          : "rax", "cc", "memory", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
            "xmm15");
      // clang-format on
      a[0] = a0, a[1] = a1, a[2] = a2, a[3] = a3, b[0] = b0, b[1] = b1, b[2] = b2, b[3] = b3;
#undef BNN_LOOK_ADD
#undef BNN_WEIGHTS
#undef BNN_SPLIT
    }
    for (int rest = count % 3; rest > 0; --rest, weights += 64)
      for (int i = 0; i < 4; ++i) {
        const uint16_t at = i < 2 ? *index0 : *index1;
        const __m256i s =
            _mm256_shuffle_epi8(load_table(table + at), load_weights(weights + 32 * (i % 2)));
        a[i] = _mm256_add_epi8(a[i], s);
        b[i] = _mm256_add_epi8(b[i], _mm256_srli_epi16(s, 4));
        if (i == 1) ++index0;
        if (i == 3) ++index1;
      }
  }

  // sums[position][image][vector]
  BNN_INLINE void flush(Sum16 (*sums)[images][2]) {
    for (int i = 0; i < 4; ++i) {
      __m256i low, high;
      unmix(a[i], b[i], low, high);
      sums[i / 2][0][i % 2].add(low);
      sums[i / 2][1][i % 2].add(high);
    }
  }
};

// Four positions of one image with two vectors of channels: sums in registers 0-7.
struct SingleTile {
  static constexpr int positions = 4, images = 1, burst = single_burst;
  __m256i s[8];

  BNN_INLINE void clear() {
    for (auto& sum : s) sum = _mm256_setzero_si256();
  }

  BNN_INLINE void lut(const uint16_t* const* index, const uint8_t* weights, long count,
                      const uint8_t* table) {
    const uint16_t *i0 = index[0], *i1 = index[1], *i2 = index[2], *i3 = index[3];
    register __m256i s0 asm("ymm0") = s[0], s1 asm("ymm1") = s[1], s2 asm("ymm2") = s[2],
                        s3 asm("ymm3") = s[3];
    register __m256i s4 asm("ymm4") = s[4], s5 asm("ymm5") = s[5], s6 asm("ymm6") = s[6],
                        s7 asm("ymm7") = s[7];
#define BNN_BOTH(index, first, second) \
  BNN_TABLE(index) BNN_LOOK(14, 13) BNN_LOOK(15, 11) BNN_ADD(13, first) BNN_ADD(11, second)
    // clang-format off
    asm volatile(
        "1:\n"
        "vmovdqu (%[w]), %%ymm14\n vmovdqu 32(%[w]), %%ymm15\n"
        BNN_BOTH("(%[i0])", 0, 1) BNN_BOTH("(%[i1])", 2, 3)
        BNN_BOTH("(%[i2])", 4, 5) BNN_BOTH("(%[i3])", 6, 7)
        "add $64, %[w]\n add $2, %[i0]\n add $2, %[i1]\n add $2, %[i2]\n add $2, %[i3]\n"
        "dec %[n]\n jnz 1b\n"
        : [w] "+r"(weights), [i0] "+r"(i0), [i1] "+r"(i1), [i2] "+r"(i2), [i3] "+r"(i3),
          [n] "+r"(count), "+x"(s0), "+x"(s1), "+x"(s2), "+x"(s3),
          "+x"(s4), "+x"(s5), "+x"(s6), "+x"(s7)
        : [table] "r"(table)
        : "rax", "cc", "memory", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
#undef BNN_BOTH
    // clang-format on
    s[0] = s0, s[1] = s1, s[2] = s2, s[3] = s3, s[4] = s4, s[5] = s5, s[6] = s6, s[7] = s7;
  }

  BNN_INLINE void flush(Sum16 (*sums)[images][2]) {
    for (int i = 0; i < 8; ++i) sums[i / 2][0][i % 2].add(s[i]);
  }
};

#undef BNN_TABLE
#undef BNN_LOOK
#undef BNN_ADD

// How the codes of a job become indices.
struct Indexing {
  int images;      // that share an index
  int word_words;  // 64-bit words of the map that make a run of indices
  int run;         // indices of such a run: 16 or 32
  int source_planes;
  const uint8_t* table;
  const uint8_t* alone;  // the table for one position of one image
  int scale;             // raw sums are so many times what is looked up

  size_t bytes(size_t map_bytes) const {
    return map_bytes / 8 / size_t(word_words) * size_t(run) * 2;
  }

  // Indices of one map, or of two at a time.
  void expand(const uint8_t* one, const uint8_t* other, size_t map_bytes, uint16_t* to) const {
    const auto *a = reinterpret_cast<const uint64_t*>(one),
               *b = reinterpret_cast<const uint64_t*>(other);
    const size_t words = map_bytes / 8;
    if (run == 32)
      for (size_t i = 0; i < words; i += size_t(word_words), to += 32)
        expand_pairs(a + i, b + i, source_planes, to);
    else if (images == 2)
      for (size_t i = 0; i < words; ++i, to += 16) expand_nibbles(a + i, b + i, to);
    else
      for (size_t i = 0; i < words; i += 2, to += 16) expand_nibbles(a + i, a + i + 1, to);
  }
};

// A tile's sums over the look-ups of a patch.
template <class Tile>
BNN_INLINE void sum_patch(const Job& job, int row_lookups, size_t row_stride,
                          const uint8_t* const* patch, const uint8_t* weights, const uint8_t* table,
                          Sum16 (*sums)[Tile::images][2]) {
  for (int p = 0; p < Tile::positions; ++p)
    for (int image = 0; image < Tile::images; ++image)
      for (int vector = 0; vector < 2; ++vector) sums[p][image][vector].clear();
  Tile tile;
  tile.clear();
  int room = Tile::burst;
  for (int row = 0; row < job.rows; ++row) {
    for (int done = 0; done < row_lookups;) {
      const int now = std::min(room, row_lookups - done);
      const uint16_t* index[Tile::positions];
      for (int p = 0; p < Tile::positions; ++p)
        index[p] = reinterpret_cast<const uint16_t*>(patch[p] + size_t(row) * row_stride) + done;
      tile.lut(index, weights, now, table);
      weights += 64 * now;
      done += now;
      room -= now;
      if (room == 0) {
        tile.flush(sums);
        tile.clear();
        room = Tile::burst;
      }
    }
  }
  tile.flush(sums);
}

// Thresholds of a panel (none is negative) as limits that sums of 16 bits must exceed.
inline void narrow_limits(const int32_t* thresholds, int count, int scale, int16_t* limits) {
  for (int i = 0; i < count; ++i) {
    const int32_t all = thresholds[i], half = (all >> 1) + (all & 1);  // scale is 1 or 2
    limits[i] = int16_t(std::min((scale == 2 ? half : all) - 1, 32767));
  }
}

template <int Planes>
struct LutBits : BitWriter<Planes> {
  LutBits(const Job& job, int panel, int scale) : BitWriter<Planes>(job, panel) {
    narrow_limits(job.thresholds + size_t(panel) * Planes * panel_channels, Planes * panel_channels,
                  scale, limits);
  }
  BNN_INLINE void put(const Sum16* vectors) {
    uint64_t planes[Planes];
    for (int plane = 0; plane < Planes; ++plane) {
      const int16_t* limit = limits + plane * panel_channels;
      planes[plane] = vectors[0].above(limit) | uint64_t(vectors[1].above(limit + lut_vector))
                                                    << lut_vector;
    }
    BitWriter<Planes>::put(planes);
  }
  alignas(32) int16_t limits[Planes * panel_channels];
};

template <class Writer>
struct LutSums : Writer {
  LutSums(const Job& job, int panel, int scale) : Writer(job, panel), scale_(scale) {}
  BNN_INLINE void put(const Sum16* vectors) {
    alignas(32) int32_t sums[panel_channels];
    vectors[0].store(sums, scale_);
    vectors[1].store(sums + lut_vector, scale_);
    Writer::put(sums);
  }
  int scale_;
};

// The images of `job`, each Tile::images of which share indices.
template <class Tile, class Writer>
void run_part(const Job& job, const Indexing& by, const uint8_t* indices) {
  const size_t factor = by.bytes(job.image_stride) / job.image_stride;
  const int shared = job.images / Tile::images;  // maps of indices
  const int row_lookups = job.groups / by.word_words * by.run;
  const size_t panel_bytes = size_t(job.rows) * size_t(row_lookups) * 64;
  Job maps = job;
  maps.source = indices;
  maps.images = shared;
  maps.image_stride = job.image_stride * factor;
  const int64_t total = int64_t(job.positions) * shared;
  for (int panel = 0; panel < job.panels; ++panel) {
    Patches patches(maps, factor);
    Job each = job;
    each.out_image_stride *= Tile::images;
    Writer first(each, panel, by.scale);
    each.out += job.out_image_stride;
    Writer second(each, panel, by.scale);
    for (int64_t at = 0; at < total; at += Tile::positions) {
      const uint8_t* patch[Tile::positions];
      for (auto& p : patch) p = patches.next();
      Sum16 sums[Tile::positions][Tile::images][2];
      sum_patch<Tile>(job, row_lookups, job.row_stride * factor, patch,
                      job.weights + size_t(panel) * panel_bytes, by.table, sums);
      const auto count = int(std::min<int64_t>(Tile::positions, total - at));
      for (int p = 0; p < count; ++p) first.put(sums[p][0]);
      if constexpr (Tile::images == 2) {
        for (int p = 0; p < count; ++p) second.put(sums[p][1]);
      }
    }
  }
}

// One image: pairs of neighbouring positions (Job::pairs) share the indices.
template <class Writer>
void run_neighbours(const Job& job, const Indexing& by, const uint8_t* indices) {
  const size_t factor = by.bytes(job.image_stride) / job.image_stride;
  const int row_lookups = job.groups / by.word_words * by.run;
  const size_t panel_bytes = size_t(job.rows) * size_t(row_lookups) * 64;
  for (int panel = 0; panel < job.panels; ++panel) {
    Writer writer(job, panel, by.scale);
    for (int at = 0; at < job.pair_count; at += PairTile::positions) {
      const uint8_t* patch[PairTile::positions];
      for (int p = 0; p < PairTile::positions; ++p)
        patch[p] = indices + job.pairs[std::min(at + p, job.pair_count - 1)].offset * factor;
      Sum16 sums[PairTile::positions][2][2];
      sum_patch<PairTile>(job, row_lookups, job.row_stride * factor, patch,
                          job.weights + size_t(panel) * panel_bytes, by.table, sums);
      for (int p = 0; p < PairTile::positions && at + p < job.pair_count; ++p)
        for (uint32_t i = 0; i < job.pairs[at + p].size; ++i) writer.put(sums[p][i]);
    }
  }
}

// One position of one image with the vectors of four panels.
template <class Writer>
void run_position(const Job& job, const Indexing& by, const uint8_t* indices) {
  constexpr int panels = 4, vectors = 2 * panels;
  const int row_lookups = job.groups / by.word_words * by.run;
  const size_t panel_bytes = size_t(job.rows) * size_t(row_lookups) * 64;
  const size_t factor = by.bytes(job.image_stride) / job.image_stride;
  for (int first = 0; first < job.panels; first += panels) {
    const uint8_t* weights[panels];
    for (int i = 0; i < panels; ++i)
      weights[i] = job.weights + size_t(std::min(first + i, job.panels - 1)) * panel_bytes;
    Sum16 sums[vectors];
    for (Sum16& sum : sums) sum.clear();
    for (int row = 0; row < job.rows; ++row) {
      const auto* index = reinterpret_cast<const uint16_t*>(indices + job.patches[0] * factor +
                                                            size_t(row) * job.row_stride * factor);
      for (int left = row_lookups; left > 0;) {
        const int now = std::min(left, single_burst);
        __m256i s[vectors];
        unroll<vectors>([&](auto v) BNN_LAMBDA_INLINE { s[v] = _mm256_setzero_si256(); });
        for (int i = 0; i < now; ++i) {
          const __m256i table = load_table(by.alone + *index++);
          unroll<vectors>([&](auto v) BNN_LAMBDA_INLINE {
            const __m256i w = load_weights(weights[v / 2] + 64 * i + 32 * (v % 2));
            s[v] = _mm256_add_epi8(s[v], _mm256_shuffle_epi8(table, w));
          });
        }
        unroll<vectors>([&](auto v) BNN_LAMBDA_INLINE { sums[v].add(s[v]); });
        unroll<panels>([&](auto i) BNN_LAMBDA_INLINE { weights[i] += 64 * now; });
        left -= now;
      }
    }
    for (int i = 0; i < panels && first + i < job.panels; ++i)
      Writer(job, first + i, by.scale).put(&sums[2 * i]);
  }
}

enum class Sharing { images, neighbours, position };

template <class Tile, class Writer>
void run_shared(const Job& job, const Indexing& by, Sharing sharing) {
  if (sharing == Sharing::position) return run_position<Writer>(job, by, job.scratch);
  if constexpr (Tile::images == 2) {
    if (sharing == Sharing::neighbours) return run_neighbours<Writer>(job, by, job.scratch);
  }
  run_part<Tile, Writer>(job, by, job.scratch);
}

template <class Tile>
void run_form(const Job& job, const Indexing& by, Sharing sharing) {
  if (job.form == Form::words) return run_shared<Tile, LutSums<WordWriter>>(job, by, sharing);
  if (job.form == Form::bytes) return run_shared<Tile, LutSums<ByteWriter>>(job, by, sharing);
  if (job.levels == 1) return run_shared<Tile, LutBits<1>>(job, by, sharing);
  run_shared<Tile, LutBits<2>>(job, by, sharing);
}

// `images` of the job, from `first` on, as a job of its own.
Job part_of(const Job& job, int first, int images) {
  Job part = job;
  part.images = images;
  part.source = job.source + size_t(first) * job.image_stride;
  part.out = job.out + size_t(first) * job.out_image_stride;
  return part;
}

// An image that has no partner, or shares with none.
template <class Tile>
void run_alone(const Job& job, const Indexing& by) {
  auto* indices = reinterpret_cast<uint16_t*>(job.scratch);
  if (job.positions == 1 || Tile::images == 1) {
    by.expand(job.source, job.source, job.image_stride, indices);
    return run_form<Tile>(job, by, job.positions == 1 ? Sharing::position : Sharing::images);
  }
  // Where there is no neighbour to the right, its indices are not read.
  const size_t shift = std::min<size_t>(job.pair_shift, job.image_stride),
               shifted = job.image_stride - shift;
  by.expand(job.source, job.source + shift, shifted, indices);
  by.expand(job.source + shifted, job.source + shifted, shift, indices + by.bytes(shifted) / 2);
  run_form<Tile>(job, by, Sharing::neighbours);
}

template <class Tile>
void run_lut(const Job& job, const Indexing& by) {
  const size_t map = by.bytes(job.image_stride);
  const int max_images =
      int(std::min<size_t>(std::max<size_t>(1, job.scratch_bytes / map), 1 << 16)) * Tile::images;
  const int shared = job.images == 1 ? 0 : job.images / Tile::images * Tile::images;
  for (int first = 0; first < shared; first += max_images) {
    const Job part = part_of(job, first, std::min(max_images, shared - first));
    for (int image = 0; image < part.images; image += Tile::images) {
      const uint8_t* one = part.source + size_t(image) * job.image_stride;
      const uint8_t* other = Tile::images == 2 ? one + job.image_stride : one;
      by.expand(one, other, job.image_stride,
                reinterpret_cast<uint16_t*>(job.scratch + size_t(image / Tile::images) * map));
    }
    run_form<Tile>(part, by, Sharing::images);
  }
  if (shared < job.images) run_alone<Tile>(part_of(job, shared, 1), by);
}

// Indices of one map take at most 8 times its bytes; those of more maps should fit a first-level
// cache.
size_t lut_scratch(const Job& job, int) { return std::max<size_t>(32 << 10, 8 * job.image_stride); }

void run_lut(const Job& job, int source_planes, int weight_planes) {
  const int planes = source_planes - 1;
  if (weight_planes == 2) {
    const Indexing by{2,
                      source_planes,
                      32,
                      source_planes,
                      tables.pair2[planes][0],
                      tables.alone2[planes][0],
                      source_planes};
    return run_lut<PairTile>(job, by);
  }
  if (source_planes == 2)
    return run_lut<SingleTile>(job, {1, 2, 16, 2, tables.single[0], tables.single[0], 1});
  run_lut<PairTile>(job, {2, 1, 16, 1, tables.pair1[0], tables.alone1[0], 1});
}

}  // namespace
}  // namespace bnn
