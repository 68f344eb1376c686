// SPDX-License-Identifier: BSD-3-Clause
// Number of ones among BITS bits, pipelined: STAGES cycles, one result a cycle, never stalls.
//
//   1 stage    count them at once (BITS <= 6: two LUT levels)
//   3, 4       full adders over three slices of the bits, then a tally of their sums and carries
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
        bnn_tally #(.ONES(T), .TWOS(T), .STAGES(STAGES - 1), .COUNT(CW)) tally (
            .clk(clk), .ones(low), .twos(high), .count(count)
        );
    end
endmodule
`default_nettype wire
