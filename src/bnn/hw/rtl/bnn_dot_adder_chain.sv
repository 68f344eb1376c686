// SPDX-License-Identifier: BSD-3-Clause
// One row of bipolar weights times SIMD numbers of several bits, summed: the sum of x where the
// weight is 1 and ~x where it is 0, and 1 for each pair whose first weight is 0.
//
// That is what the bit planes of bnn_dot_planes count, except for the ones of the pairs, which are
// constant for each row (bnn.hw.matrix). bnn_pairs makes a + b and a + ~b of each pair: equal
// weights take the first, unequal ones the second, inverted where the first weight is 0, because
// ~(a + b) = ~a + ~b + 1. So a pair costs a row one LUT per bit, the adder's own (bnn_choose_add).
// A chain of adders, one a stage. Latency TERMS - 1 cycles, at least 1; never stalls.
`default_nettype none
module bnn_dot_adder_chain #(
    parameter int SIMD    = 9,   // columns, at least 1; if odd, column 0 has no partner
    parameter int ABITS   = 8,   // width of an input value
    parameter int ASIGNED = 0,   // 1: inputs are two's complement; 0: unsigned
    parameter int ACC     = 14,  // width of total; it is exact modulo 2^ACC
    localparam int TERMS  = (SIMD + 1) / 2  // pairs, with the single column of an odd SIMD
) (
    input  wire                        clk,    // registers change at each rising edge: no stall
    input  wire  [SIMD-1:0]            w,      // weight of each column: 1 is +1, 0 is -1
    input  wire  [TERMS*(ABITS+1)-1:0] plus,   // a + b of each pair, from bnn_pairs
    input  wire  [TERMS*(ABITS+1)-1:0] minus,  // a + ~b of each pair, from bnn_pairs
    output wire  [ACC-1:0]             total   // the row's sum, as defined above
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (SIMD < 1 || ABITS < 1 || ACC < 1) begin : gen_refuse_sizes
        $error("bnn_dot_adder_chain: SIMD, ABITS and ACC must be at least 1");
    end
`endif
    localparam int W = ABITS + 2;              // of a term as a signed number
    localparam int ODD = SIMD % 2;
    localparam int STAGES = TERMS > 2 ? TERMS - 1 : 1;

    // Weights of each term, as late as its stage.
    wire [2*TERMS-1:0] choose;
    for (genvar i = 0; i < TERMS; i++) begin : gen_late
        localparam int LATE = i > 1 ? i - 1 : 0;
        localparam int AT = i == 0 ? 0 : 2 * i - ODD;
        wire [1:0] now = i == 0 && ODD != 0 ? {w[0], w[0]} : w[AT+:2];
        if (LATE == 0) begin : gen_now
            assign choose[2*i+:2] = now;
        end else begin : gen_kept
            logic [1:0] kept[LATE];
            always_ff @(posedge clk) begin
                kept[0] <= now;
                for (int n = 1; n < LATE; n++) kept[n] <= kept[n-1];
            end
            assign choose[2*i+:2] = kept[LATE-1];
        end
    end

    // Inverting an unsigned number x of b bits means 2^b - 1 - x: bits from b on stay 0.
    localparam int OWN = ASIGNED != 0 ? W : W - 1;      // bits of a pair that are inverted
    localparam int SINGLE = ASIGNED != 0 ? W : ABITS;   // of a column alone
    localparam logic [W-1:0] MASK = ODD != 0 ? {W{1'b1}} >> (W - SINGLE) : {W{1'b1}} >> (W - OWN);
    wire [W-1:0] p0 = {(ASIGNED != 0) && plus[ABITS], plus[0+:ABITS+1]};
    wire [W-1:0] q0 = {(ASIGNED != 0) && minus[ABITS], minus[0+:ABITS+1]};
    wire [W-1:0] opening = (^choose[1:0] ? q0 : p0) ^ (choose[0] ? '0 : MASK);

    wire [STAGES*ACC-1:0] sums;
    for (genvar s = 0; s < STAGES; s++) begin : gen_stage
        // Wide enough for s + 2 terms.
        localparam int B = W + $clog2(s + 2) < ACC ? W + $clog2(s + 2) : ACC;
        logic [B-1:0] sum;
        wire [B-1:0] previous;
        if (s == 0) begin : gen_first
            assign previous = B'($signed(opening));
        end else begin : gen_next
            assign previous = B'(sums[(s-1)*ACC+:ACC]);
        end
        if (TERMS == 1) begin : gen_only
            always_ff @(posedge clk) sum <= previous;
        end else begin : gen_add
            localparam int AT = (s + 1) * (ABITS + 1);
            wire [1:0] chosen = choose[2*(s+1)+:2];
            wire [B-1:0] made;
            if (ASIGNED != 0) begin : gen_signed
                bnn_choose_add #(.BITS(B), .INVERT(1)) add (
                    .a(previous), .p(B'($signed(plus[AT+:ABITS+1]))),
                    .q(B'($signed(minus[AT+:ABITS+1]))), .choose(chosen), .y(made)
                );
            end else begin : gen_unsigned
                wire [ABITS:0] term = (^chosen ? minus[AT+:ABITS+1] : plus[AT+:ABITS+1])
                                    ^ {ABITS + 1{!chosen[0]}};
                assign made = previous + B'(term);
            end
            always_ff @(posedge clk) sum <= made;
        end
        assign sums[s*ACC+:ACC] = ACC'($signed(sum));
    end
    assign total = sums[(STAGES-1)*ACC+:ACC];
endmodule
`default_nettype wire
