// SPDX-License-Identifier: BSD-3-Clause
// A board around the simulated accelerator: clock, reset, a bus master for the registers, and a
// memory for the AXI4 master, with latency and random back-pressure. Driven from Python by ctypes.
//
// AXI protocol rules that the design could break are checked at every cycle: a waiting
// valid must not fall and its payload must not change, bursts must stay within 4 KiB and within
// the memory, WLAST must mark a burst's last beat, and the interrupt comes after the last write
// response. The first violation is kept as text.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "Vbnn_top.h"
#include "verilated.h"
#if VM_TRACE_FST
#include "verilated_fst_c.h"
using Trace = VerilatedFstC;
#elif VM_TRACE_VCD
#include "verilated_vcd_c.h"
using Trace = VerilatedVcdC;
#endif

namespace {

constexpr uint64_t kLine = 4096;

struct Burst {
    uint64_t address;
    uint32_t beats;
    uint64_t ready_at;  // cycle of the first beat
};

struct Response {
    uint64_t ready_at;
    bool error;
};

struct Held {  // a channel's last cycle, to see whether a waiting payload stays
    bool waiting = false;
    uint64_t payload = 0, more = 0;
};

class Board {
   public:
    Board(uint64_t base, uint64_t size, uint32_t latency, uint32_t stall, uint64_t seed)
        : base_(base), words_(size / 8),
          memory_(static_cast<uint64_t*>(std::calloc(size / 8, 8)), std::free),
          latency_(latency), stall_(stall), random_(seed * 2 + 1) {
        context_.reset(new VerilatedContext);
        context_->traceEverOn(true);
        top_.reset(new Vbnn_top(context_.get()));
        reset();
    }

    ~Board() {
#if VM_TRACE
        if (trace_) trace_->close();
#endif
        top_->final();
    }

    void reset() {
        top_->aresetn = 0;
        reads_.clear();
        writes_.clear();
        responses_.clear();
        held_ar_ = held_aw_ = held_w_ = {};
        read_held_ = response_held_ = false;
        for (int n = 0; n < 4; n++) cycle();
        top_->aresetn = 1;
        for (int n = 0; n < 2; n++) cycle();
    }

    void write(uint32_t address, uint32_t value) {
        top_->s_axi_awaddr = address;
        top_->s_axi_awvalid = 1;
        top_->s_axi_wdata = value;
        top_->s_axi_wstrb = 15;
        top_->s_axi_wvalid = 1;
        top_->s_axi_bready = 1;
        for (int n = 0; n < 1000; n++) {
            settle();
            const bool aw = top_->s_axi_awready, w = top_->s_axi_wready, b = top_->s_axi_bvalid;
            cycle();
            if (aw) top_->s_axi_awvalid = 0;
            if (w) top_->s_axi_wvalid = 0;
            if (b) break;
        }
        top_->s_axi_bready = 0;
    }

    uint32_t read(uint32_t address) {
        top_->s_axi_araddr = address;
        top_->s_axi_arvalid = 1;
        top_->s_axi_rready = 1;
        uint32_t value = 0xDEADBEEF;
        for (int n = 0; n < 1000; n++) {
            settle();
            const bool ar = top_->s_axi_arready, r = top_->s_axi_rvalid;
            value = top_->s_axi_rdata;
            cycle();
            if (ar) top_->s_axi_arvalid = 0;
            if (r) break;
        }
        top_->s_axi_rready = 0;
        return value;
    }

    // Runs until the interrupt or `limit` cycles; whether the interrupt came.
    bool wait(uint64_t limit) {
        for (uint64_t n = 0; n < limit; n++) {
            const bool before = top_->irq;
            cycle();
            if (top_->irq && !before && !(writes_.empty() && responses_.empty()))
                fail("the interrupt comes before the last write response");
            if (top_->irq) return true;
            if (!violation_.empty()) return false;
        }
        return false;
    }

    bool trace(const char* path) {
#if VM_TRACE
        trace_.reset(new Trace);
        top_->trace(trace_.get(), 99);
        trace_->open(path);
        return trace_->isOpen();
#else
        (void)path;
        return false;
#endif
    }

    // Waveforms of the streams between the blocks alone, and of nothing else; null ends them.
    bool watch(const char* path) {
#if VM_TRACE
        if (trace_) trace_->close();
        trace_.reset();
        if (!path) return true;
        trace_.reset(new Trace);
        top_->trace(trace_.get(), 99);
        trace_->dumpvars(1, "TOP.bnn_top.core");
        trace_->open(path);
        return trace_->isOpen();
#else
        return !path;
#endif
    }

    uint8_t* memory() { return reinterpret_cast<uint8_t*>(memory_.get()); }
    uint64_t cycles() const { return cycles_; }
    const char* violation() const { return violation_.c_str(); }

   private:
    uint32_t random() {
        random_ ^= random_ << 13;
        random_ ^= random_ >> 7;
        random_ ^= random_ << 17;
        return uint32_t(random_ >> 11);
    }
    bool luck() { return stall_ == 0 || random() % 100 >= stall_; }

    void fail(const char* text) {
        if (violation_.empty()) violation_ = text;
    }

    bool inside(uint64_t address, uint64_t bytes) const {
        return address >= base_ && bytes <= words_ * 8 &&
               address - base_ <= words_ * 8 - bytes;
    }

    void settle() { top_->eval(); }

    void hold(Held& held, bool valid, bool ready, uint64_t payload, uint64_t more,
              const char* text) {
        if (held.waiting && (!valid || payload != held.payload || more != held.more)) fail(text);
        held = {valid && !ready, payload, more};
    }

    // One clock cycle: memory signals were set at the end of the last one.
    void cycle() {
        top_->eval();
        const bool running = top_->aresetn;
        if (running) observe();
        top_->aclk = 1;
        top_->eval();
        dump(1);
        top_->aclk = 0;
        cycles_++;
        drive();
        top_->eval();
        dump(0);
    }

    void dump(int half) {
#if VM_TRACE
        if (trace_) trace_->dump(cycles_ * 2 - (half == 0 ? 1 : 0));
#else
        (void)half;
#endif
    }

    // What happens at the coming edge, from the signals before it.
    void observe() {
        hold(held_ar_, top_->m_axi_arvalid, top_->m_axi_arready, top_->m_axi_araddr,
             top_->m_axi_arlen, "read address changed while it waited");
        hold(held_aw_, top_->m_axi_awvalid, top_->m_axi_awready, top_->m_axi_awaddr,
             top_->m_axi_awlen, "write address changed while it waited");
        hold(held_w_, top_->m_axi_wvalid, top_->m_axi_wready, top_->m_axi_wdata,
             top_->m_axi_wlast, "write data changed while it waited");
        if (top_->m_axi_arvalid && top_->m_axi_arready) {
            const uint32_t beats = top_->m_axi_arlen + 1u;
            check(top_->m_axi_araddr, beats);
            reads_.push_back({top_->m_axi_araddr, beats, cycles_ + 1 + latency_});
        }
        if (top_->m_axi_rvalid && top_->m_axi_rready) {
            Burst& burst = reads_.front();
            burst.address += 8;
            if (--burst.beats == 0) reads_.pop_front();
            read_held_ = false;
        }
        if (top_->m_axi_awvalid && top_->m_axi_awready) {
            const uint32_t beats = top_->m_axi_awlen + 1u;
            check(top_->m_axi_awaddr, beats);
            writes_.push_back({top_->m_axi_awaddr, beats, 0});
        }
        if (top_->m_axi_wvalid && top_->m_axi_wready) store();
        if (top_->m_axi_bvalid && top_->m_axi_bready) {
            responses_.pop_front();
            response_held_ = false;
        }
    }

    void check(uint64_t address, uint32_t beats) {
        if (address % 8) fail("a burst is not aligned");
        if (address / kLine != (address + 8 * beats - 1) / kLine) fail("a burst crosses 4 KiB");
        if (beats > 16) fail("a burst is longer than 16 beats");
    }

    void store() {
        if (writes_.empty()) return fail("write data without an address");
        Burst& burst = writes_.front();
        const bool good = inside(burst.address, 8);
        if (good) memory_[(burst.address - base_) / 8] = top_->m_axi_wdata;
        burst.address += 8;
        burst.beats--;
        if (bool(top_->m_axi_wlast) != (burst.beats == 0)) fail("WLAST is not at the last beat");
        if (burst.beats == 0) {
            writes_.pop_front();
            responses_.push_back({cycles_ + 1 + latency_, !good});
        }
    }

    // What the memory shows until the next edge. A valid once shown stays.
    void drive() {
        top_->m_axi_arready = reads_.size() < 8 && luck();
        top_->m_axi_awready = writes_.empty() && responses_.size() < 8 && luck();
        top_->m_axi_wready = !writes_.empty() && luck();
        read_held_ =
            read_held_ || (!reads_.empty() && reads_.front().ready_at <= cycles_ && luck());
        top_->m_axi_rvalid = read_held_;
        if (read_held_) {
            const Burst& burst = reads_.front();
            const bool good = inside(burst.address, 8);
            top_->m_axi_rdata = good ? memory_[(burst.address - base_) / 8] : 0;
            top_->m_axi_rresp = good ? 0 : 3;
            top_->m_axi_rlast = burst.beats == 1;
        }
        response_held_ = response_held_ ||
                         (!responses_.empty() && responses_.front().ready_at <= cycles_ && luck());
        top_->m_axi_bvalid = response_held_;
        top_->m_axi_bresp = response_held_ && responses_.front().error ? 3 : 0;
    }

    std::unique_ptr<VerilatedContext> context_;
    std::unique_ptr<Vbnn_top> top_;
#if VM_TRACE
    std::unique_ptr<Trace> trace_;
#endif
    uint64_t base_;
    uint64_t words_;
    std::unique_ptr<uint64_t[], void (*)(void*)> memory_;  // calloc: pages come when touched
    uint32_t latency_, stall_;
    uint64_t random_;
    uint64_t cycles_ = 1;
    std::deque<Burst> reads_, writes_;
    std::deque<Response> responses_;
    bool read_held_ = false, response_held_ = false;
    Held held_ar_, held_aw_, held_w_;
    std::string violation_;
};

}  // namespace

#if defined(_WIN32)
#define API extern "C" __declspec(dllexport)
#else
#define API extern "C" __attribute__((visibility("default")))
#endif

API void* bnn_open(uint64_t base, uint64_t size, uint32_t latency, uint32_t stall, uint64_t seed) {
    return new Board(base, size, latency, stall, seed);
}
API void bnn_close(void* board) { delete static_cast<Board*>(board); }
API void bnn_reset(void* board) { static_cast<Board*>(board)->reset(); }
API void bnn_write(void* board, uint32_t address, uint32_t value) {
    static_cast<Board*>(board)->write(address, value);
}
API void bnn_write_many(void* board, uint32_t address, const uint32_t* values, uint64_t count) {
    for (uint64_t n = 0; n < count; n++) static_cast<Board*>(board)->write(address, values[n]);
}
API uint32_t bnn_read(void* board, uint32_t address) {
    return static_cast<Board*>(board)->read(address);
}
API int bnn_wait(void* board, uint64_t limit) { return static_cast<Board*>(board)->wait(limit); }
API int bnn_trace(void* board, const char* path) { return static_cast<Board*>(board)->trace(path); }
API int bnn_watch(void* board, const char* path) { return static_cast<Board*>(board)->watch(path); }
API uint8_t* bnn_memory(void* board) { return static_cast<Board*>(board)->memory(); }
API uint64_t bnn_cycles(void* board) { return static_cast<Board*>(board)->cycles(); }
API const char* bnn_violation(void* board) { return static_cast<Board*>(board)->violation(); }
