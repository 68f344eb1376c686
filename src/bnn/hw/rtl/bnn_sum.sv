// SPDX-License-Identifier: BSD-3-Clause
// One row of bipolar weights times SIMD numbers of several bits, summed: the sum of x where the
// weight is 1 and ~x where it is 0, and 1 for each pair whose first weight is 0.
//
// That is what the bit planes of bnn_lane count, but for the ones of the pairs, which are constant for each
// row (bnn.hw.matrix). bnn_pairs made a + b and a + ~b of each pair: equal weights take the one,
// unequal ones the other, inverted where the first weight is 0 (~(a + b) = ~a + ~b + 1). So a pair
// costs a row one LUT a bit, the adder's own. A chain of adders, one a stage; TERMS - 1 cycles, at
// least 1.
`default_nettype none
module bnn_sum #(
    parameter int SIMD    = 9,
    parameter int ABITS   = 8,
    parameter int ASIGNED = 0,
    parameter int ACC     = 14,
    localparam int TERMS  = (SIMD + 1) / 2
) (
    input  wire                         clk,
    input  wire  [SIMD-1:0]             w,
    input  wire  [TERMS*(ABITS+1)-1:0]  plus,
    input  wire  [TERMS*(ABITS+1)-1:0]  minus,
    output wire  [ACC-1:0]              total
);
    localparam int W = ABITS + 1;
    localparam int ODD = SIMD % 2;
    localparam int STAGES = TERMS > 2 ? TERMS - 1 : 1;
    wire [TERMS*ACC-1:0] terms;
    for (genvar i = 0; i < TERMS; i++) begin : gen_term
        localparam int LATE = i > 1 ? i - 1 : 0;
        localparam bit SINGLE = i == 0 && ODD != 0;
        localparam int AT = i == 0 ? 0 : 2 * i - ODD;
        wire [1:0] now = SINGLE ? {w[AT], w[AT]} : w[AT+:2];
        wire [1:0] late;
        if (LATE == 0) begin : gen_now
            assign late = now;
        end else begin : gen_late
            logic [1:0] kept[LATE];
            always_ff @(posedge clk) begin
                kept[0] <= now;
                for (int n = 1; n < LATE; n++) kept[n] <= kept[n-1];
            end
            assign late = kept[LATE-1];
        end
        // A single unsigned number has no carry to invert.
        localparam logic [W-1:0] MASK = SINGLE && ASIGNED == 0 ? {1'b0, {ABITS{1'b1}}} : '1;
        wire [W-1:0] value = (^late ? minus[i*W+:W] : plus[i*W+:W]) ^ (late[0] ? '0 : MASK);
        assign terms[i*ACC+:ACC] = {{ACC - W{(ASIGNED != 0) && value[W-1]}}, value};
    end

    logic [ACC-1:0] sum[STAGES];
    for (genvar s = 0; s < STAGES; s++) begin : gen_stage
        wire [ACC-1:0] previous = s == 0 ? terms[0+:ACC] : sum[s == 0 ? 0 : s - 1];
        if (TERMS > 1) begin : gen_add
            always_ff @(posedge clk) sum[s] <= previous + terms[(s+1)*ACC+:ACC];
        end else begin : gen_only
            always_ff @(posedge clk) sum[s] <= previous;
        end
    end
    assign total = sum[STAGES-1];
endmodule
`default_nettype wire
