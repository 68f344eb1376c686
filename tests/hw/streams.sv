// SPDX-License-Identifier: BSD-3-Clause
// Ends of a bench's streams (test_blocks.py): words from a file in, words against a file out, with
// random pauses. How often each end pauses changes every 128 cycles, `pace` says to what.
`default_nettype none

// A random number per cycle, and whether an end moves. By `pace` (0 to 3), an input moves in 5, 8,
// 8 or 1 of 8 cycles, an output in 6, 8, 1 or 8.
module bench_luck #(
    parameter int SEED = 1,
    parameter int OUTPUT = 0
) (
    input  wire       clk,
    input  wire [1:0] pace,
    output wire       moves
);
    logic [31:0] x = 32'(SEED) * 32'd2654435761 + 32'd12345;
    function automatic logic [31:0] next(input logic [31:0] a);
        logic [31:0] b;
        b = a ^ (a << 13);
        b = b ^ (b >> 17);
        next = b ^ (b << 5);
    endfunction
    always_ff @(posedge clk) x <= next(x);
    wire [3:0] of_8 = pace == 2'd0 ? (OUTPUT != 0 ? 4'd5 : 4'd6) : pace == 2'd1 ? 4'd8
                    : (pace == 2'd2) == (OUTPUT != 0) ? 4'd1 : 4'd8;
    assign moves = {1'b0, x[12:10]} < of_8;
endmodule

module bench_feed #(
    parameter int BITS  = 1,
    parameter int WORDS = 1,
    parameter int SEED  = 1,
    parameter     FILE  = ""
) (
    input  wire             clk,
    input  wire             rst,
    input  wire             go,
    input  wire  [1:0]      pace,
    output logic            valid,
    input  wire             ready,
    output logic [BITS-1:0] data
);
    logic [BITS-1:0] words[WORDS];
    initial $readmemh(FILE, words);
    int at;
    wire moves;
    bench_luck #(.SEED(SEED)) luck (.clk(clk), .pace(pace), .moves(moves));
    int next;
    always_comb next = at + int'(valid && ready);
    always_ff @(posedge clk) begin
        at <= rst ? 0 : next;
        if (rst || !(valid && !ready)) begin
            valid <= !rst && go && next < WORDS && moves;
            data  <= !rst && go && next < WORDS && moves ? words[next] : ~data;  // nobody may look
        end
    end
endmodule

module bench_drain #(
    parameter int BITS   = 1,
    parameter int WORDS  = 1,
    parameter int SEED   = 1,
    parameter int STEADY = 1,               // a word that waits stays (but for a fork's)
    parameter     FILE   = "",
    parameter     MASK   = "",
    parameter     NAME   = ""
) (
    input  wire             clk,
    input  wire             rst,
    input  wire  [1:0]      pace,
    input  wire             valid,
    output logic            ready,
    input  wire  [BITS-1:0] data,
    output wire             done,
    input  wire             last_call
);
    logic [BITS-1:0] words[WORDS], mask[WORDS];
    initial $readmemh(FILE, words);
    initial $readmemh(MASK, mask);
    int at;
    logic [BITS-1:0] held;
    logic waiting, failed = 1'b0;
    wire moves;
    bench_luck #(.SEED(SEED), .OUTPUT(1)) luck (.clk(clk), .pace(pace), .moves(moves));
    assign done = at == WORDS || failed;
    task automatic fail(input string what);
        if (!failed) $display("%s: %s at word %0d of %0d", NAME, what, at, WORDS);
        failed <= 1'b1;
    endtask
    always_ff @(posedge clk) begin
        ready   <= moves && !rst;
        waiting <= !rst && valid && !ready;
        held    <= data;
        if (rst) at <= 0;
        else begin
            if (valid && ready) begin
                at <= at + 1;
                if (at >= WORDS) fail("a surplus word");
                else if (((words[at] ^ data) & mask[at]) != '0)
                    fail($sformatf("%h instead of %h", data & mask[at], words[at] & mask[at]));
            end
            if (STEADY != 0 && waiting && (!valid || data != held))
                fail("a word that waited has changed");
            if (last_call && !done) fail("stuck");
        end
    end
endmodule

// Writes on the parameter bus, before anything else.
module bench_load #(
    parameter int WRITES = 1,
    parameter     FILE   = ""
) (
    input  wire         clk,
    input  wire         rst,
    output logic        p_valid,
    output logic        p_thresholds,
    output logic [15:0] p_item,
    output logic [19:0] p_index,
    output logic [31:0] p_data,
    output wire         go
);
    logic [68:0] writes[WRITES];
    initial $readmemh(FILE, writes);
    int at;
    logic turn = 1'b0;
    assign go = at == WRITES + 8;
    always_ff @(posedge clk) begin
        at      <= rst ? 0 : go ? at : at + 1;
        p_valid <= !rst && at < WRITES;
        // Afterwards other data, to the first and to the last place: nobody may take it.
        {p_thresholds, p_item, p_index, p_data} <= !rst && at < WRITES ? writes[at]
            : writes[turn ? 0 : WRITES-1] ^ {37'b0, {32{1'b1}}};
        turn <= !turn;
    end
endmodule

// One word in a cycle, one word out to compare: for what has no handshake.
module bench_cycles #(
    parameter int BITS  = 1,
    parameter int TO    = 1,
    parameter int WORDS = 1,
    parameter     FILE  = "",
    parameter     WANT  = "",
    parameter     NAME  = ""
) (
    input  wire             clk,
    input  wire             rst,
    output logic [BITS-1:0] given,
    input  wire  [TO-1:0]   got,
    output wire             done
);
    logic [BITS-1:0] words[WORDS];
    logic [TO-1:0] wanted[WORDS];
    initial $readmemh(FILE, words);
    initial $readmemh(WANT, wanted);
    int at;
    logic failed = 1'b0;
    assign done = at == WORDS || failed;
    always_ff @(posedge clk) begin
        at    <= rst ? 0 : done ? at : at + 1;
        given <= words[at < WORDS ? at : 0];
        // got is that of the word two cycles ago
        if (!rst && at > 7 && !done && got != wanted[at-2]) begin
            $display("%s: %h instead of %h in cycle %0d", NAME, got, wanted[at-2], at);
            failed <= 1'b1;
        end
    end
endmodule
`default_nettype wire
