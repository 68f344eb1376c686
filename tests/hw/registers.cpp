// SPDX-License-Identifier: BSD-3-Clause
// bnn_control between an AXI4-Lite master that keeps several accesses on their way, with random
// pauses on every channel (test_buses.py builds it). Arguments: offsets of plain registers, one for
// each, and OFFSET:VALUE of the others, with what they read after a reset.
// A response that waits stays; every access is answered, once, in order; a reset drops all of it.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "Vbnn_control.h"
#include "verilated.h"

namespace {

using Access = std::pair<uint32_t, uint32_t>;  // offset, value

std::mt19937 engine(11);
Vbnn_control* top = nullptr;
int busy = 50;  // per cent of cycles in which a channel pauses

[[noreturn]] void fail(const char* text) {
  std::printf("%s\n", text);
  std::exit(1);
}
uint32_t draw(uint32_t below) { return uint32_t(engine() % below); }
bool pause() { return int(draw(100)) < busy; }

std::deque<uint32_t> addresses, values, asks;  // not yet taken
std::vector<uint32_t> answers;
int written = 0;

// One cycle: what is offered stays until it is taken; what comes back is counted.
void cycle() {
  if (!top->s_axi_awvalid && !addresses.empty() && !pause())
    top->s_axi_awvalid = 1, top->s_axi_awaddr = addresses.front();
  if (!top->s_axi_wvalid && !values.empty() && !pause())
    top->s_axi_wvalid = 1, top->s_axi_wdata = values.front();
  if (!top->s_axi_arvalid && !asks.empty() && !pause())
    top->s_axi_arvalid = 1, top->s_axi_araddr = asks.front();
  top->s_axi_bready = !pause();
  top->s_axi_rready = !pause();
  top->clk = 0;
  top->eval();
  const bool aw = top->s_axi_awvalid && top->s_axi_awready,
             w = top->s_axi_wvalid && top->s_axi_wready;
  const bool ar = top->s_axi_arvalid && top->s_axi_arready;
  const bool b = top->s_axi_bvalid && top->s_axi_bready, r = top->s_axi_rvalid && top->s_axi_rready;
  const bool b_waits = top->s_axi_bvalid && !b, r_waits = top->s_axi_rvalid && !r;
  const uint32_t shown = top->s_axi_rdata;
  if (top->s_axi_bvalid && top->s_axi_bresp != 0) fail("a write is refused");
  if (top->s_axi_rvalid && top->s_axi_rresp != 0) fail("a read is refused");
  if (r) answers.push_back(shown);
  written += b;
  top->clk = 1;
  top->eval();
  if (!top->rst && b_waits && !top->s_axi_bvalid) fail("bvalid fell before bready");
  if (!top->rst && r_waits && (!top->s_axi_rvalid || top->s_axi_rdata != shown))
    fail("a read that waited has changed");
  // Garbage where nothing is offered.
  if (aw) addresses.pop_front(), top->s_axi_awvalid = 0, top->s_axi_awaddr = draw(256);
  if (w) values.pop_front(), top->s_axi_wvalid = 0, top->s_axi_wdata = uint32_t(engine());
  if (ar) asks.pop_front(), top->s_axi_arvalid = 0, top->s_axi_araddr = draw(256);
}

void write(const std::vector<Access>& all) {
  for (const auto& [at, value] : all) addresses.push_back(at), values.push_back(value);
}

// Until so many writes and reads have been answered; and not one more.
void settle(int writes, size_t reads) {
  for (int n = 0; n < 4000 && (written < writes || answers.size() < reads); ++n) cycle();
  if (written < writes) fail("a write is not answered");
  if (answers.size() < reads) fail("a read is not answered");
  for (int n = 0; n < 8; ++n) cycle();
  if (written > writes || answers.size() > reads) fail("an answer to nothing");
  written = 0;
}

std::vector<uint32_t> read(const std::vector<uint32_t>& from) {
  asks.insert(asks.end(), from.begin(), from.end());
  settle(0, from.size());
  return std::exchange(answers, {});
}

void reset() {
  top->rst = 1;
  top->s_axi_awvalid = top->s_axi_wvalid = top->s_axi_arvalid = 0;
  addresses.clear(), values.clear(), asks.clear(), answers.clear();
  for (int n = 0; n < 3; ++n) cycle();
  written = 0, answers.clear();
  if (top->s_axi_bvalid || top->s_axi_rvalid) fail("an answer in reset");
  top->rst = 0;
}

}  // namespace

int main(int argc, char** argv) {
  Verilated::commandArgs(argc, argv);
  std::vector<uint32_t> plain, others, fresh;
  for (int i = 1; i < argc; ++i) {
    if (argv[i][0] == '+') continue;
    char* end = nullptr;
    const uint32_t offset = uint32_t(std::strtoul(argv[i], &end, 0));
    (*end == ':' ? others : plain).push_back(offset);
    if (*end == ':') fresh.push_back(uint32_t(std::strtoul(end + 1, nullptr, 0)));
  }
  top = new Vbnn_control;
  top->finished = top->image_done = top->bus_error = 0, top->probe_value = 0;
  std::vector<uint32_t> held(plain.size());
  for (int round = 0; round < 3000; ++round) {
    if (round % 300 == 0) {
      busy = int(draw(4)) * 25;
      if (round > 0) write({{plain[0], 7}, {plain[1], 8}});
      if (round > 0)  // the last of them may be on their way when the reset comes
        for (size_t n = others.size(); n-- > 0;) write({{others[n], uint32_t(engine())}});
      for (int n = 0; n < 400 && values.size() > 2; ++n) cycle();
      for (uint32_t n = draw(9); n > 0; --n) cycle();
      reset();
      held.assign(plain.size(), 0);
      if (read(plain) != held) fail("a register is not 0 after a reset");
      if (read(others) != fresh) fail("a register is not as after power-on");
      if (top->irq || top->start || top->p_valid) fail("something runs after a reset");
      if (top->p_unit || top->p_thresholds || top->p_item || top->p_index)
        fail("a parameter's place is left");
    }
    std::vector<Access> accesses;
    for (uint32_t n = 1 + draw(4); n > 0; --n) {
      const uint32_t which = draw(uint32_t(plain.size()));
      held[which] = uint32_t(engine());
      accesses.push_back({plain[which], held[which]});
      if (draw(4) == 0) accesses.push_back({0xF8, uint32_t(engine())});  // nobody lives there
    }
    write(accesses);
    settle(int(accesses.size()), 0);
    if (read(plain) != held) fail("a register is not what was written last");
    if (read({0xF8})[0] != 0) fail("an unknown offset does not read 0");
  }
  std::printf("ok\n");
  return 0;
}
