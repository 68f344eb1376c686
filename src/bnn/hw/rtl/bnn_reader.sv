// SPDX-License-Identifier: BSD-3-Clause
// AXI4 reads: fetches `images` images from `address` on, in order, as 64-bit words.
//
// An image is WORDS words and REST bytes; the next one follows without a gap. Each word is read
// once; the last one is read whole, also if the last image ends within it.
//
// Bursts of up to 16 beats that never cross a 4 KiB line; several may be on their way. A burst is
// asked for only when the FIFO has room for all of it, so m_axi_rready is always 1. Words that
// arrive are registered first, because the memory's port may be far away on the chip: a word is
// offered 3 cycles after its beat.
`default_nettype none
module bnn_reader #(
    parameter int WORDS = 1,  // whole 64-bit words of an image, at least 1
    parameter int REST  = 0,  // bytes of an image beyond these, 0 to 7
    parameter int DEPTH = 64  // words of the FIFO, at least 16: one burst
) (
    input  wire         clk,            // registers change at its rising edge
    input  wire         rst,            // synchronous, active high: idle, no word is held
    input  wire         start,          // 1 for one cycle, while the reader is idle
    input  wire  [63:0] address,        // byte address of the first word, a multiple of 8
    input  wire  [31:0] images,         // images to read, at least 1; with start
    output logic        bus_error,      // 1 for a cycle: a beat came with an error

    output logic [63:0] m_axi_araddr,   // byte address of a burst, a multiple of 8
    output logic [7:0]  m_axi_arlen,    // beats of the burst - 1, 0 to 15
    output wire         m_axi_arvalid,  // stays with its address until m_axi_arready
    input  wire         m_axi_arready,  // the memory takes the address
    input  wire  [63:0] m_axi_rdata,    // one beat: a word of the stream
    input  wire  [1:0]  m_axi_rresp,    // bit 1 is 1: error
    input  wire         m_axi_rvalid,   // a beat arrives
    output wire         m_axi_rready,   // always 1: there is room for every beat asked for

    output wire         o_valid,        // a word is offered, and stays until o_ready
    input  wire         o_ready,        // 1: the word is taken if o_valid is 1 too
    output wire  [63:0] o_data          // word in the order of addresses
);
`ifndef __ICARUS__  // version 11 does not know $error at elaboration
    if (WORDS < 1) begin : gen_refuse_words
        $error("bnn_reader: WORDS must be at least 1");
    end
    if (REST < 0 || REST > 7) begin : gen_refuse_rest
        $error("bnn_reader: REST must be from 0 to 7");
    end
    if (DEPTH < 16) begin : gen_refuse_depth
        $error("bnn_reader: DEPTH must be at least 16, the beats of a burst");
    end
`endif
    localparam int MORE = REST != 0 ? 1 : 0;  // an image may need a word more
    localparam int WW = $clog2(WORDS + MORE + 1);
    localparam int CW = $clog2(DEPTH + 1);
    typedef enum logic [1:0] {IDLE, SIZE, ASK} state_t;
    state_t state;
    logic [31:0] images_left;
    logic [WW-1:0] words_left;
    logic [2:0] spare;                      // bytes of an image's last word that are the next one's
    logic [4:0] beats;
    logic last, last_image;                 // the burst ends an image; the image is the last
    logic [CW-1:0] reserved;                // words asked for or in the FIFO

    // Words of the next image that are not read yet.
    wire [WW-1:0] words = MORE != 0 && spare < 3'(REST) ? WW'(WORDS + MORE) : WW'(WORDS);
    // Beats to the image's end and to the 4 KiB line, at most 16.
    wire [9:0] to_line = 10'd512 - {1'b0, m_axi_araddr[11:3]};
    wire [4:0] by_line = to_line > 10'd16 ? 5'd16 : to_line[4:0];
    wire [4:0] by_image = 32'(words_left) > 32'd16 ? 5'd16 : 5'(words_left);
    wire [4:0] size = by_line < by_image ? by_line : by_image;
    wire asked = m_axi_arvalid && m_axi_arready;
    wire given = o_valid && o_ready;

    assign m_axi_arvalid = state == ASK;
    assign m_axi_rready  = 1'b1;

    always_ff @(posedge clk) begin
        bus_error <= m_axi_rvalid && m_axi_rresp[1];
        if (rst) begin
            state    <= IDLE;
            reserved <= '0;
        end else begin
            reserved <= reserved + (asked ? CW'(beats) : '0) - CW'(given);
            case (state)
                IDLE: if (start) begin
                    state        <= SIZE;
                    m_axi_araddr <= address;
                    images_left  <= images;
                    words_left   <= WW'(WORDS + MORE);
                    spare        <= 3'd0 - 3'(REST);
                    last_image   <= images == 32'd1;
                end
                SIZE: if (reserved <= CW'(DEPTH - 16)) begin
                    state       <= ASK;
                    beats       <= size;
                    m_axi_arlen <= 8'(size) - 1'b1;
                    last        <= 32'(words_left) <= 32'd16 && by_image <= by_line;
                end
                ASK: if (m_axi_arready) begin
                    m_axi_araddr <= m_axi_araddr + 64'({beats, 3'b000});
                    words_left   <= last ? words : words_left - WW'(beats);
                    images_left  <= images_left - 32'(last);
                    if (last) spare <= spare - 3'(REST);
                    if (last) last_image <= images_left == 32'd2;
                    state <= last && last_image ? IDLE : SIZE;
                end
                default: state <= IDLE;
            endcase
        end
    end

    logic arrives;
    logic [63:0] word;
    always_ff @(posedge clk) begin
        arrives <= m_axi_rvalid && !rst;
        word    <= m_axi_rdata;
    end
    wire room;
    wire [$clog2(DEPTH + 2)-1:0] fill;
    bnn_fifo #(.BITS(64), .DEPTH(DEPTH)) fifo (
        .clk(clk), .rst(rst), .i_valid(arrives), .i_ready(room), .i_data(word),
        .o_valid(o_valid), .o_ready(o_ready), .o_data(o_data), .fill(fill)
    );
    wire unused = &{1'b0, room, fill, m_axi_rresp[0], address[2:0]};
endmodule
`default_nettype wire
