// SPDX-License-Identifier: BSD-3-Clause
// The registers as a Zynq-7000's processor reaches them: bnn_zynq7_registers and bnn_control.
`default_nettype none
module bursts (
    input  wire         clk, rst,
    input  wire  [7:0]  s_awaddr,
    input  wire  [3:0]  s_awlen,
    input  wire  [1:0]  s_awsize, s_awburst,
    input  wire  [11:0] s_awid,
    input  wire         s_awvalid,
    output wire         s_awready,
    input  wire  [31:0] s_wdata,
    input  wire  [3:0]  s_wstrb,
    input  wire         s_wvalid,
    output wire         s_wready,
    output wire  [11:0] s_bid,
    output wire  [1:0]  s_bresp,
    output wire         s_bvalid,
    input  wire         s_bready,
    input  wire  [7:0]  s_araddr,
    input  wire  [3:0]  s_arlen,
    input  wire  [1:0]  s_arsize, s_arburst,
    input  wire  [11:0] s_arid,
    input  wire         s_arvalid,
    output wire         s_arready,
    output wire  [11:0] s_rid,
    output wire  [31:0] s_rdata,
    output wire  [1:0]  s_rresp,
    output wire         s_rlast, s_rvalid,
    input  wire         s_rready
);
    wire [31:0] wdata, rdata;
    wire [7:0] awaddr, araddr;
    wire awvalid, awready, wvalid, wready, bvalid, bready, arvalid, arready, rvalid, rready;
    wire [1:0] bresp, rresp;
    bnn_zynq7_registers registers (
        .m_awaddr(awaddr), .m_awvalid(awvalid), .m_awready(awready), .m_wdata(wdata),
        .m_wvalid(wvalid), .m_bvalid(bvalid), .m_bresp(bresp), .m_bready(bready),
        .m_araddr(araddr), .m_arvalid(arvalid), .m_arready(arready), .m_rdata(rdata),
        .m_rresp(rresp), .m_rvalid(rvalid), .m_rready(rready), .*
    );
    bnn_control #(.DESIGN(32'h12345678)) control (
        .clk(clk), .rst(rst),
        .s_axi_awaddr(awaddr), .s_axi_awvalid(awvalid), .s_axi_awready(awready),
        .s_axi_wdata(wdata), .s_axi_wstrb(4'hf), .s_axi_wvalid(wvalid), .s_axi_wready(wready),
        .s_axi_bresp(bresp), .s_axi_bvalid(bvalid), .s_axi_bready(bready),
        .s_axi_araddr(araddr), .s_axi_arvalid(arvalid), .s_axi_arready(arready),
        .s_axi_rdata(rdata), .s_axi_rresp(rresp), .s_axi_rvalid(rvalid), .s_axi_rready(rready),
        .finished(1'b0), .image_done(1'b0), .bus_error(1'b0), .probe_value(32'd0),
        .irq(), .start(), .source(), .target(), .images(), .p_valid(), .p_unit(),
        .p_thresholds(), .p_item(), .p_index(), .p_data(), .probe()
    );
endmodule
`default_nettype wire
