// SPDX-License-Identifier: BSD-3-Clause
// Watches one stream: words moved, cycles stalled (valid, not ready), cycles starved (ready, not
// valid) and the highest fill of the FIFO before it. Cleared by `clear`; counts stop at 2^32 - 1.
// `value` comes 1 cycle after `select`.
`default_nettype none
module bnn_probe #(
    parameter int FILL = 1  // width of fill, 1 to 32
) (
    input  wire              clk,     // registers change at its rising edge
    input  wire              clear,   // 1: all counters become 0
    input  wire              valid,   // that of the stream
    input  wire              ready,   // that of the stream
    input  wire  [FILL-1:0] fill,   // fill of the FIFO before the stream, in words; 0 if none
    input  wire  [1:0]       select,  // 0: words, 1: stalls, 2: starves, 3: highest fill
    output logic [31:0]      value    // the selected counter, one cycle later
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (FILL < 1 || FILL > 32) begin : gen_refuse_fill
        $error("bnn_probe: FILL must be 1 to 32");
    end
`endif
    logic [31:0] words, stalls, starves;
    logic [FILL-1:0] high;
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
            if (fill > high) high <= fill;
        end
    end
    always_ff @(posedge clk)
        value <= select == 2'd0 ? words
               : select == 2'd1 ? stalls
               : select == 2'd2 ? starves : 32'(high);
endmodule
`default_nettype wire
