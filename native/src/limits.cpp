// SPDX-License-Identifier: BSD-3-Clause
// The instructions alone (as assembly: no compiler flags), on registers, nothing loaded or stored.
#include "bnn/limits.hpp"

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "engine.hpp"

namespace bnn {
namespace {

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

#if defined(__x86_64__)
constexpr int rounds = 40, repeats = 20000;

// The best round: `work` is what one repeat does, `products` how many multiply-adds that is.
#define BNN_BEST(products, work)                  \
  double best = 1e9;                              \
  for (int round = 0; round < rounds; ++round) {  \
    const double start = cpu_seconds();           \
    for (int i = 0; i < repeats; ++i) work;       \
    best = std::min(best, cpu_seconds() - start); \
  }                                               \
  return double(products) * repeats / best

// Tiles of 16 x 64 bytes.
double amx() {
  alignas(64) struct {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  asm volatile("ldtilecfg %0" ::"m"(config));
  BNN_BEST(4 * 16 * 16 * 64,
           asm volatile("tdpbusd %tmm6,%tmm4,%tmm0\n tdpbusd %tmm7,%tmm4,%tmm1\n"
                        "tdpbusd %tmm6,%tmm5,%tmm2\n tdpbusd %tmm7,%tmm5,%tmm3\n"));
}

// clang-format off: it would break each instruction's text.

// Registers that the loops below write.
#define BNN_SUMS "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7"

// Unlike bits of 512, counted in words and added: three instructions on eight sums.
#define BNN_COUNT(sum, x) \
  "vpxorq %%zmm16,%%zmm17,%%" x "\n vpopcntq %%" x ",%%" x "\n" \
  "vpaddq %%" x ",%%" sum ",%%" sum "\n"

double count_bits() {
  BNN_BEST(8 * 512, asm volatile(
      BNN_COUNT("zmm0", "zmm18") BNN_COUNT("zmm1", "zmm19")
      BNN_COUNT("zmm2", "zmm20") BNN_COUNT("zmm3", "zmm21")
      BNN_COUNT("zmm4", "zmm22") BNN_COUNT("zmm5", "zmm23")
      BNN_COUNT("zmm6", "zmm24") BNN_COUNT("zmm7", "zmm25")
      ::: BNN_SUMS));
}

// Products of 64 bytes, added in 32 bits.
#define BNN_PRODUCT(sum) "vpdpbusd %%zmm16,%%zmm17,%%" sum "\n"

// On twelve sums: fewer would wait for each other.
double vnni() {
  BNN_BEST(12 * 64, asm volatile(
      BNN_PRODUCT("zmm0") BNN_PRODUCT("zmm1") BNN_PRODUCT("zmm2") BNN_PRODUCT("zmm3")
      BNN_PRODUCT("zmm4") BNN_PRODUCT("zmm5") BNN_PRODUCT("zmm6") BNN_PRODUCT("zmm7")
      BNN_PRODUCT("zmm8") BNN_PRODUCT("zmm9") BNN_PRODUCT("zmm10") BNN_PRODUCT("zmm11")
      ::: BNN_SUMS, "xmm8", "xmm9", "xmm10", "xmm11"));
}

// Look-ups of two images' sums of four bits, three of them added before they are taken apart.
#define BNN_LOOK_UP(a, b, s, t) \
  "vpshufb %%ymm12,%%ymm13,%%" s "\n vpshufb %%ymm12,%%ymm14,%%" t "\n" \
  "vpaddb %%" s ",%%" t ",%%" s "\n vpshufb %%ymm12,%%ymm15,%%" t "\n" \
  "vpaddb %%" s ",%%" t ",%%" s "\n vpaddb %%" s ",%%" a ",%%" a "\n" \
  "vpsrlw $4,%%" s ",%%" s "\n vpaddb %%" s ",%%" b ",%%" b "\n"

double look_up() {
  BNN_BEST(4 * 3 * 32 * 4 * 2, asm volatile(
      BNN_LOOK_UP("ymm0", "ymm1", "ymm8", "ymm9") BNN_LOOK_UP("ymm2", "ymm3", "ymm10", "ymm11")
      BNN_LOOK_UP("ymm4", "ymm5", "ymm8", "ymm9") BNN_LOOK_UP("ymm6", "ymm7", "ymm10", "ymm11")
      ::: BNN_SUMS, "xmm8", "xmm9", "xmm10", "xmm11"));
}

// clang-format on

#undef BNN_BEST
#undef BNN_SUMS
#undef BNN_COUNT
#undef BNN_PRODUCT
#undef BNN_LOOK_UP
#endif

}  // namespace

std::vector<Limit> limits() {
  std::vector<Limit> found;
#if defined(__x86_64__)
  for (const KernelSet& set : kernel_sets()) {
    const std::string_view name = set.name;
    if (!set.available()) continue;
    if (name == "amx") found.push_back({"amx", "AMX tdpbusd, 8-bit products", amx()});
    if (name == "avx512") {
      found.push_back({"avx512", "AVX-512 vpxorq, vpopcntq, vpaddq: bits", count_bits()});
      found.push_back({"vnni", "AVX-512 vpdpbusd, 8-bit products", vnni()});
    }
    if (name == "avx2")
      found.push_back({"avx2", "AVX2 vpshufb, vpaddb: look-ups of bits", look_up()});
  }
#endif
  return found;
}

double memory_bandwidth() {
  constexpr size_t words = (64 << 20) / sizeof(uint64_t);
  const std::vector<uint64_t> memory(words, 1);
  double best = 1e9;
  volatile uint64_t kept = 0;
  for (int round = 0; round < 5; ++round) {
    const double start = cpu_seconds();
    uint64_t sums[8] = {};
    for (size_t i = 0; i < words; i += 8)
      for (size_t lane = 0; lane < 8; ++lane) sums[lane] += memory[i + lane];
    for (uint64_t sum : sums) kept = kept + sum;
    best = std::min(best, cpu_seconds() - start);
  }
  return double(words * sizeof(uint64_t)) / best;
}

}  // namespace bnn
