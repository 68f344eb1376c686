// SPDX-License-Identifier: BSD-3-Clause
// AMX: tiles of 16 x 64 bytes multiply codes by weights of 8 bits, whatever the precision. 1 024
// multiply-adds a cycle outrun even the counting of bits, so packed codes are spread to bytes.
//
// Patches are gathered side by side; two tiles of them meet two tiles of 16 channels at a time.
// With few patches most of a tile would be idle: then the AVX-512 engines do it.
#include <immintrin.h>

#include "gemm.hpp"
#include "kernels.hpp"

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace bnn {
namespace {

constexpr int tile_rows = 16, tile_bytes = 64;
constexpr int block = 2 * tile_rows;  // patches at a time
// More blocks at a time, while a strip of weights stays in the nearest cache; where all weights
// nearly do, the patches should, too.
constexpr int most_blocks = 4;
constexpr size_t few_weights = 80 << 10;
constexpr int strip = 32;             // channels at a time: half a panel
constexpr size_t step_bytes = size_t(tile_rows) * 2 * tile_bytes;  // weights of 64 codes for a strip

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

// A patch as bytes of codes.
template <int Planes>
struct FromBits {
  static size_t row_bytes(const Job& job) { return size_t(job.groups / Planes) * 64; }
  static BNN_INLINE void gather(const Job& job, const uint8_t* patch, uint8_t* to) {
    const __m512i one = _mm512_set1_epi8(1);
    const int rows = job.rows, groups = job.groups;
    for (int row = 0; row < rows; ++row, patch += job.row_stride)
      for (int group = 0; group < groups; group += Planes, to += 64) {
        uint64_t words[Planes];
        std::memcpy(words, patch + size_t(group) * 8, sizeof words);
        __m512i codes = _mm512_maskz_mov_epi8(words[0], one);
        if constexpr (Planes == 2) codes = _mm512_mask_add_epi8(codes, words[1], codes, one);
        _mm512_storeu_si512(to, codes);
      }
  }
};

struct FromBytes {
  static size_t row_bytes(const Job& job) { return size_t(job.groups) * 4; }
  static BNN_INLINE void gather(const Job& job, const uint8_t* patch, uint8_t* to) {
    const size_t bytes = row_bytes(job);
    for (int row = 0; row < job.rows; ++row, patch += job.row_stride, to += bytes)
      for (size_t at = 0; at < bytes; at += 64) {
        const __mmask64 some = bytes - at >= 64 ? ~uint64_t(0) : (uint64_t(1) << (bytes - at)) - 1;
        _mm512_mask_storeu_epi8(to + at, some, _mm512_maskz_loadu_epi8(some, patch + at));
      }
  }
};

// sums[patch][64] of one strip, for one or two tiles of patches.
template <bool Two>
BNN_INLINE void multiply(const uint8_t* patches, size_t length, const uint8_t* weights, int32_t* sums) {
  constexpr int stride = panel_channels * sizeof(int32_t);
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (Two) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (size_t at = 0; at < length; at += tile_bytes, weights += step_bytes) {
    _tile_loadd(6, weights, 2 * tile_bytes);
    _tile_loadd(7, weights + tile_bytes, 2 * tile_bytes);
    _tile_loadd(4, patches + at, int64_t(length));
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    if constexpr (Two) {
      _tile_loadd(5, patches + at + tile_rows * length, int64_t(length));
      _tile_dpbusd(2, 5, 6);
      _tile_dpbusd(3, 5, 7);
    }
  }
  _tile_stored(0, sums, stride);
  _tile_stored(1, sums + tile_rows, stride);
  if constexpr (Two) {
    _tile_stored(2, sums + tile_rows * panel_channels, stride);
    _tile_stored(3, sums + tile_rows * panel_channels + tile_rows, stride);
  }
}

template <int Planes>
struct Bits {
  BitWriter<Planes> writer;
  __m512i least[Planes][4];

  Bits(const Job& job, int panel, int64_t first) : writer(job, panel, first) {
    const int32_t* zero = job.zero + size_t(panel) * panel_channels;
    const int32_t* thresholds = job.thresholds + size_t(panel) * Planes * panel_channels;
    for (int plane = 0; plane < Planes; ++plane)
      for (int i = 0; i < 4; ++i)
        least[plane][i] = _mm512_sub_epi32(_mm512_loadu_si512(thresholds + plane * panel_channels + 16 * i),
                                           _mm512_loadu_si512(zero + 16 * i));
  }
  BNN_INLINE void put(const int32_t* sums) {
    uint64_t planes[Planes];
    unroll<Planes>([&](auto plane) BNN_LAMBDA_INLINE {
      uint64_t bits = 0;
      unroll<4>([&](auto i) BNN_LAMBDA_INLINE {
        const __m512i sum = _mm512_load_si512(sums + 16 * i);
        bits |= uint64_t(_mm512_cmpge_epi32_mask(sum, least[plane][i])) << (16 * i);
      });
      planes[plane] = bits;
    });
    writer.put(planes);
  }
};

template <class Writer>
struct Sums {
  Writer writer;
  const int32_t* zero;
  Sums(const Job& job, int panel, int64_t first)
      : writer(job, panel, first), zero(job.zero + size_t(panel) * panel_channels) {}
  BNN_INLINE void put(const int32_t* sums) {
    alignas(64) int32_t raw[panel_channels];
    for (int c = 0; c < panel_channels; ++c) raw[c] = sums[c] + zero[c];
    writer.put(raw);
  }
};

template <class From, class Put>
void run_tiles(const Job& job) {
  const Tiles tiles;
  const size_t used = From::row_bytes(job) * size_t(job.rows);
  const size_t length = (used + tile_bytes - 1) / tile_bytes * tile_bytes;
  const bool near = length * size_t(job.panels) * panel_channels <= few_weights;
  const int most = near ? block : most_blocks * block;
  auto* sums = reinterpret_cast<int32_t*>(job.scratch);
  uint8_t* gathered = job.scratch + size_t(most) * panel_channels * sizeof(int32_t);
  for (int p = 0; p < most; ++p) std::memset(gathered + size_t(p) * length + used, 0, length - used);
  const int whole = most / job.pool * job.pool;  // patches that make whole windows of the pool
  const int64_t total = int64_t(job.positions) * job.images;
  Patches patches(job);
  for (int64_t first = 0; first < total; first += whole) {
    const int count = int(std::min<int64_t>(whole, total - first));
    for (int p = 0; p < count; ++p) From::gather(job, patches.next(), gathered + size_t(p) * length);
    const uint8_t* weights = job.weights;
    for (int panel = 0; panel < job.panels; ++panel) {
      for (int half = 0; half < panel_channels; half += strip, weights += used / 4 * 2 * tile_bytes)
        for (int p = 0; p < count; p += block) {
          int32_t* to = sums + p * panel_channels + half;
          const uint8_t* from = gathered + size_t(p) * length;
          count - p > tile_rows ? multiply<true>(from, length, weights, to) : multiply<false>(from, length, weights, to);
        }
      Put put(job, panel, first / job.pool);
      for (int p = 0; p < count; ++p) put.put(sums + p * panel_channels);
    }
  }
}

template <class From>
void run_form(const Job& job) {
  if (job.form == Form::words) return run_tiles<From, Sums<WordWriter>>(job);
  if (job.form == Form::bytes) return run_tiles<From, Sums<ByteWriter>>(job);
  if (job.levels == 1) return run_tiles<From, Bits<1>>(job);
  run_tiles<From, Bits<2>>(job);
}

constexpr BitEngine bits{{tile_rows, 2}, BitLayout::bytes, no_limit,
                         [](const Job& job, int planes, int) {
                           planes == 1 ? run_form<FromBits<1>>(job) : run_form<FromBits<2>>(job);
                         }};
constexpr ByteEngine bytes{{tile_rows, 2}, 1, 4, tile_bytes, false, true, [](const Range&) { return no_limit; },
                           [](const Job& job, int) { run_form<FromBytes>(job); }};

bool available() {
#ifdef __linux__
  constexpr int request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM
  return avx512_kernels().available() && __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-int8") &&
         syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}

}  // namespace

Kernels amx_kernels() {
  const Kernels base = avx512_kernels();
  return {"amx", "AMX tiles of 8-bit integers, and AVX-512", available, {&bits, base.bits[0]},
          {&bytes, base.bytes[0], base.bytes[1]}, nullptr, 8, base.bits[0], base.bytes[0]};
}

}  // namespace bnn
