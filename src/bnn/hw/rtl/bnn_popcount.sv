// SPDX-License-Identifier: BSD-3-Clause
// Number of ones among BITS bits, pipelined: STAGES cycles, one result a cycle, never stalls.
//
//   1 stage   count them at once (BITS <= 6: two LUT levels)
//   3 stages  full adders over three slices of the bits; 6:3 counters over six slices of
//             their sums and of their carries; weighted sum of what is left (BITS / 18 columns)
//   4 stages  the weighted sum in two steps
// Slices are vectors, so that a synthesiser sees one LUT6 an output bit and a simulator
// sees whole words.
`default_nettype none
module bnn_popcount #(
    parameter int BITS   = 64,
    parameter int STAGES = 3
) (
    input  wire                           clk,
    input  wire  [BITS-1:0]               bits,
    output logic [$clog2(BITS + 1)-1:0]   count
);
    localparam int CW = $clog2(BITS + 1);
    if (STAGES == 1) begin : gen_flat
        always_ff @(posedge clk) count <= CW'($countones(bits));
    end else begin : gen_tree
        localparam int T = (BITS + 2) / 3;
        localparam int S = (T + 5) / 6;
        logic [3*T-1:0] padded;
        logic [T-1:0] low, high;
        always_comb begin
            padded = '0;
            padded[BITS-1:0] = bits;
        end
        wire [T-1:0] a = padded[0+:T], b = padded[T+:T], c = padded[2*T+:T];
        always_ff @(posedge clk) begin
            low  <= a ^ b ^ c;
            high <= (a & b) | (a & c) | (b & c);
        end

        wire [S-1:0] l0, l1, l2, h0, h1, h2;
        bnn_count6 #(.BITS(T)) count_low (.clk(clk), .bits(low), .ones(l0), .twos(l1), .fours(l2));
        bnn_count6 #(.BITS(T)) count_high (.clk(clk), .bits(high), .ones(h0), .twos(h1), .fours(h2));

        if (STAGES == 3) begin : gen_sum
            always_ff @(posedge clk)
                count <= CW'($countones(l0)) + (CW'($countones({l1, h0})) << 1)
                       + (CW'($countones({l2, h1})) << 2) + (CW'($countones(h2)) << 3);
        end else begin : gen_sum
            logic [CW-1:0] ones, twos, fours, eights;
            always_ff @(posedge clk) begin
                ones   <= CW'($countones(l0));
                twos   <= CW'($countones({l1, h0}));
                fours  <= CW'($countones({l2, h1}));
                eights <= CW'($countones(h2));
                count  <= (ones + (twos << 1)) + ((fours << 2) + (eights << 3));
            end
        end
    end
endmodule
`default_nettype wire
