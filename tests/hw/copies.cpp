// SPDX-License-Identifier: BSD-3-Clause
// bnn_reader feeds bnn_writer: images are copied from one place of a memory to another
// (test_buses.py builds it). The memory may take any number of bursts before it answers one, holds
// write responses for as long as it likes, and says at random that a beat or a burst was an error.
// Argument: words of an image. Every cycle is compared with what AXI4 and the headers of the two
// modules promise.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <random>
#include <vector>

#include "Vcopies.h"
#include "verilated.h"

namespace {

constexpr uint64_t kLine = 4096;
constexpr int kMost = 15;  // bursts that the writer leaves without an answer

std::mt19937_64 engine(5);
Vcopies* top = nullptr;
uint64_t words_of_an_image = 1;

[[noreturn]] void fail(const char* text) {
  std::printf("%s\n", text);
  std::exit(1);
}
uint64_t draw(uint64_t below) { return engine() % below; }

struct Burst {
  uint64_t address, beats, ready_at;
};
struct Answer {
  uint64_t ready_at;
  uint32_t resp;
};

struct Memory {
  uint64_t now = 0, stall = 0, read_latency = 0, write_latency = 0, errors = 0;  // per cent
  bool hold = false;  // no write is answered
  std::deque<Burst> reads, writes;
  std::deque<Answer> answers;
  uint64_t source = 0, target = 0, wanted = 0;            // of the copy; words of it
  uint64_t asked = 0, placed = 0, read = 0, written = 0;  // words
  uint64_t finished = 0, finished_at = 0, last_answer = 0;
  std::vector<uint64_t> data;
  bool r_error = false, w_error = false, image_done = false;  // what must show after the edge

  bool luck() const { return stall == 0 || draw(100) >= stall; }
  uint32_t resp() const { return draw(100) < errors ? 2 + uint32_t(draw(2)) : uint32_t(draw(2)); }

  void check(uint64_t address, uint64_t beats, uint64_t expected, uint64_t done) {
    if (address != expected + 8 * done) fail("a burst is not where the last one ended");
    if (address / kLine != (address + 8 * beats - 1) / kLine) fail("a burst crosses 4 KiB");
    if (beats > 16) fail("a burst is longer than 16 beats");
    if (done % words_of_an_image + beats > words_of_an_image)
      fail("a burst crosses an image's end");
    if (done + beats > wanted) fail("more is asked for than the images");
  }

  // What happens at the coming edge.
  void observe() {
    r_error = top->rvalid && top->rresp > 1;
    w_error = top->bvalid && top->bresp > 1;
    image_done = false;
    if (top->arvalid && top->arready) {
      check(top->araddr, top->arlen + 1, source, asked);
      asked += top->arlen + 1;
      reads.push_back({top->araddr, top->arlen + 1u, now + 1 + read_latency});
    }
    if (top->awvalid && top->awready) {
      check(top->awaddr, top->awlen + 1, target, placed);
      placed += top->awlen + 1;
      writes.push_back({top->awaddr, top->awlen + 1u, 0});
      if (writes.size() + answers.size() > kMost)
        fail("more bursts without an answer than it counts");
    }
    if (!top->rready || !top->bready) fail("an answer is not taken");
    if (top->rvalid) {
      read++;
      if (--reads.front().beats == 0) reads.pop_front();
    }
    if (top->bvalid) {
      answers.pop_front();
      last_answer = now;
    }
    if (top->wvalid && top->wready) {
      if (writes.empty()) fail("write data without an address");
      if (top->wdata != data[written]) fail("another word is written");
      if (bool(top->wlast) != (--writes.front().beats == 0)) fail("WLAST is not at the last beat");
      image_done = ++written % words_of_an_image == 0;
      if (top->wlast) writes.pop_front(), answers.push_back({now + 1 + write_latency, resp()});
    }
  }

  // What the memory shows until the next edge; garbage where nothing is valid. A response that is
  // offered is taken at once, so it never has to wait.
  void drive() {
    top->arready = luck();
    top->awready = luck();
    top->wready = luck();
    top->rvalid = !reads.empty() && reads.front().ready_at <= now && luck();
    top->rdata = top->rvalid ? data[read] : engine();
    top->rresp = top->rvalid ? resp() : uint32_t(draw(4));
    top->bvalid = !hold && !answers.empty() && answers.front().ready_at <= now && luck();
    top->bresp = top->bvalid ? answers.front().resp : uint32_t(draw(4));
  }
};

Memory memory;

void cycle() {
  memory.now++;
  memory.drive();
  if (top->rst) top->rvalid = draw(2), top->bvalid = draw(2);  // of what was asked for before
  top->clk = 0;
  top->eval();
  const bool ar = top->arvalid && !top->arready, aw = top->awvalid && !top->awready;
  const bool w = top->wvalid && !top->wready;
  const uint64_t araddr = top->araddr, awaddr = top->awaddr, wdata = top->wdata;
  const uint32_t arlen = top->arlen, awlen = top->awlen, wlast = top->wlast;
  if (!top->rst) memory.observe();
  top->clk = 1;
  top->eval();
  if (top->rst) return;
  if (ar && !(top->arvalid && top->araddr == araddr && top->arlen == arlen))
    fail("a read that waits changes");
  if (aw && !(top->awvalid && top->awaddr == awaddr && top->awlen == awlen))
    fail("a write that waits changes");
  if (w && !(top->wvalid && top->wdata == wdata && top->wlast == wlast))
    fail("data that waits changes");
  if (bool(top->r_error) != memory.r_error)
    fail("an error of a read is not told, or told of nothing");
  if (bool(top->w_error) != memory.w_error)
    fail("an error of a write is not told, or told of nothing");
  if (bool(top->image_done) != memory.image_done)
    fail("image_done is not after an image's last beat");
  if (top->finished) {
    memory.finished++, memory.finished_at = memory.now;
    if (memory.written != memory.wanted) fail("finished before the last beat");
    if (!memory.writes.empty() || !memory.answers.empty())
      fail("finished before the last response");
  }
}

void reset() {
  top->rst = 1;
  top->start = draw(2);
  memory.reads.clear(), memory.writes.clear(), memory.answers.clear();
  for (uint64_t n = 2 + draw(3); n > 0; --n) cycle();
  if (top->arvalid || top->awvalid || top->wvalid || top->finished)
    fail("something is valid in reset");
  top->start = 0;
  top->rst = 0;
  cycle();
}

uint64_t place() {  // near a line, sometimes with a carry through many bits
  static const uint64_t bits[] = {13, 20, 32, 33, 48, 63};
  const uint64_t line = (uint64_t(1) << bits[draw(6)]) * (1 + draw(2)) + kLine * draw(3);
  return line - 8 * draw(60);
}

void begin(uint64_t images) {
  memory.source = place(), memory.target = place(), memory.wanted = images * words_of_an_image;
  memory.asked = memory.placed = memory.read = memory.written = memory.finished = 0;
  memory.data.resize(memory.wanted);
  for (auto& each : memory.data) each = engine();
  top->source = memory.source, top->target = memory.target, top->images = uint32_t(images);
  top->start = 1;
  cycle();
  top->start = 0;  // what stands there otherwise is nothing
  top->source = engine(), top->target = engine(), top->images = uint32_t(engine());
}

// The cycles until the copy is finished.
uint64_t end() {
  const uint64_t from = memory.now;
  while (!memory.finished) {
    cycle();
    if (memory.now - from > 200000) fail("a copy does not end");
  }
  const uint64_t took = memory.now - from;
  if (memory.finished_at - memory.last_answer > 4) fail("it finishes long after the last response");
  if (memory.asked != memory.wanted || memory.read != memory.wanted) fail("not all was read");
  for (int n = 0; n < 40; ++n) cycle();
  if (memory.finished != 1) fail("it finishes more than once");
  return took;
}

}  // namespace

int main(int argc, char** argv) {
  Verilated::commandArgs(argc, argv);
  words_of_an_image = std::strtoull(argv[1], nullptr, 0);
  top = new Vcopies;
  top->start = 0;
  reset();
  for (int round = 0; round < 250; ++round) {
    memory.stall = draw(3) * 40;
    memory.read_latency = draw(4) * 15;
    memory.write_latency = draw(4) * 40;
    memory.errors = draw(2) * 20;
    begin(1 + draw(1 + 300 / words_of_an_image));
    if (draw(4) == 0) {  // a reset at any moment; afterwards nothing is left
      for (uint64_t n = draw(300); n > 0; --n) cycle();
      reset();
    } else {
      end();
    }
  }
  // No write is answered: it waits, however long, and counts what it has asked for.
  memory.stall = memory.errors = memory.read_latency = memory.write_latency = 0;
  for (uint64_t images : {uint64_t(1), 2 + 40 * 16 / words_of_an_image}) {
    memory.hold = true;
    begin(images);
    for (int n = 0; n < 3000; ++n) cycle();
    const uint64_t bursts = memory.writes.size() + memory.answers.size();
    if (memory.written != memory.wanted && bursts != kMost)
      fail("it asks for fewer bursts than it counts");
    memory.hold = false;
    end();
  }
  // A far memory does not hold it up: bursts are on their way while others wait for their answer.
  if (words_of_an_image >= 32) {
    memory.write_latency = 200;
    begin(4000 / words_of_an_image);
    if (end() > 1.5 * double(memory.wanted) + 400) fail("a far memory holds it up");
  }
  std::printf("ok\n");
  return 0;
}
