// SPDX-License-Identifier: BSD-3-Clause
// Dots of 1-bit weights by table look-up, for WebAssembly: its popcount of a vector takes a browser
// about ten instructions. lut.hpp (AVX2) and native/README.md explain it.
//
//   pair:   1-bit codes of two positions. Four codes of each choose a table of 16 bytes, a byte
//   being
//           the sum of the one (low nibble) and of the other position.
//   alone:  1-bit or 2-bit codes of one position.
// A byte lane is an output channel that holds a nibble of its weights; a panel has four vectors.
#pragma once

#include <wasm_simd128.h>

#include "gemm.hpp"

namespace bnn {
namespace {

constexpr int lut_vectors = panel_channels / 16;
constexpr int word_lookups = 16;  // of four channels
// Words whose sums fit a byte: a look-up adds at most 4, or 8 with two planes of codes.
constexpr int pair_words = 3;

struct Tables {
  alignas(16) uint8_t pair[256][16] = {}, alone[16][16] = {};

  constexpr Tables() {
    for (int codes = 0; codes < 256; ++codes)
      for (int w = 0; w < 16; ++w)
        pair[codes][w] = uint8_t(ones((codes & 15) ^ w) | ones((codes >> 4) ^ w) << 4);
    for (int codes = 0; codes < 16; ++codes)
      for (int w = 0; w < 16; ++w) alone[codes][w] = uint8_t(ones(codes ^ w));
  }

 private:
  static constexpr int ones(int bits) { return __builtin_popcount(unsigned(bits)); }
};
constexpr Tables tables;

// Sums of a panel's channels in 16 bits.
struct Sum16 {
  v128_t half[2 * lut_vectors];

  BNN_INLINE void clear() {
    for (auto& h : half) h = wasm_i64x2_const(0, 0);
  }
  BNN_INLINE void add(int vector, v128_t bytes) {
    v128_t& low = half[2 * vector];
    v128_t& high = half[2 * vector + 1];
    low = wasm_i16x8_add(low, wasm_u16x8_extend_low_u8x16(bytes));
    high = wasm_i16x8_add(high, wasm_u16x8_extend_high_u8x16(bytes));
  }
  BNN_INLINE void store(int32_t* to) const {
    for (int i = 0; i < 2 * lut_vectors; ++i) {
      wasm_v128_store(to + 8 * i, wasm_u32x4_extend_low_u16x8(half[i]));
      wasm_v128_store(to + 8 * i + 4, wasm_u32x4_extend_high_u16x8(half[i]));
    }
  }
  // A bit for each channel: whether it reaches its threshold.
  BNN_INLINE uint64_t reach(const int32_t* thresholds) const {
    alignas(16) int32_t sums[panel_channels];
    store(sums);
    uint64_t reached = 0;
    for (int i = 0; i < panel_channels; i += 4) {
      const v128_t mask = wasm_i32x4_ge(wasm_v128_load(sums + i), wasm_v128_load(thresholds + i));
      reached |= uint64_t(wasm_i32x4_bitmask(mask)) << i;
    }
    return reached;
  }
};

BNN_INLINE uint64_t word_at(const uint8_t* from) {
  uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

// The byte of a table for each lane; lanes are 0 to 15, for which the relaxed form is the same.
BNN_INLINE v128_t look_up(v128_t table, v128_t lanes) {
#ifdef __wasm_relaxed_simd__
  return wasm_i8x16_relaxed_swizzle(table, lanes);
#else
  return wasm_i8x16_swizzle(table, lanes);
#endif
}

BNN_INLINE v128_t look(const uint8_t* table, const uint8_t* weights) {
  return look_up(wasm_v128_load(table), wasm_v128_load(weights));
}

// Byte sums of two positions, taken apart: see unmix() in lut.hpp.
BNN_INLINE void unmix(v128_t a, v128_t b, v128_t& low, v128_t& high) {
  const auto times16 = [](v128_t v) BNN_LAMBDA_INLINE {
    return wasm_v128_and(wasm_i16x8_shl(v, 4), wasm_i8x16_splat(int8_t(0xf0)));
  };
  const v128_t odd = wasm_u16x8_shr(wasm_i8x16_sub(a, times16(b)), 8);
  high = wasm_i8x16_sub(b, times16(odd));
  low = wasm_i8x16_sub(a, times16(high));
}

// Sums of two patches with a panel.
BNN_INLINE void sum_pair(const Job& job, const uint8_t* weights, const uint8_t* one,
                         const uint8_t* other, Sum16* sums) {
  constexpr uint64_t low_nibbles = 0x0f0f0f0f0f0f0f0f;
  v128_t a[lut_vectors], b[lut_vectors];
  const auto clear = [&]() BNN_LAMBDA_INLINE {
    unroll<lut_vectors>([&](auto v) BNN_LAMBDA_INLINE { a[v] = b[v] = wasm_i64x2_const(0, 0); });
  };
  const auto flush = [&]() BNN_LAMBDA_INLINE {
    unroll<lut_vectors>([&](auto v) BNN_LAMBDA_INLINE {
      v128_t low, high;
      unmix(a[v], b[v], low, high);
      sums[0].add(v, low), sums[1].add(v, high);
    });
    clear();
  };
  sums[0].clear(), sums[1].clear();
  clear();
  int room = pair_words;
  for (int row = 0; row < job.rows; ++row)
    for (int group = 0; group < job.groups; ++group) {
      const size_t at = size_t(row) * job.row_stride + size_t(group) * 8;
      const uint64_t x = word_at(one + at), y = word_at(other + at);
      // Indices of the even nibbles and of the odd ones.
      const uint64_t indices[2] = {(x & low_nibbles) | (y & low_nibbles) << 4,
                                   (x >> 4 & low_nibbles) | (y & ~low_nibbles)};
      const auto table = [&](int i) BNN_LAMBDA_INLINE {
        return tables.pair[indices[i % 2] >> (i / 2 * 8) & 255];
      };
      // Three look-ups fit a nibble; then both halves are added up.
      unroll<6>([&](auto triple) BNN_LAMBDA_INLINE {
        constexpr int first = 3 * int(triple), count = first + 3 > word_lookups ? 1 : 3;
        unroll<lut_vectors>([&](auto v) BNN_LAMBDA_INLINE {
          v128_t s = look(table(first), weights + 64 * first + 16 * v);
          if constexpr (count == 3) {
            s = wasm_i8x16_add(s, look(table(first + 1), weights + 64 * (first + 1) + 16 * v));
            s = wasm_i8x16_add(s, look(table(first + 2), weights + 64 * (first + 2) + 16 * v));
          }
          a[v] = wasm_i8x16_add(a[v], s);
          b[v] = wasm_i8x16_add(b[v], wasm_u16x8_shr(s, 4));
        });
      });
      weights += 64 * word_lookups;
      if (--room == 0) flush(), room = pair_words;
    }
  flush();
}

// Sums of one patch with a panel; groups have a word for each plane of the codes.
template <int Planes>
BNN_INLINE void sum_alone(const Job& job, const uint8_t* weights, const uint8_t* patch,
                          Sum16& sums) {
  sums.clear();
  for (int row = 0; row < job.rows; ++row)
    for (int group = 0; group < job.groups; group += Planes) {
      const uint8_t* at = patch + size_t(row) * job.row_stride + size_t(group) * 8;
      const uint64_t x = word_at(at), y = Planes == 2 ? word_at(at + 8) : 0;
      v128_t s[lut_vectors];
      unroll<lut_vectors>([&](auto v) BNN_LAMBDA_INLINE { s[v] = wasm_i64x2_const(0, 0); });
      unroll<word_lookups>([&](auto i) BNN_LAMBDA_INLINE {
        v128_t table = wasm_v128_load(tables.alone[x >> (4 * i) & 15]);
        if constexpr (Planes == 2)
          table = wasm_i8x16_add(table, wasm_v128_load(tables.alone[y >> (4 * i) & 15]));
        unroll<lut_vectors>([&](auto v) BNN_LAMBDA_INLINE {
          const v128_t w = wasm_v128_load(weights + 64 * i + 16 * v);
          s[v] = wasm_i8x16_add(s[v], look_up(table, w));
        });
      });
      unroll<lut_vectors>([&](auto v) BNN_LAMBDA_INLINE { sums.add(v, s[v]); });
      weights += 64 * word_lookups;
    }
}

template <int Planes>
struct LutBits : BitWriter<Planes> {
  LutBits(const Job& job, int panel)
      : BitWriter<Planes>(job, panel),
        thresholds_(job.thresholds + size_t(panel) * Planes * panel_channels) {}
  BNN_INLINE void put(const Sum16& sums) {
    uint64_t planes[Planes];
    for (int plane = 0; plane < Planes; ++plane)
      planes[plane] = sums.reach(thresholds_ + plane * panel_channels);
    BitWriter<Planes>::put(planes);
  }

 private:
  const int32_t* thresholds_;
};

template <class Writer>
struct LutSums : Writer {
  using Writer::Writer;
  BNN_INLINE void put(const Sum16& wide) {
    alignas(16) int32_t sums[panel_channels];
    wide.store(sums);
    Writer::put(sums);
  }
};

template <int SourcePlanes, class Writer>
void run_lut_form(const Job& job) {
  const int64_t total = int64_t(job.positions) * job.images;
  const size_t panel_bytes =
      size_t(job.rows) * size_t(job.groups / SourcePlanes) * 64 * word_lookups;
  for (int panel = 0; panel < job.panels; ++panel) {
    const uint8_t* weights = job.weights + size_t(panel) * panel_bytes;
    Patches patches(job);
    Writer writer(job, panel);
    int64_t at = 0;
    Sum16 sums[2];
    for (; SourcePlanes == 1 && at + 2 <= total; at += 2) {
      const uint8_t* one = patches.next();
      sum_pair(job, weights, one, patches.next(), sums);
      writer.put(sums[0]), writer.put(sums[1]);
    }
    for (; at < total; ++at) {
      sum_alone<SourcePlanes>(job, weights, patches.next(), sums[0]);
      writer.put(sums[0]);
    }
  }
}

template <int SourcePlanes>
void run_lut_planes(const Job& job) {
  if (job.form == Form::words) return run_lut_form<SourcePlanes, LutSums<WordWriter>>(job);
  if (job.form == Form::bytes) return run_lut_form<SourcePlanes, LutSums<ByteWriter>>(job);
  if (job.levels == 1) return run_lut_form<SourcePlanes, LutBits<1>>(job);
  run_lut_form<SourcePlanes, LutBits<2>>(job);
}

// The engine for one plane of weights; another engine does two.
void run_lut(const Job& job, int source_planes, int) {
  source_planes == 1 ? run_lut_planes<1>(job) : run_lut_planes<2>(job);
}

}  // namespace
}  // namespace bnn
