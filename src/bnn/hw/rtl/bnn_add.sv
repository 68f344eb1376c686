// SPDX-License-Identifier: BSD-3-Clause
// Joins two streams of LANES values: y = (a << A_SHIFT) + (b << B_SHIFT) + OFFSET.
//
// Shift 1 and the offset are how bipolar codes (0 is -1, 1 is +1) become numbers. Latency 1 cycle.
`default_nettype none
module bnn_add #(
    parameter int LANES    = 1,
    parameter int A_BITS   = 8,
    parameter int A_SIGNED = 1,
    parameter int A_SHIFT  = 0,
    parameter int B_BITS   = 8,
    parameter int B_SIGNED = 1,
    parameter int B_SHIFT  = 0,
    parameter int OFFSET   = 0,
    parameter int BITS     = 9
) (
    input  wire                     clk,
    input  wire                     rst,
    input  wire                     a_valid,
    output wire                     a_ready,
    input  wire  [LANES*A_BITS-1:0] a_data,
    input  wire                     b_valid,
    output wire                     b_ready,
    input  wire  [LANES*B_BITS-1:0] b_data,
    output logic                    o_valid,
    input  wire                     o_ready,
    output logic [LANES*BITS-1:0]   o_data
);
    // Wide enough for both operands and the sum; only BITS of it are kept (proved by the program).
    localparam int WIDE = 36;
    wire free = !o_valid || o_ready;
    wire take = a_valid && b_valid && free;
    assign a_ready = b_valid && free;
    assign b_ready = a_valid && free;

    for (genvar l = 0; l < LANES; l++) begin : gen_lane
        wire [A_BITS-1:0] a = a_data[l*A_BITS+:A_BITS];
        wire [B_BITS-1:0] b = b_data[l*B_BITS+:B_BITS];
        wire [WIDE-1:0] wide_a = {{WIDE - A_BITS{(A_SIGNED != 0) && a[A_BITS-1]}}, a};
        wire [WIDE-1:0] wide_b = {{WIDE - B_BITS{(B_SIGNED != 0) && b[B_BITS-1]}}, b};
        wire [WIDE-1:0] sum = (wide_a << A_SHIFT) + (wide_b << B_SHIFT) + WIDE'(OFFSET);
        always_ff @(posedge clk) if (take) o_data[l*BITS+:BITS] <= sum[BITS-1:0];
        wire unused = &{1'b0, sum[WIDE-1:BITS]};
    end

    always_ff @(posedge clk) begin
        if (rst) o_valid <= 1'b0;
        else if (take) o_valid <= 1'b1;
        else if (o_ready) o_valid <= 1'b0;
    end
endmodule
`default_nettype wire
