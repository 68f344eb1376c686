// SPDX-License-Identifier: BSD-3-Clause
// Of every TOTAL words lets the first KEEP pass and drops the rest: the padding at an image's end.
`default_nettype none
module bnn_trim #(
    parameter int BITS  = 8,
    parameter int KEEP  = 1,
    parameter int TOTAL = 2
) (
    input  wire            clk,
    input  wire            rst,
    input  wire            i_valid,
    output wire            i_ready,
    input  wire [BITS-1:0] i_data,
    output wire            o_valid,
    input  wire            o_ready,
    output wire [BITS-1:0] o_data
);
    localparam int CW = $clog2(TOTAL);
    logic [CW-1:0] at;
    wire keep = at < CW'(KEEP);

    assign o_data  = i_data;
    assign o_valid = i_valid && keep;
    assign i_ready = o_ready || !keep;

    always_ff @(posedge clk) begin
        if (rst) at <= '0;
        else if (i_valid && i_ready) at <= at == CW'(TOTAL - 1) ? '0 : at + 1'b1;
    end
endmodule
`default_nettype wire
