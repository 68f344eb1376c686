// SPDX-License-Identifier: BSD-3-Clause
// Watches one stream: words moved, cycles stalled (valid, not ready), cycles starved (ready, not
// valid) and the highest level of the FIFO in front of it. Cleared by `clear`; counts saturate.
// `value` is a cycle late, which no reader of a register can notice.
`default_nettype none
module bnn_probe #(
    parameter int LEVEL = 1
) (
    input  wire             clk,
    input  wire             clear,
    input  wire             valid,
    input  wire             ready,
    input  wire [LEVEL-1:0] level,
    input  wire [1:0]       select,
    output logic [31:0]     value
);
    logic [31:0] words, stalls, starves;
    logic [LEVEL-1:0] high;
    always_ff @(posedge clk) begin
        if (clear) begin
            words   <= '0;
            stalls  <= '0;
            starves <= '0;
            high    <= '0;
        end else begin
            if (valid && ready && words != '1) words <= words + 1'b1;
            if (valid && !ready && stalls != '1) stalls <= stalls + 1'b1;
            if (!valid && ready && starves != '1) starves <= starves + 1'b1;
            if (level > high) high <= level;
        end
    end
    always_ff @(posedge clk)
        value <= select == 2'd0 ? words : select == 2'd1 ? stalls : select == 2'd2 ? starves : 32'(high);
endmodule
`default_nettype wire
