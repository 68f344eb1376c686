// SPDX-License-Identifier: BSD-3-Clause
// The number that bits of weight 1 and bits of weight 2 make, pipelined: STAGES cycles.
//
//   2 stages  6:3 counters over six slices of each weight; weighted sum of what is left
//   3 stages  the weighted sum in two steps
`default_nettype none
module bnn_tally #(
    parameter int ONES   = 22,
    parameter int TWOS   = 22,
    parameter int STAGES = 2,
    parameter int COUNT  = 7
) (
    input  wire              clk,
    input  wire  [ONES-1:0]  ones,
    input  wire  [TWOS-1:0]  twos,
    output logic [COUNT-1:0] count
);
    localparam int L = (ONES + 5) / 6;
    localparam int H = (TWOS + 5) / 6;
    wire [L-1:0] l0, l1, l2;
    wire [H-1:0] h0, h1, h2;
    bnn_count6 #(.BITS(ONES)) count_ones (.clk(clk), .bits(ones), .ones(l0), .twos(l1), .fours(l2));
    bnn_count6 #(.BITS(TWOS)) count_twos (.clk(clk), .bits(twos), .ones(h0), .twos(h1), .fours(h2));

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
