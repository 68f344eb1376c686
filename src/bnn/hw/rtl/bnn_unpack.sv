// SPDX-License-Identifier: BSD-3-Clause
// Words of eight bytes to codes: a table turns each byte into a code, LANES codes leave at a time.
//
// Images follow each other without gaps, VALUES bytes each: one may begin within a word. A beat has
// values of one image only; codes 0 fill an image's last beat. The bytes after a batch's last image
// are no image: an image that begins within a word is offered only when the next word has come,
// which every image of 8 bytes or more has. A reset drops the bytes that are left.
//
// Latency 1 cycle from the word that completes a beat. One beat out a cycle. i_ready depends on
// o_ready in the same cycle, o_valid on i_valid if images begin within words.
`default_nettype none
module bnn_unpack #(
    parameter int OBITS  = 8,  // bits of a code, 1 to 8
    parameter int LANES  = 3,  // codes of a beat, 1 to 8
    parameter int VALUES = 8,  // bytes of an image, at least 8
    parameter logic [256*OBITS-1:0] TABLE = '0  // code of byte b in bits [b * OBITS +: OBITS]
) (
    input  wire                   clk,      // registers change at its rising edge
    input  wire                   rst,      // synchronous, active high: an image begins
    input  wire                   i_valid,  // a word is offered, and stays until i_ready
    output wire                   i_ready,  // 1: the word is taken if i_valid is 1 too
    input  wire  [63:0]           i_data,   // eight bytes, the first one lowest
    output wire                   o_valid,  // a beat is offered, and stays until o_ready
    input  wire                   o_ready,  // 1: the beat is taken if o_valid is 1 too
    output wire  [LANES*OBITS-1:0] o_data   // codes of values that follow each other, first lowest
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (OBITS < 1 || OBITS > 8 || LANES < 1 || LANES > 8) begin : gen_refuse_sizes
        $error("bnn_unpack: OBITS and LANES must be from 1 to 8");
    end
    if (VALUES < 8) begin : gen_refuse_values
        $error("bnn_unpack: VALUES must be at least 8, the bytes of a word");
    end
`endif
    // Values move in units: as many as word, beat and image are multiples of.
    localparam int UNIT = LANES % 8 == 0 && VALUES % 8 == 0 ? 8
                        : LANES % 4 == 0 && VALUES % 4 == 0 ? 4
                        : LANES % 2 == 0 && VALUES % 2 == 0 ? 2 : 1;
    localparam int WORD = 8 / UNIT;                         // units of a word
    localparam int BEAT = LANES / UNIT;                     // units of a beat
    localparam int BEATS = (VALUES + LANES - 1) / LANES;    // beats of an image
    localparam int TAIL = VALUES / UNIT - (BEATS - 1) * BEAT;  // units of an image's last beat
    localparam int HOLD = BEAT + WORD - 1;                  // most units that wait here
    localparam int ALIGNED = VALUES % 8 == 0 ? 1 : 0;       // every image begins with a word
    localparam int EARLY = LANES >= OBITS ? 1 : 0;          // the table is before the register
    localparam int BITS = EARLY != 0 ? OBITS : 8;           // bits of a value in the register
    localparam int UB = UNIT * BITS;
    localparam int FW = $clog2(HOLD + 1);
    localparam int AW = BEATS > 1 ? $clog2(BEATS) : 1;

    wire [8*BITS-1:0] word;
    wire [LANES*OBITS-1:0] codes;
    logic [HOLD*UB-1:0] hold;
    logic [FW-1:0] fill;                    // units that wait
    logic [AW-1:0] at;                      // beat of the image
    logic split;                            // the image begins within a word; the next has not come

    if (EARLY != 0) begin : gen_early
        for (genvar n = 0; n < 8; n++) begin : gen_byte
            assign word[n*BITS+:BITS] = TABLE[i_data[n*8+:8]*OBITS+:OBITS];
        end
        assign codes = hold[LANES*OBITS-1:0];
    end else begin : gen_late
        assign word = i_data;
        for (genvar n = 0; n < LANES; n++) begin : gen_lane
            assign codes[n*OBITS+:OBITS] = TABLE[hold[n*8+:8]*OBITS+:OBITS];
        end
    end

    wire last = at == AW'(BEATS - 1);
    wire [FW-1:0] need = TAIL != BEAT && last ? FW'(TAIL) : FW'(BEAT);
    wire moves = o_valid && o_ready;
    // Units that stay, and those that the beat after needs: a word more comes if they are too few.
    wire [FW-1:0] rest = fill - (moves ? need : '0);
    wire next_last = moves ? (BEATS == 1 || at == AW'(BEATS - 2)) : last;
    wire [FW-1:0] next = TAIL != BEAT && next_last ? FW'(TAIL) : FW'(BEAT);
    wire take = i_valid && i_ready;

    assign i_ready = rest < next;
    assign o_valid = fill >= need && (ALIGNED != 0 || !split || i_valid);
    if (TAIL != BEAT) begin : gen_tail
        assign o_data = last ? codes & {{(BEAT-TAIL)*UNIT*OBITS{1'b0}}, {TAIL*UNIT*OBITS{1'b1}}}
                             : codes;
    end else begin : gen_full
        assign o_data = codes;
    end

    // What moves out was lowest, a word comes after what stays; above `fill` nothing has a meaning.
    // If images begin with words, nothing stays after a last beat.
    for (genvar n = 0; n < HOLD; n++) begin : gen_hold
        wire [UB-1:0] stays, moved;
        assign stays = hold[n*UB+:UB];
        if (n + BEAT >= HOLD) begin : gen_top
            assign moved = TAIL != BEAT && ALIGNED == 0 && last && n + TAIL < HOLD
                         ? hold[(n+TAIL)%HOLD*UB+:UB] : stays;
        end else begin : gen_shift
            assign moved = TAIL != BEAT && ALIGNED == 0 && last ? hold[(n+TAIL)*UB+:UB]
                                                                : hold[(n+BEAT)*UB+:UB];
        end
        logic [UB-1:0] unit;
        always_comb begin
            unit = moves || n >= BEAT ? moved : stays;
            if (take)
                for (int p = 0; p < BEAT; p++)
                    if (p <= n && n < p + WORD && rest == FW'(p)) unit = word[(n-p)%WORD*UB+:UB];
        end
        always_ff @(posedge clk) if (moves || take) hold[n*UB+:UB] <= unit;
    end

    always_ff @(posedge clk) begin
        if (rst) begin
            fill  <= '0;
            at    <= '0;
            split <= 1'b0;
        end else begin
            fill <= rest + (take ? FW'(WORD) : '0);
            if (moves) at <= last ? '0 : at + 1'b1;
            if (moves && last) split <= rest != '0 && !take;
            else if (i_valid) split <= 1'b0;
        end
    end
endmodule
`default_nettype wire
