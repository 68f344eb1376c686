// SPDX-License-Identifier: BSD-3-Clause
// Cuts or zero-extends a word at its top; wires only.
`default_nettype none
module bnn_resize #(
    parameter int FROM = 8,
    parameter int TO   = 8
) (
    input  wire            clk,
    input  wire            rst,
    input  wire            i_valid,
    output wire            i_ready,
    input  wire [FROM-1:0] i_data,
    output wire            o_valid,
    input  wire            o_ready,
    output wire [TO-1:0]   o_data
);
    wire unused = &{clk, rst, i_data};  // one port list for all blocks
    assign o_valid = i_valid;
    assign i_ready = o_ready;
    if (TO > FROM) begin : gen_extend
        assign o_data = {{TO - FROM{1'b0}}, i_data};
    end else begin : gen_cut
        assign o_data = i_data[TO-1:0];
    end
endmodule
`default_nettype wire
