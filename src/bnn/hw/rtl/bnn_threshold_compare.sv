// SPDX-License-Identifier: BSD-3-Clause
// From one accumulator to one output value: thresholds, or scale and bias. Latency 2 cycles, one
// value a cycle, never stalls.
//
// LEVELS > 0: y = CODE + STEP * #{k : T[k] <= acc} modulo 2^OBITS. Level k of the parameter word is
//             bits [k*ACC +: ACC], two's complement; with FALLING its top bit inverts every
//             comparison (a falling activation counts the thresholds not reached).
// LEVELS = 0: y = (acc << SHIFT) + bias; the parameter word is the bias, OBITS wide.
`default_nettype none
module bnn_threshold_compare #(
    parameter int ACC     = 16,  // width of the accumulator, two's complement, at least 2
    parameter int LEVELS  = 1,   // thresholds; 0: scale and bias instead
    parameter int FALLING = 0,   // 1: the word has a bit that inverts comparisons; 0: it has none
    parameter int CODE    = 0,   // output if no threshold is reached
    parameter int STEP    = 1,   // added to the output for each threshold that is reached
    parameter int SHIFT   = 0,   // LEVELS = 0: acc is multiplied by 2^SHIFT
    parameter int OBITS   = 1,   // width of the output; it is taken modulo 2^OBITS
    localparam int PARAMS = LEVELS > 0 ? LEVELS * ACC + FALLING : OBITS  // width of params
) (
    input  wire               clk,     // registers change at each rising edge: no stall
    input  wire  [ACC-1:0]    acc,     // accumulator, in the same cycle as its params
    input  wire  [PARAMS-1:0] params,  // thresholds, or the bias; layout see above
    output logic [OBITS-1:0]  y        // output, 2 cycles after acc
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (ACC < 2 || OBITS < 1) begin : gen_refuse_bits
        $error("bnn_threshold_compare: ACC must be at least 2 and OBITS at least 1");
    end
    if (LEVELS < 0 || SHIFT < 0) begin : gen_refuse_levels
        $error("bnn_threshold_compare: LEVELS and SHIFT must not be negative");
    end
    if (FALLING != 0 && FALLING != 1) begin : gen_refuse_falling
        $error("bnn_threshold_compare: FALLING must be 0 or 1");
    end
`endif
    if (LEVELS > 0) begin : gen_levels
        logic [LEVELS-1:0] reached;
        for (genvar k = 0; k < LEVELS; k++) begin : gen_level
            wire signed [ACC-1:0] least = params[k*ACC+:ACC];
            wire fires = least <= $signed(acc);
            always_ff @(posedge clk) reached[k] <= fires ^ (FALLING != 0 && params[PARAMS-1]);
        end
        always_ff @(posedge clk) y <= OBITS'(CODE) + OBITS'(STEP) * OBITS'($countones(reached));
    end else begin : gen_bias
        localparam int WIDE = OBITS > ACC ? OBITS : ACC;
        wire [WIDE-1:0] wide = {{WIDE - ACC + 1{acc[ACC-1]}}, acc[ACC-2:0]};
        logic [OBITS-1:0] sum;
        always_ff @(posedge clk) begin
            sum <= OBITS'(wide << SHIFT) + params;
            y   <= sum;
        end
    end
endmodule
`default_nettype wire
