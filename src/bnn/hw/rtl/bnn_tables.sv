// SPDX-License-Identifier: BSD-3-Clause
// A word of a constant memory of 65 to 256 words, from its tables of 64 words. `parts` holds the
// word of each table at the low 6 bits of the address; `high` is the rest of the address.
// Combinational.
//
// With BNN_LUT6 (see bnn_counter6to3) a table's bit is one LUT6, and the multiplexers of the slice
// choose between tables, which takes no LUT. Without it Yosys takes 12 LUTs where 4 do.
`default_nettype none
module bnn_tables #(
    parameter int BITS   = 32,  // width of the memory's word, at least 1
    parameter int TABLES = 4    // tables of 64 words: 2 or 4
) (
    input  wire  [TABLES*BITS-1:0] parts,  // word of table n in bits [n * BITS +: BITS]
    input  wire  [1:0]             high,   // which table; only bit 0 counts if TABLES = 2
    output wire  [BITS-1:0]        word    // the chosen table's word, in the same cycle
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (BITS < 1) begin : gen_refuse_bits
        $error("bnn_tables: BITS must be at least 1");
    end
    if (TABLES != 2 && TABLES != 4) begin : gen_refuse_tables
        $error("bnn_tables: TABLES must be 2 or 4");
    end
`endif
`ifdef BNN_LUT6
    for (genvar i = 0; i < BITS; i++) begin : gen_bit
        if (TABLES == 2) begin : gen_two
            MUXF7 choose (.O(word[i]), .I0(parts[i]), .I1(parts[BITS+i]), .S(high[0]));
        end else begin : gen_four
            wire [1:0] half;
            MUXF7 choose0 (.O(half[0]), .I0(parts[i]), .I1(parts[BITS+i]), .S(high[0]));
            MUXF7 choose1 (.O(half[1]), .I0(parts[2*BITS+i]), .I1(parts[3*BITS+i]), .S(high[0]));
            MUXF8 choose (.O(word[i]), .I0(half[0]), .I1(half[1]), .S(high[1]));
        end
    end
`else
    wire [1:0] which = TABLES == 2 ? {1'b0, high[0]} : high;
    assign word = parts[which*BITS+:BITS];
`endif
    if (TABLES == 2) begin : gen_unused
        wire unused = &{1'b0, high[1]};
    end
endmodule
`default_nettype wire
