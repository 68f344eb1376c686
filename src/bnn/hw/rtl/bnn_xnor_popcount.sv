// SPDX-License-Identifier: BSD-3-Clause
// Counts the places, of SIMD, where weights and inputs are equal (XNOR, then popcount).
// Latency STAGES cycles (3 or 4), one result a cycle, never stalls.
//
// Three places make a triple; slice a is bits [0 +: T], b [T +: T], c the rest. The low bit of a
// triple's count is the parity of its three XNORs: the inputs' parity against the weights'. So
// `parity` holds the inputs' parities, computed once for all rows. Slice c of the weights does not
// hold the third weight but the parity of the triple's weights, computed when the memory is made
// (bnn.hw.matrix). To count the low bits is then the same task at a third of the width: triples
// of triples.
`default_nettype none
module bnn_xnor_popcount #(
    parameter int SIMD   = 64,  // places (pairs of an input bit and a weight bit), at least 5
    parameter int STAGES = 3,   // latency in cycles, 3 or 4; 4 for a faster clock
    localparam int T     = (SIMD + 2) / 3  // triples of places; the last ones may have two
) (
    input  wire                         clk,     // registers change at each rising edge: no stall
    input  wire  [SIMD-1:0]             x,       // input bits
    input  wire  [T-1:0]                parity,  // XOR of the inputs of each triple
    input  wire  [SIMD-1:0]             w,       // weight bits; slice c: parities of the triples
    output wire  [$clog2(SIMD + 1)-1:0] count    // places where both are equal, STAGES cycles later
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (SIMD < 5) begin : gen_refuse_simd
        $error("bnn_xnor_popcount: SIMD must be at least 5 (bnn_popcount counts fewer)");
    end
    if (STAGES != 3 && STAGES != 4) begin : gen_refuse_stages
        $error("bnn_xnor_popcount: STAGES must be 3 or 4");
    end
`endif
    localparam int U = (T + 2) / 3;
    localparam int WHOLE = SIMD - 2 * T;       // triples that have a third place
    // Where it is missing it must disagree: an input 0 against a weight 1.
    logic [T-1:0] xa, xb, xc, wa, wb, q;
    always_comb begin
        xa = x[0+:T];
        xb = x[T+:T];
        xc = T'(x[2*T+:WHOLE]);
        wa = w[0+:T];
        wb = w[T+:T];
        q  = ~(wa ^ wb);
        q[0+:WHOLE] = w[2*T+:WHOLE];
    end
    // Missing triples disagree too.
    logic [3*U-1:0] pairs_p, pairs_q;
    always_comb begin
        pairs_p = '0;
        pairs_p[0+:T] = parity;
        pairs_q = '1;
        pairs_q[0+:T] = q;
    end

    wire [T-1:0] most;                         // triples of which two or three agree
    wire [U-1:0] many, odd;                    // of three triples, those of an odd count
    wire [T-1:0] spare;
    bnn_triples #(.BITS(T), .CODED(1)) first (
        .x({xc, xb, xa}), .w({q, wb, wa}), .most(most), .odd(spare)
    );
    bnn_triples #(.BITS(U)) second (.x(pairs_p), .w(pairs_q), .most(many), .odd(odd));
    wire unused = &{1'b0, spare};  // the low bits, counted by `second`
    logic [U-1:0] ones;
    logic [T+U-1:0] twos;
    always_ff @(posedge clk) begin
        ones <= odd;
        twos <= {many, most};
    end
    bnn_compressor #(.ONES(U), .TWOS(T + U), .STAGES(STAGES - 1), .COUNT($clog2(SIMD + 1))) tally (
        .clk(clk), .ones(ones), .twos(twos), .count(count)
    );
endmodule
`default_nettype wire
