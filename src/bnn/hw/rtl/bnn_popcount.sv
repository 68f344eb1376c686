// SPDX-License-Identifier: BSD-3-Clause
// Number of ones among BITS bits, pipelined: STAGES cycles, one result a cycle, never stalls.
//
//   1 stage    counted in one step (two LUT levels if BITS <= 6)
//   3, 4       full adders over three slices of the bits, then a tally of their sums and carries
// Slices are vectors, so that a synthesiser sees one LUT6 an output bit and a simulator
// sees whole words.
`default_nettype none
module bnn_popcount #(
    parameter int BITS   = 64,  // bits to count, at least 1
    parameter int STAGES = 3    // latency in cycles: 1, 3 or 4
) (
    input  wire                         clk,   // registers change at each rising edge: no stall
    input  wire  [BITS-1:0]             bits,  // bits to count, a new set in every cycle
    output logic [$clog2(BITS + 1)-1:0] count  // number of ones in bits, STAGES cycles later
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (BITS < 1) begin : gen_refuse_bits
        $error("bnn_popcount: BITS must be at least 1");
    end
    if (STAGES != 1 && STAGES != 3 && STAGES != 4) begin : gen_refuse_stages
        $error("bnn_popcount: STAGES must be 1, 3 or 4");
    end
`endif
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
        bnn_compressor #(.ONES(T), .TWOS(T), .STAGES(STAGES - 1), .COUNT(CW)) tally (
            .clk(clk), .ones(low), .twos(high), .count(count)
        );
    end
endmodule
`default_nettype wire
