// SPDX-License-Identifier: BSD-3-Clause
// bnn_reader feeds bnn_writer; WORDS is set by test_buses.py. The bench is copies.cpp.
`default_nettype none
module copies #(
    parameter int WORDS = 1,        // of an image
    parameter int READ_DEPTH = 64,  // words of the reader's FIFO
    parameter int WRITE_DEPTH = 32  // words of the writer's FIFO
) (
    input  wire         clk, rst, start,
    input  wire  [63:0] source, target,
    input  wire  [31:0] images,
    output wire         finished, image_done, r_error, w_error,
    output wire  [63:0] araddr, awaddr, wdata,
    output wire  [7:0]  arlen, awlen,
    output wire         arvalid, awvalid, wvalid, wlast, rready, bready,
    input  wire         arready, awready, wready, rvalid, bvalid,
    input  wire  [63:0] rdata,
    input  wire  [1:0]  rresp, bresp
);
    wire valid, ready;
    wire [63:0] word;
    bnn_reader #(.WORDS(WORDS), .DEPTH(READ_DEPTH)) reader (
        .clk(clk), .rst(rst), .start(start), .address(source), .images(images), .bus_error(r_error),
        .m_axi_araddr(araddr), .m_axi_arlen(arlen),
        .m_axi_arvalid(arvalid), .m_axi_arready(arready),
        .m_axi_rdata(rdata), .m_axi_rresp(rresp), .m_axi_rvalid(rvalid), .m_axi_rready(rready),
        .o_valid(valid), .o_ready(ready), .o_data(word)
    );
    bnn_writer #(.WORDS(WORDS), .DEPTH(WRITE_DEPTH)) writer (
        .clk(clk), .rst(rst), .start(start), .address(target), .images(images),
        .finished(finished), .image_done(image_done), .bus_error(w_error),
        .m_axi_awaddr(awaddr), .m_axi_awlen(awlen),
        .m_axi_awvalid(awvalid), .m_axi_awready(awready),
        .m_axi_wdata(wdata), .m_axi_wlast(wlast), .m_axi_wvalid(wvalid), .m_axi_wready(wready),
        .m_axi_bresp(bresp), .m_axi_bvalid(bvalid), .m_axi_bready(bready),
        .i_valid(valid), .i_ready(ready), .i_data(word)
    );
endmodule
`default_nettype wire
