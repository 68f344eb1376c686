// SPDX-License-Identifier: BSD-3-Clause
// Chooses the count of one probe among those of all streams (bnn_probe). `value` comes 1 cycle
// after `index`.
`default_nettype none
module bnn_probe_select #(
    parameter int COUNT = 1  // number of probes, 1 to 16384
) (
    input  wire                clk,     // registers change at its rising edge
    input  wire [13:0]         index,   // number of the probe
    input  wire [32*COUNT-1:0] counts,  // one count of 32 bits of each probe, probe 0 lowest
    output logic [31:0]        value    // the count of probe `index`, one cycle later; 0 if none
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (COUNT < 1 || COUNT > 16384) begin : gen_refuse_count
        $error("bnn_probe_select: COUNT must be 1 to 16384");
    end
`endif
    always_ff @(posedge clk) value <= {1'b0, index} < 15'(COUNT) ? counts[32*index+:32] : 32'd0;
endmodule
`default_nettype wire
