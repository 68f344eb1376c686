// SPDX-License-Identifier: BSD-3-Clause
// A parameter memory: DEPTH words for each of ITEMS processing elements, read all at once.
//
// LOADABLE = 0: constants from the hex file FILE; a word holds item 0 in its lowest bits.
// LOADABLE = 1: written through the parameter bus, 32 bits a write: chunk c of item i at
//               word `p_index` is selected by p_item = i * ceil(BITS / 32) + c. A
//               read whose address comes 3 cycles after the write finds it.
// One cycle from address to data, one read a cycle.
`default_nettype none
module bnn_parameters #(
    parameter int ITEMS    = 1,      // processing elements, each with its part of a word
    parameter int BITS     = 32,     // width of one element's part
    parameter int DEPTH    = 16,     // words of the memory, at least 1
    parameter int LOADABLE = 0,      // 1: written at run time; 0: constants
    parameter     FILE     = "",     // hex file with DEPTH words, for LOADABLE = 0
    /* verilator lint_off UNUSEDPARAM */  // an attribute only
    parameter     STYLE    = "auto"  // memory style for the synthesiser: auto, block, distributed
    /* verilator lint_on UNUSEDPARAM */
) (
    input  wire                   clk,      // registers change at its rising edge
    input  wire  [(DEPTH > 1 ? $clog2(DEPTH) : 1) - 1:0] address,  // word to read
    output wire  [ITEMS*BITS-1:0] word,     // element i in bits [i * BITS +: BITS], a cycle later
    input  wire                   p_valid,  // 1: a write in this cycle; always taken
    input  wire  [15:0]           p_item,   // i * ceil(BITS / 32) + c: chunk c of element i
    input  wire  [19:0]           p_index,  // word of the memory, 0 to DEPTH - 1
    input  wire  [31:0]           p_data    // the chunk; bits above its width are ignored
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (ITEMS < 1 || BITS < 1 || DEPTH < 1) begin : gen_refuse_sizes
        $error("bnn_parameters: ITEMS, BITS and DEPTH must be at least 1");
    end
    if (LOADABLE != 0 && ITEMS * ((BITS + 31) / 32) > 65536) begin : gen_refuse_items
        $error("bnn_parameters: p_item can select 65536 chunks, and these are more");
    end
    if (LOADABLE != 0 && DEPTH > 1048576) begin : gen_refuse_depth
        $error("bnn_parameters: p_index can select 1048576 words");
    end
`endif
    localparam int AW = DEPTH > 1 ? $clog2(DEPTH) : 1;
    if (LOADABLE != 0) begin : gen_ram
        localparam int CHUNKS = (BITS + 31) / 32;
        localparam int CHOICES = ITEMS * CHUNKS;
        // Registered twice, so that the bus may cross the chip and so that a memory's write
        // enable is a register of its own.
        logic valid;
        logic [15:0] item;
        logic [19:0] index, at;
        logic [31:0] data, value;
        logic [CHOICES-1:0] write;
        always_ff @(posedge clk) begin
            valid <= p_valid;
            item  <= p_item;
            index <= p_index;
            data  <= p_data;
            at    <= index;
            value <= data;
            for (int k = 0; k < CHOICES; k++) write[k] <= valid && item == 16'(k);
        end
        wire unused = &{1'b0, at, value};
        for (genvar i = 0; i < ITEMS; i++) begin : gen_item
            for (genvar c = 0; c < CHUNKS; c++) begin : gen_chunk
                localparam int CB = c == CHUNKS - 1 ? BITS - 32 * c : 32;
                (* ram_style = STYLE *) logic [CB-1:0] mem[DEPTH];
                logic [CB-1:0] q;
                always_ff @(posedge clk) begin
                    if (write[i*CHUNKS+c]) mem[AW'(at)] <= value[CB-1:0];
                    q <= mem[address];
                end
                assign word[i*BITS+32*c+:CB] = q;
            end
        end
    end else begin : gen_rom
        (* rom_style = STYLE *) logic [ITEMS*BITS-1:0] mem[DEPTH];
        logic [ITEMS*BITS-1:0] q;
`ifdef BNN_IMAGES  // the folder of the images, for a simulator that may start anywhere
        initial $readmemh({`BNN_IMAGES, FILE}, mem);
`else
        initial $readmemh(FILE, mem);
`endif
        wire [ITEMS*BITS-1:0] now;
`ifdef BNN_LUT6  // a simulator reads once
        localparam int TABLES = STYLE != "distributed" || DEPTH <= 64 || DEPTH > 256 ? 1
                              : DEPTH > 128 ? 4 : 2;
`else
        localparam int TABLES = 1;
`endif
        if (TABLES == 1) begin : gen_whole
            assign now = mem[address];
        end else begin : gen_tables
            wire [TABLES*ITEMS*BITS-1:0] parts;
            // Without these Yosys moves the address' register to after every table, before the
            // multiplexers.
            wire [5:0] low;
            for (genvar b = 0; b < 6; b++) begin : gen_low
                LUT1 #(.INIT(2'b10)) same (.O(low[b]), .I0(address[b]));
            end
            for (genvar t = 0; t < TABLES; t++) begin : gen_table
                wire [7:0] at = {2'(t), low};
                assign parts[t*ITEMS*BITS+:ITEMS*BITS] = mem[AW'(at)];
            end
            bnn_tables #(.BITS(ITEMS * BITS), .TABLES(TABLES)) tables (
                .parts(parts), .high(2'(address >> 6)), .word(now)
            );
        end
        always_ff @(posedge clk) q <= now;
        assign word = q;
        wire unused = &{1'b0, p_valid, p_item, p_index, p_data};
    end
endmodule
`default_nettype wire
