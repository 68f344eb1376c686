// SPDX-License-Identifier: BSD-3-Clause
// Copies a stream to COPIES consumers; a word moves when all of them take it.
//
// Each o_valid waits for the other consumers' ready, so every branch must begin with a FIFO.
`default_nettype none
module bnn_fork #(
    parameter int BITS   = 8,
    parameter int COPIES = 2
) (
    input  wire                    clk,
    input  wire                    rst,
    input  wire                    i_valid,
    output wire                    i_ready,
    input  wire [BITS-1:0]         i_data,
    output wire [COPIES-1:0]       o_valid,
    input  wire [COPIES-1:0]       o_ready,
    output wire [COPIES*BITS-1:0]  o_data
);
    wire unused = &{clk, rst};  // one port list for all blocks
    assign i_ready = &o_ready;
    assign o_valid = {COPIES{i_valid && i_ready}};
    assign o_data  = {COPIES{i_data}};
endmodule
`default_nettype wire
