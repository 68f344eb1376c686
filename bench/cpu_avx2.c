/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Makes this CPU look like one with AVX2 and no more, to one process: preload it (bench/isa.py
 * does), and every engine picks the kernels it would pick there, switch or no switch.
 *
 * The kernel (Linux, on Intel CPUs with CPUID faulting) lets CPUID raise SIGSEGV; the handler
 * answers with the CPU's own words, less the bits of AVX-512, AVX-VNNI and AMX. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { ARCH_SET_CPUID = 0x1012 };

static struct sigaction before;

static void cpuid_faults(int yes) { syscall(SYS_arch_prctl, ARCH_SET_CPUID, !yes); }

/* Registers of leaf 7 (of 13: what XCR0 may hold), less what an AVX2 CPU lacks. */
static void limit(uint32_t leaf, uint32_t subleaf, uint32_t r[4]) {
  if (leaf == 7 && subleaf == 0) {
    r[1] &= ~(bit_AVX512F | bit_AVX512DQ | bit_AVX512IFMA | bit_AVX512CD | bit_AVX512BW |
              bit_AVX512VL | 1u << 26 | 1u << 27);
    r[2] &= ~(bit_AVX512VBMI | bit_AVX512VBMI2 | bit_GFNI | bit_VAES | bit_VPCLMULQDQ |
              bit_AVX512VNNI | bit_AVX512BITALG | bit_AVX512VPOPCNTDQ);
    r[3] &= ~(bit_AVX5124VNNIW | bit_AVX5124FMAPS | bit_AVX512VP2INTERSECT | 1u << 22 | 1u << 23 |
              1u << 24 | 1u << 25);
  } else if (leaf == 7) { /* AVX-VNNI, bfloat16, float16 and others: all newer than AVX2 */
    r[0] = r[1] = r[2] = r[3] = 0;
  } else if (leaf == 13 && subleaf == 0) {
    r[0] &= 7; /* x87, SSE, AVX */
  } else if (leaf == 0x1d || leaf == 0x1e || leaf == 0x24) {
    r[0] = r[1] = r[2] = r[3] = 0;
  }
}

static void on_fault(int signal, siginfo_t* info, void* context) {
  greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
  const uint8_t* code = (const uint8_t*)registers[REG_RIP];
  if (info->si_code != SI_KERNEL || code[0] != 0x0f || code[1] != 0xa2) { /* a real one */
    sigaction(signal, &before, NULL);
    return;
  }
  uint32_t leaf = (uint32_t)registers[REG_RAX], subleaf = (uint32_t)registers[REG_RCX], r[4];
  cpuid_faults(0);
  __cpuid_count(leaf, subleaf, r[0], r[1], r[2], r[3]);
  cpuid_faults(1);
  limit(leaf, subleaf, r);
  registers[REG_RAX] = r[0], registers[REG_RBX] = r[1], registers[REG_RCX] = r[2],
  registers[REG_RDX] = r[3];
  registers[REG_RIP] += 2;
}

__attribute__((constructor)) static void start(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_fault;
  /* Not on an alternate stack: a library's own may be too small for the registers of AMX. */
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, &before);
  if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0) != 0) {
    fputs("this CPU or kernel cannot hide instructions (no CPUID faulting)\n", stderr);
    _exit(1);
  }
}
