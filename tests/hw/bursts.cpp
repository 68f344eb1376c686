// SPDX-License-Identifier: BSD-3-Clause
// Random AXI3 bursts to the registers, with pauses on every channel (test_buses.py builds it).
// Arguments: the first of five registers that follow each other and hold what is written, and the
// offsets of the identity and of its neighbour. Every burst is answered once, with its identifier
// and its number of beats; a beat that writes some of a register's bytes changes nothing, and its
// burst is an error.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "Vbursts.h"
#include "verilated.h"

namespace {

constexpr uint32_t kCount = 5;
std::mt19937 engine(5);
Vbursts* top = nullptr;
uint32_t busy = 50, first = 0;
uint32_t held[kCount] = {};

[[noreturn]] void fail(const char* text) {
  std::printf("%s\n", text);
  std::exit(1);
}
uint32_t draw(uint32_t below) { return uint32_t(engine() % below); }
bool pause() { return draw(100) < busy; }

struct Burst {
  uint32_t at, len, size, kind, id;
};
struct Beat {
  uint32_t value, strobes;
};

// Offset of a beat, from the rules of the bus (AXI3, A3.4.1).
uint32_t place(const Burst& burst, uint32_t beat) {
  const uint32_t bytes = 1u << burst.size, total = bytes * (burst.len + 1);
  const uint32_t aligned = burst.at / bytes * bytes;
  if (burst.kind == 0 || beat == 0) return burst.at;
  if (burst.kind == 1) return aligned + beat * bytes;
  const uint32_t low = burst.at / total * total;
  return low + (aligned - low + beat * bytes) % total;
}

uint32_t* known(uint32_t at) {
  const uint32_t number = (at - first) / 4;
  return at >= first && number < kCount ? &held[number] : nullptr;
}

void edge() {
  top->clk = 1;
  top->eval();
  top->clk = 0;
  top->eval();
}

// A write and a read, at the same time if both are there.
void run(const Burst* write, const std::vector<Beat>& beats, const Burst* read,
         std::vector<uint32_t>& values) {
  bool aw = write == nullptr, b = aw, ar = read == nullptr, r = ar;
  size_t sent = 0;
  bool error = false;
  for (const Beat& beat : beats) error |= beat.strobes != 0 && beat.strobes != 15;
  for (int n = 0; n < 4000 && !(b && r); ++n) {
    if (!aw && !top->s_awvalid && !pause()) {
      top->s_awvalid = 1, top->s_awaddr = write->at, top->s_awlen = write->len;
      top->s_awsize = write->size, top->s_awburst = write->kind, top->s_awid = write->id;
    }
    if (sent < beats.size() && !top->s_wvalid && !pause())
      top->s_wvalid = 1, top->s_wdata = beats[sent].value, top->s_wstrb = beats[sent].strobes;
    if (!ar && !top->s_arvalid && !pause()) {
      top->s_arvalid = 1, top->s_araddr = read->at, top->s_arlen = read->len;
      top->s_arsize = read->size, top->s_arburst = read->kind, top->s_arid = read->id;
    }
    top->s_bready = !pause(), top->s_rready = !pause();
    top->eval();
    const bool took_aw = top->s_awvalid && top->s_awready, took_w = top->s_wvalid && top->s_wready;
    const bool took_ar = top->s_arvalid && top->s_arready;
    if (top->s_bvalid && top->s_bready) {
      if (b || sent < beats.size()) fail("an answer to a write that has not come");
      if (top->s_bid != write->id) fail("an answer with another identifier");
      if (top->s_bresp != (error ? 2 : 0)) fail("an answer with a wrong state");
      b = true;
    }
    if (top->s_rvalid && top->s_rready) {
      if (r) fail("a beat that nobody has asked for");
      if (top->s_rid != read->id || top->s_rresp != 0) fail("a beat of another burst");
      values.push_back(top->s_rdata);
      r = values.size() == read->len + 1;
      if (top->s_rlast != r) fail("the last beat is another one");
    }
    const bool stays = top->s_rvalid && !top->s_rready, waits = top->s_bvalid && !top->s_bready;
    const uint32_t shown = top->s_rdata;
    edge();
    if (stays && (!top->s_rvalid || top->s_rdata != shown)) fail("a beat that waits changes");
    if (waits && !top->s_bvalid) fail("an answer that waits goes");
    if (took_aw) aw = true, top->s_awvalid = 0, top->s_awaddr = draw(256), top->s_awlen = draw(16);
    if (took_w) ++sent, top->s_wvalid = 0, top->s_wdata = engine(), top->s_wstrb = draw(16);
    if (took_ar) ar = true, top->s_arvalid = 0, top->s_araddr = draw(256), top->s_arlen = draw(16);
  }
  if (!b) fail("a write is not answered");
  if (!r) fail("a read is not answered");
  top->s_bready = top->s_rready = 1;
  for (int n = 0; n < 4; ++n) {
    if (top->s_bvalid || top->s_rvalid) fail("an answer to nothing");
    edge();
  }
}

Burst random_burst() {
  Burst burst{first + draw(4 * kCount), draw(16), draw(3), draw(3), draw(4096)};
  if (draw(2)) burst = {first + 8 * draw(kCount / 2), 1, 2, 1, draw(4096)};  // 64 bits
  if (burst.kind == 2) {  // a power of two of beats, from a multiple of a beat's bytes
    burst.len = (2u << draw(3)) - 1;
    burst.at = burst.at >> burst.size << burst.size;
  }
  if (burst.kind == 1) {  // within the window of 256 bytes
    const uint32_t most = (256 - burst.at) >> burst.size;
    if (burst.len >= most) burst.len = most - 1;
  }
  return burst;
}

}  // namespace

int main(int argc, char** argv) {
  Verilated::commandArgs(argc, argv);
  first = uint32_t(std::strtoul(argv[1], nullptr, 0));
  const uint32_t identity = uint32_t(std::strtoul(argv[2], nullptr, 0));
  const uint32_t expected = uint32_t(std::strtoul(argv[3], nullptr, 0));
  top = new Vbursts;
  top->rst = 1;
  top->s_awvalid = top->s_wvalid = top->s_arvalid = 0;
  for (int n = 0; n < 4; ++n) edge();
  top->rst = 0;
  std::vector<uint32_t> values;
  const Burst both{identity, 1, 2, 1, 77};
  run(nullptr, {}, &both, values);
  if (values != std::vector<uint32_t>{expected, 0x12345678}) fail("64 bits are not two registers");
  for (int round = 0; round < 20000; ++round) {
    if (round % 100 == 0) busy = draw(4) * 25;
    const Burst write = random_burst(), read = random_burst();
    std::vector<Beat> beats;
    // Only the five registers are written; a whole beat elsewhere would start the accelerator.
    for (uint32_t n = 0; n <= write.len; ++n) {
      const bool here = known(place(write, n) & ~3u) != nullptr;
      beats.push_back({uint32_t(engine()), draw(3) && here ? 15u : draw(8) ? 0u : draw(15)});
    }
    values.clear();
    run(&write, beats, nullptr, values);
    for (uint32_t n = 0; n <= write.len; ++n)
      if (beats[n].strobes == 15) *known(place(write, n) & ~3u) = beats[n].value;
    run(nullptr, {}, &read, values);
    for (uint32_t n = 0; n <= read.len; ++n) {
      const uint32_t* at = known(place(read, n) & ~3u);
      if (at && values[n] != *at) fail("a beat has not its register");
    }
    if (round % 4 == 0) {  // both at once: each is answered
      const Burst other{0xF8, draw(16), 2, 0, draw(4096)};
      values.clear();
      run(&other, std::vector<Beat>(other.len + 1, Beat{1, 15}), &both, values);
      if (values != std::vector<uint32_t>{expected, 0x12345678}) fail("a read beside a write");
    }
  }
  std::printf("ok\n");
  return 0;
}
