// SPDX-License-Identifier: BSD-3-Clause
// One row of ternary weights times SIMD ternary inputs (-1, 0, +1, two's complement of 2 bits) in
// each cycle. Both come as bit planes: bits [0 +: SIMD] are "not 0", [SIMD +: SIMD] "negative".
//
// A product is not 0 where both are not, and then negative where their signs differ, so
//     sum of products = popcount(not 0) - 2 * popcount(negative).
// That takes 5/3 LUTs a product, where the four pairs of bit planes would take 8/3. Here `total`
// is popcount(not 0) + 2 * popcount(not negative). It is too large by 2 * SIMD, a constant that
// is part of the row's thresholds or bias (bnn.hw.matrix).
//
// Latency STAGES cycles: 1, 3 or 4 (see bnn_popcount); never stalls.
`default_nettype none
module bnn_ternary #(
    parameter int SIMD   = 64,  // columns added in a cycle, at least 1
    parameter int STAGES = 4,   // latency in cycles: 1, 3 or 4
    parameter int ACC    = 16   // width of total; it is exact modulo 2^ACC
) (
    input  wire               clk,   // registers change at each rising edge: no stall
    input  wire  [2*SIMD-1:0] w,     // weights: SIMD bits "not 0", then SIMD bits "negative"
    input  wire  [2*SIMD-1:0] x,     // inputs, same layout
    output wire  [ACC-1:0]    total  // sum of products + 2 * SIMD, STAGES cycles later
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (SIMD < 1 || ACC < 1) begin : gen_refuse_sizes
        $error("bnn_ternary: SIMD and ACC must be at least 1");
    end
    if (STAGES != 1 && STAGES != 3 && STAGES != 4) begin : gen_refuse_stages
        $error("bnn_ternary: STAGES must be 1, 3 or 4");
    end
`endif
    localparam int CW = $clog2(3 * SIMD + 1);
    wire [SIMD-1:0] some = w[0+:SIMD] & x[0+:SIMD];
    wire [SIMD-1:0] positive = ~(some & (w[SIMD+:SIMD] ^ x[SIMD+:SIMD]));
    wire [CW-1:0] count;

    if (STAGES == 1) begin : gen_flat
        logic [CW-1:0] sum;
        always_ff @(posedge clk) sum <= CW'($countones(some)) + (CW'($countones(positive)) << 1);
        assign count = sum;
    end else begin : gen_tree
        localparam int T = (SIMD + 2) / 3;
        logic [3*T-1:0] padded;
        always_comb begin
            padded = '0;
            padded[SIMD-1:0] = some;
        end
        wire [T-1:0] a = padded[0+:T], b = padded[T+:T], c = padded[2*T+:T];
        logic [T-1:0] ones;
        logic [T+SIMD-1:0] twos;
        always_ff @(posedge clk) begin
            ones <= a ^ b ^ c;
            twos <= {positive, (a & b) | (a & c) | (b & c)};
        end
        bnn_compressor #(.ONES(T), .TWOS(T + SIMD), .STAGES(STAGES - 1), .COUNT(CW)) tally (
            .clk(clk), .ones(ones), .twos(twos), .count(count)
        );
    end
    assign total = ACC'(count);
endmodule
`default_nettype wire
