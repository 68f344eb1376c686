// SPDX-License-Identifier: BSD-3-Clause
// First-in first-out buffer between two valid/ready streams.
//
// Holds DEPTH words in memory and one more in its output register, so that o_valid and o_data
// are registers. Latency 2 cycles, one word per cycle (DEPTH = 1: one in two cycles). i_ready does
// not depend on o_ready in the same cycle: a FIFO ends every combinational path of back-pressure.
`default_nettype none
module bnn_fifo #(
    parameter int BITS  = 8,      // width of a word, at least 1
    parameter int DEPTH = 2,      // words in memory, at least 1; full rate needs 2
    /* verilator lint_off UNUSEDPARAM */  // an attribute only
    parameter     STYLE = "auto"  // memory style for the synthesiser: auto, block, distributed
    /* verilator lint_on UNUSEDPARAM */
) (
    input  wire                          clk,      // registers change at its rising edge
    input  wire                          rst,      // synchronous, active high: drops all words
    input  wire                          i_valid,  // a word is offered, and stays until i_ready
    output wire                          i_ready,  // 1: there is room; does not depend on o_ready
    input  wire  [BITS-1:0]              i_data,   // word to store
    output logic                         o_valid,  // a word is offered, and stays until o_ready
    input  wire                          o_ready,  // 1: the word is taken if o_valid is 1 too
    output logic [BITS-1:0]              o_data,   // oldest word, from a register
    output wire  [$clog2(DEPTH + 2)-1:0] fill     // words inside, 0 to DEPTH + 1
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (BITS < 1 || DEPTH < 1) begin : gen_refuse_size
        $error("bnn_fifo: BITS and DEPTH must be at least 1");
    end
`endif
    localparam int AW = DEPTH > 1 ? $clog2(DEPTH) : 1;
    localparam int CW = $clog2(DEPTH + 2);
    localparam logic [AW-1:0] LAST = AW'(DEPTH - 1);

    (* ram_style = STYLE *) logic [BITS-1:0] mem[DEPTH];
    logic [AW-1:0] head, tail;
    logic [CW-1:0] count;

    wire push = i_valid && i_ready;
    wire pop  = (count != 0) && (!o_valid || o_ready);

    assign i_ready = count != CW'(DEPTH);
    assign fill   = count + CW'(o_valid);

    always_ff @(posedge clk) begin
        if (push) mem[tail] <= i_data;
        if (pop) o_data <= mem[head];
    end

    always_ff @(posedge clk) begin
        if (rst) begin
            head    <= '0;
            tail    <= '0;
            count   <= '0;
            o_valid <= 1'b0;
        end else begin
            if (push) tail <= tail == LAST ? '0 : tail + 1'b1;
            if (pop) head <= head == LAST ? '0 : head + 1'b1;
            count <= count + CW'(push) - CW'(pop);
            if (pop) o_valid <= 1'b1;
            else if (o_ready) o_valid <= 1'b0;
        end
    end
endmodule
`default_nettype wire
