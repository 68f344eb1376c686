// SPDX-License-Identifier: BSD-3-Clause
// Sums and differences of neighbouring inputs, made once for all rows (see bnn_dot_adder_chain).
//
// Term 0 of an odd SIMD is column 0 alone; every other term is a pair of columns (a, b), of which
// `plus` has a + b and `minus` a + ~b, ABITS + 1 bits each. Term i comes max(1, i) cycles after x,
// when bnn_dot_adder_chain adds it. Never stalls.
`default_nettype none
module bnn_pairs #(
    parameter int SIMD    = 9,  // columns, at least 1; if odd, column 0 has no partner
    parameter int ABITS   = 8,  // width of an input value
    parameter int ASIGNED = 0,  // 1: inputs are two's complement; 0: unsigned
    localparam int TERMS  = (SIMD + 1) / 2  // pairs, with the single column of an odd SIMD
) (
    input  wire                        clk,   // registers change at each rising edge: no stall
    input  wire  [SIMD*ABITS-1:0]      x,     // column c in bits [c * ABITS +: ABITS]
    output wire  [TERMS*(ABITS+1)-1:0] plus,  // a + b; term i from bit i * (ABITS + 1) on
    output wire  [TERMS*(ABITS+1)-1:0] minus  // a + ~b, same layout
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (SIMD < 1 || ABITS < 1) begin : gen_refuse_sizes
        $error("bnn_pairs: SIMD and ABITS must be at least 1");
    end
`endif
    localparam int W = ABITS + 1;
    localparam int ODD = SIMD % 2;
    for (genvar i = 0; i < TERMS; i++) begin : gen_term
        localparam int LATE = i > 1 ? i : 1;
        localparam int AT = i == 0 ? 0 : 2 * i - ODD;  // column of a
        wire [W-1:0] a = {(ASIGNED != 0) && x[AT*ABITS+ABITS-1], x[AT*ABITS+:ABITS]};
        logic [W-1:0] sum[LATE], difference[LATE];
        if (i == 0 && ODD != 0) begin : gen_single
            always_ff @(posedge clk) begin
                sum[0]        <= a;
                difference[0] <= a;
            end
        end else begin : gen_pair
            wire [ABITS-1:0] c = x[(AT+1)*ABITS+:ABITS];
            wire [W-1:0] b = {(ASIGNED != 0) && c[ABITS-1], c};
            wire [W-1:0] not_b = {(ASIGNED != 0) && !c[ABITS-1], ~c};
            always_ff @(posedge clk) begin
                sum[0]        <= a + b;
                difference[0] <= a + not_b;
            end
        end
        for (genvar n = 1; n < LATE; n++) begin : gen_late
            always_ff @(posedge clk) begin
                sum[n]        <= sum[n-1];
                difference[n] <= difference[n-1];
            end
        end
        assign plus[i*W+:W]  = sum[LATE-1];
        assign minus[i*W+:W] = difference[LATE-1];
    end
endmodule
`default_nettype wire
