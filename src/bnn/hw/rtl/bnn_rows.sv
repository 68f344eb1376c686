// SPDX-License-Identifier: BSD-3-Clause
// SIMD columns of PE rows times one position's inputs. What all rows share of the inputs is made here:
// bit planes and their parities (bnn_agree), or sums of pairs (bnn_pairs).
//
// x comes one cycle before the weights; the totals come as late as those of bnn_lane, bnn_ternary or
// bnn_sum.
`default_nettype none
module bnn_rows #(
    parameter int PE      = 1,
    parameter int SIMD    = 64,
    parameter int WBITS   = 1,
    parameter int ABITS   = 1,
    parameter int XNOR    = 1,
    parameter int WSIGNED = 0,
    parameter int ASIGNED = 0,
    parameter int SUMS    = 0,
    parameter int TERNARY = 0,
    parameter int STAGES  = 3,
    parameter int ACC     = 16
) (
    input  wire                      clk,
    input  wire  [PE*WBITS*SIMD-1:0] w,
    input  wire  [SIMD*ABITS-1:0]    x,
    output wire  [PE*ACC-1:0]        totals
);
    if (SUMS != 0) begin : gen_sums
        localparam int TERMS = (SIMD + 1) / 2;
        wire [TERMS*(ABITS+1)-1:0] plus, minus;
        bnn_pairs #(.SIMD(SIMD), .ABITS(ABITS), .ASIGNED(ASIGNED)) pairs (
            .clk(clk), .x(x), .plus(plus), .minus(minus)
        );
        for (genvar r = 0; r < PE; r++) begin : gen_row
            bnn_sum #(.SIMD(SIMD), .ABITS(ABITS), .ASIGNED(ASIGNED), .ACC(ACC)) lane (
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
                bnn_lane #(
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
