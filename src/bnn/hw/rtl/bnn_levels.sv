// SPDX-License-Identifier: BSD-3-Clause
// What happens to one accumulator, 2 cycles, never stalls.
//
// LEVELS > 0: y = CODE + STEP * #{k : T[k] <= acc} modulo 2^OBITS. Level k of the parameter word is
//             bits [k*ACC +: ACC], two's complement; with FALLING its top bit inverts every
//             comparison (a falling activation counts the levels not reached).
// LEVELS = 0: y = (acc << SHIFT) + bias; the parameter word is the bias, OBITS wide.
`default_nettype none
module bnn_levels #(
    parameter int ACC     = 16,
    parameter int LEVELS  = 1,
    parameter int FALLING = 0,
    parameter int CODE    = 0,
    parameter int STEP    = 1,
    parameter int SHIFT   = 0,
    parameter int OBITS   = 1,
    localparam int PARAMS = LEVELS > 0 ? LEVELS * ACC + FALLING : OBITS
) (
    input  wire               clk,
    input  wire  [ACC-1:0]    acc,
    input  wire  [PARAMS-1:0] params,
    output logic [OBITS-1:0]  y
);
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
