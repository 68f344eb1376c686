// SPDX-License-Identifier: BSD-3-Clause
// Adds bits of weight 1 and bits of weight 2, pipelined: STAGES cycles, one result a cycle, never
// stalls.
//
//   2 stages  6:3 counters over six slices of each weight; weighted sum of what is left
//   3 stages  the weighted sum in two steps
`default_nettype none
module bnn_compressor #(
    parameter int ONES   = 22,  // bits of weight 1, at least 1
    parameter int TWOS   = 22,  // bits of weight 2, at least 1
    parameter int STAGES = 2,   // latency in cycles, 2 or 3
    parameter int COUNT  = 7    // width of count; it is exact modulo 2^COUNT
) (
    input  wire              clk,   // registers change at each rising edge: no stall
    input  wire  [ONES-1:0]  ones,  // bits that count 1 each
    input  wire  [TWOS-1:0]  twos,  // bits that count 2 each
    output logic [COUNT-1:0] count  // ones + 2 * twos, STAGES cycles later
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (ONES < 1 || TWOS < 1 || COUNT < 1) begin : gen_refuse_sizes
        $error("bnn_compressor: ONES, TWOS and COUNT must be at least 1");
    end
    if (STAGES != 2 && STAGES != 3) begin : gen_refuse_stages
        $error("bnn_compressor: STAGES must be 2 or 3");
    end
`endif
    localparam int L = (ONES + 5) / 6;
    localparam int H = (TWOS + 5) / 6;
    wire [L-1:0] l0, l1, l2;
    wire [H-1:0] h0, h1, h2;
    bnn_counter6to3 #(.BITS(ONES)) count_ones (
        .clk(clk), .bits(ones), .ones(l0), .twos(l1), .fours(l2)
    );
    bnn_counter6to3 #(.BITS(TWOS)) count_twos (
        .clk(clk), .bits(twos), .ones(h0), .twos(h1), .fours(h2)
    );

    wire [COUNT-1:0] sum1 = COUNT'($countones(l0)), sum2 = COUNT'($countones({l1, h0}));
    wire [COUNT-1:0] sum4 = COUNT'($countones({l2, h1})), sum8 = COUNT'($countones(h2));
    if (STAGES == 2) begin : gen_sum
        always_ff @(posedge clk) count <= sum1 + (sum2 << 1) + (sum4 << 2) + (sum8 << 3);
    end else begin : gen_sum
        logic [COUNT-1:0] q1, q2, q4, q8;
        always_ff @(posedge clk) begin
            q1    <= sum1;
            q2    <= sum2;
            q4    <= sum4;
            q8    <= sum8;
            count <= (q1 + (q2 << 1)) + ((q4 << 2) + (q8 << 3));
        end
    end
endmodule
`default_nettype wire
