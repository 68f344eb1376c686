// SPDX-License-Identifier: BSD-3-Clause
// The most multiply-adds per second that one core of this machine can do, of the kind that each
// kernel set makes: the instructions alone (as assembly: no compiler flags), on registers, nothing
// loaded or stored. Built and run by limit.py; each line is a name and multiply-adds per second.
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>

namespace {

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

constexpr int rounds = 200, repeats = 20000;

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

double vnni() {
  BNN_BEST(8 * 64, asm volatile(
      BNN_PRODUCT("zmm0") BNN_PRODUCT("zmm1") BNN_PRODUCT("zmm2") BNN_PRODUCT("zmm3")
      BNN_PRODUCT("zmm4") BNN_PRODUCT("zmm5") BNN_PRODUCT("zmm6") BNN_PRODUCT("zmm7")
      ::: BNN_SUMS));
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

bool may_use_tiles() {
  constexpr int request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM
  return __builtin_cpu_supports("amx-int8") &&
         syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

}  // namespace

int main() {
  if (may_use_tiles()) std::printf("amx %g\n", amx());
  if (__builtin_cpu_supports("avx512vpopcntdq")) std::printf("avx512 %g\n", count_bits());
  if (__builtin_cpu_supports("avx512vnni")) std::printf("vnni %g\n", vnni());
  if (__builtin_cpu_supports("avx2")) std::printf("avx2 %g\n", look_up());
}
