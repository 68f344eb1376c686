// SPDX-License-Identifier: BSD-3-Clause
// Copies a stream to COPIES consumers; a word moves when all of them take it.
//
// Combinational. Each o_valid waits for every consumer's ready, so every branch must begin with
// a block whose ready does not wait for valid, such as bnn_fifo.
`default_nettype none
module bnn_fork #(
    parameter int BITS   = 8,  // width of a word, at least 1
    parameter int COPIES = 2   // consumers, at least 1
) (
    input  wire                    clk,      // not used: all stream blocks have the same port list
    input  wire                    rst,      // not used: all stream blocks have the same port list
    input  wire                    i_valid,  // a word is offered, and stays until i_ready
    output wire                    i_ready,  // 1: all consumers are ready, and get the word
    input  wire  [BITS-1:0]        i_data,   // word to copy
    output wire  [COPIES-1:0]      o_valid,  // 1 only while every consumer is ready
    input  wire  [COPIES-1:0]      o_ready,  // of each consumer; must not wait for its o_valid
    output wire  [COPIES*BITS-1:0] o_data    // copy n, the word, in bits [n * BITS +: BITS]
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (BITS < 1 || COPIES < 1) begin : gen_refuse_size
        $error("bnn_fork: BITS and COPIES must be at least 1");
    end
`endif
    wire unused = &{clk, rst};  // one port list for all blocks
    assign i_ready = &o_ready;
    assign o_valid = {COPIES{i_valid && i_ready}};
    assign o_data  = {COPIES{i_data}};
endmodule
`default_nettype wire
