// SPDX-License-Identifier: BSD-3-Clause
// Drops the highest bits of a word, or puts zeros or copies of its sign above them. Wires only: no
// latency.
`default_nettype none
module bnn_resize #(
    parameter int FROM = 8,  // width of a word in, at least 1
    parameter int TO   = 8,  // width of a word out, at least 1
    parameter int SIGNED = 0 // 1: a word is a signed number; 0: zeros go above it
) (
    input  wire             clk,      // not used: all stream blocks have the same port list
    input  wire             rst,      // not used: all stream blocks have the same port list
    input  wire             i_valid,  // passed on to o_valid
    output wire             i_ready,  // that of the consumer: o_ready
    input  wire  [FROM-1:0] i_data,   // word to resize
    output wire             o_valid,  // that of the source: i_valid
    input  wire             o_ready,  // passed on to i_ready
    output wire  [TO-1:0]   o_data    // lowest TO bits of the word, or the word extended
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (FROM < 1 || TO < 1) begin : gen_refuse_sizes
        $error("bnn_resize: FROM and TO must be at least 1");
    end
`endif
    wire unused = &{clk, rst, i_data};  // one port list for all blocks
    assign o_valid = i_valid;
    assign i_ready = o_ready;
    if (TO > FROM) begin : gen_extend
        assign o_data = {{TO - FROM{SIGNED != 0 && i_data[FROM-1]}}, i_data};
    end else begin : gen_cut
        assign o_data = i_data[TO-1:0];
    end
endmodule
`default_nettype wire
