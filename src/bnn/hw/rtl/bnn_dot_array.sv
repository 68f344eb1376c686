// SPDX-License-Identifier: BSD-3-Clause
// SIMD columns of PE rows times one position's inputs. What all rows share is made of the inputs
// here: bit planes and their parities (bnn_xnor_popcount), or sums of pairs (bnn_pairs).
//
// x comes one cycle before the weights. From weights to totals it takes the latency of
// bnn_dot_planes, bnn_ternary or bnn_dot_adder_chain. Never stalls.
`default_nettype none
module bnn_dot_array #(
    parameter int PE      = 1,   // rows, at least 1
    parameter int SIMD    = 64,  // columns added in a cycle, at least 1
    parameter int WBITS   = 1,   // bit planes of a weight
    parameter int ABITS   = 1,   // bit planes of an input
    parameter int XNOR    = 1,   // 1: bipolar weights; 0: AND of bit planes
    parameter int WSIGNED = 0,   // 1: weights are two's complement
    parameter int ASIGNED = 0,   // 1: inputs are two's complement
    parameter int SUMS    = 0,   // 1: inputs are added as numbers; needs XNOR = 1
    parameter int TERNARY = 0,   // 1: weights and inputs are ternary; needs WBITS = ABITS = 2
    parameter int STAGES  = 3,   // cycles of a population count: 1, 3 or 4; unused with SUMS
    parameter int ACC     = 16   // width of a total; it is exact modulo 2^ACC
) (
    input  wire                      clk,    // registers change at each rising edge: no stall
    input  wire  [PE*WBITS*SIMD-1:0] w,      // row r from bit r * WBITS * SIMD on, plane by plane
    input  wire  [SIMD*ABITS-1:0]    x,      // column c from bit c * ABITS on; a cycle before w
    output wire  [PE*ACC-1:0]        totals  // row r in bits [r * ACC +: ACC]
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (PE < 1 || SIMD < 1 || WBITS < 1 || ABITS < 1 || ACC < 1) begin : gen_refuse_sizes
        $error("bnn_dot_array: PE, SIMD, WBITS, ABITS and ACC must be at least 1");
    end
    if (SUMS != 0 && (XNOR == 0 || WBITS != 1 || TERNARY != 0)) begin : gen_refuse_sums
        $error("bnn_dot_array: SUMS needs XNOR = 1, WBITS = 1 and TERNARY = 0");
    end
    if (TERNARY != 0 && (XNOR != 0 || WBITS != 2 || ABITS != 2)) begin : gen_refuse_ternary
        $error("bnn_dot_array: TERNARY needs WBITS = ABITS = 2 and XNOR = 0");
    end
`endif
    if (SUMS != 0) begin : gen_sums
        localparam int TERMS = (SIMD + 1) / 2;
        wire [TERMS*(ABITS+1)-1:0] plus, minus;
        bnn_pairs #(.SIMD(SIMD), .ABITS(ABITS), .ASIGNED(ASIGNED)) pairs (
            .clk(clk), .x(x), .plus(plus), .minus(minus)
        );
        for (genvar r = 0; r < PE; r++) begin : gen_row
            bnn_dot_adder_chain #(.SIMD(SIMD), .ABITS(ABITS), .ASIGNED(ASIGNED), .ACC(ACC)) lane (
                .clk(clk), .w(w[r*SIMD+:SIMD]), .plus(plus), .minus(minus),
                .total(totals[r*ACC+:ACC])
            );
        end
    end else begin : gen_planes
        localparam int T = (SIMD + 2) / 3;
        logic [ABITS*SIMD-1:0] planes;
        logic [ABITS*T-1:0] parity;
        for (genvar j = 0; j < ABITS; j++) begin : gen_plane
            wire [3*T-1:0] places;
            for (genvar s = 0; s < 3 * T; s++) begin : gen_column
                assign places[s] = s < SIMD ? x[(s<SIMD?s:0)*ABITS+j] : 1'b0;
            end
            always_ff @(posedge clk) begin
                planes[j*SIMD+:SIMD] <= places[SIMD-1:0];
                parity[j*T+:T] <= places[0+:T] ^ places[T+:T] ^ places[2*T+:T];
            end
        end
        for (genvar r = 0; r < PE; r++) begin : gen_row
            if (TERNARY != 0) begin : gen_ternary
                bnn_ternary #(.SIMD(SIMD), .STAGES(STAGES), .ACC(ACC)) lane (
                    .clk(clk), .w(w[r*WBITS*SIMD+:WBITS*SIMD]), .x(planes),
                    .total(totals[r*ACC+:ACC])
                );
            end else begin : gen_binary
                bnn_dot_planes #(
                    .SIMD(SIMD), .WBITS(WBITS), .ABITS(ABITS), .XNOR(XNOR), .WSIGNED(WSIGNED),
                    .ASIGNED(ASIGNED), .STAGES(STAGES), .ACC(ACC)
                ) lane (
                    .clk(clk), .w(w[r*WBITS*SIMD+:WBITS*SIMD]), .x(planes), .parity(parity),
                    .total(totals[r*ACC+:ACC])
                );
            end
        end
        if (TERNARY != 0) begin : gen_unused
            wire unused = &{1'b0, parity};
        end
    end
endmodule
`default_nettype wire
