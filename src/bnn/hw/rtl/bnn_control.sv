// SPDX-License-Identifier: BSD-3-Clause
// AXI4-Lite registers: identity, start and done, buffers, parameter loading, counters.
//
// Offsets and bits come from bnn_registers.svh, rendered from bnn.hw.registers. A start that cannot
// run raises the error flag and is done at once. One access at a time; unknown
// offsets read 0 and ignore writes; write strobes are not looked at (32-bit accesses only).
// Requests are registered before they are looked at, and answered from registers: the master may
// be far away on the chip.
`default_nettype none
module bnn_control #(
    parameter logic [31:0] DESIGN     = 0,  // what the driver must find
    parameter logic [31:0] PARAMETERS = 0   // parameter writes that make a full set; 0: all baked in
) (
    input  wire         clk,
    input  wire         rst,

    input  wire  [7:0]  s_axi_awaddr,
    input  wire         s_axi_awvalid,
    output wire         s_axi_awready,
    input  wire  [31:0] s_axi_wdata,
    input  wire  [3:0]  s_axi_wstrb,
    input  wire         s_axi_wvalid,
    output wire         s_axi_wready,
    output wire  [1:0]  s_axi_bresp,
    output logic        s_axi_bvalid,
    input  wire         s_axi_bready,
    input  wire  [7:0]  s_axi_araddr,
    input  wire         s_axi_arvalid,
    output wire         s_axi_arready,
    output logic [31:0] s_axi_rdata,
    output wire  [1:0]  s_axi_rresp,
    output logic        s_axi_rvalid,
    input  wire         s_axi_rready,
    output wire         irq,

    output logic        start,              // one cycle; addresses and images are valid from then on
    output logic [63:0] source,
    output logic [63:0] target,
    output logic [31:0] images,
    input  wire         finished,           // one cycle
    input  wire         image_done,         // one cycle for each image that has left
    input  wire         bus_error,

    output logic        p_valid,
    output logic [7:0]  p_unit,
    output logic        p_levels,
    output logic [15:0] p_item,
    output logic [19:0] p_index,
    output logic [31:0] p_data,

    output logic [15:0] probe,
    input  wire  [31:0] probe_value
);
    `include "bnn_registers.svh"

    // ---- bus ------------------------------------------------------------------------------
    logic write, read;                      // a request is taken; its values are in these:
    logic [7:0] w_at, r_at;
    logic [31:0] value;
    assign s_axi_awready = write;
    assign s_axi_wready  = write;
    assign s_axi_arready = read;
    assign s_axi_bresp   = 2'b00;
    assign s_axi_rresp   = 2'b00;
    wire unused = &{1'b0, s_axi_wstrb, s_axi_awaddr[1:0], s_axi_araddr[1:0]};

    always_ff @(posedge clk) begin
        w_at  <= {s_axi_awaddr[7:2], 2'b00};
        r_at  <= {s_axi_araddr[7:2], 2'b00};
        value <= s_axi_wdata;
        if (rst) begin
            write        <= 1'b0;
            read         <= 1'b0;
            s_axi_bvalid <= 1'b0;
            s_axi_rvalid <= 1'b0;
        end else begin
            write <= s_axi_awvalid && s_axi_wvalid && !write && !s_axi_bvalid;
            read  <= s_axi_arvalid && !read && !s_axi_rvalid;
            if (write) s_axi_bvalid <= 1'b1;
            else if (s_axi_bready) s_axi_bvalid <= 1'b0;
            if (read) s_axi_rvalid <= 1'b1;
            else if (s_axi_rready) s_axi_rvalid <= 1'b0;
        end
    end

    // ---- start, done, errors ---------------------------------------------------------------
    logic busy, done, enabled, raised;
    logic [31:0] loaded, identified;       // parameter writes; what the driver called the full set
    logic [ERROR_BITS-1:0] error, refusal;
    wire asked = write && w_at == CONTROL && value[CONTROL_START];
    wire full_set = PARAMETERS == 0 || loaded == PARAMETERS;
    always_ff @(posedge clk) begin          // two cycles after a write; the next comes after three
        refusal                  <= '0;
        refusal[ERROR_SOURCE]    <= source == 0;
        refusal[ERROR_TARGET]    <= target == 0;
        refusal[ERROR_IMAGES]    <= images == 0;
        refusal[ERROR_UNLOADED]  <= !full_set;
        refusal[ERROR_ALIGNMENT] <= source[2:0] != 0 || target[2:0] != 0;
    end
    wire parameter_write = write && w_at == PARAMETER_DATA;
    assign irq = raised && enabled;

    always_ff @(posedge clk) begin
        start   <= 1'b0;
        p_valid <= parameter_write && !busy;
        p_data  <= value;
        if (p_valid) p_index <= p_index + 1'b1;
        if (rst) begin
            busy       <= 1'b0;
            done       <= 1'b0;
            enabled <= 1'b0;
            raised        <= 1'b0;
            error      <= '0;
            source     <= '0;
            target     <= '0;
            images     <= '0;
            loaded     <= '0;
            identified <= '0;
            p_unit     <= '0;
            p_levels   <= 1'b0;
            p_item     <= '0;
            p_index    <= '0;
            probe      <= '0;
        end else begin
            if (read && r_at == CONTROL) done <= 1'b0;
            if (finished) begin
                busy <= 1'b0;
                done <= 1'b1;
                raised  <= 1'b1;
            end
            if (busy && bus_error) error[ERROR_BUS] <= 1'b1;
            if (asked) begin
                if (busy) error[ERROR_BUSY] <= 1'b1;
                else begin
                    error <= refusal;
                    start <= refusal == '0;
                    busy  <= refusal == '0;
                    done  <= refusal != '0;
                    raised   <= refusal != '0;
                end
            end
            if (parameter_write && busy) error[ERROR_BUSY] <= 1'b1;
            if (parameter_write && !busy) begin
                loaded     <= loaded + 1'b1;
                identified <= '0;
            end
            if (write && !busy)
                case (w_at)
                    SOURCE_LOW:  source[31:0]  <= value;
                    SOURCE_HIGH: source[63:32] <= value;
                    TARGET_LOW:  target[31:0]  <= value;
                    TARGET_HIGH: target[63:32] <= value;
                    IMAGES:      images        <= value;
                    PARAMETER_COUNT: begin
                        loaded     <= '0;
                        identified <= '0;
                    end
                    PARAMETER_ID: if (PARAMETERS != 0) identified <= value;
                    PARAMETER_TARGET: begin
                        p_unit   <= value[31:24];
                        p_levels <= value[16];
                        p_item   <= value[15:0];
                        p_index  <= '0;
                    end
                    default: ;
                endcase
            if (write && w_at == PROBE) probe <= value[15:0];
            if (write && w_at == INTERRUPT_ENABLE) enabled <= value[0];
            if (write && w_at == INTERRUPT_STATUS && value[0]) raised <= 1'b0;
        end
    end

    // ---- counters: from start to the first, the last image and the end ----------------------
    logic [47:0] cycles, first, last;
    logic seen;
    always_ff @(posedge clk) begin
        if (start) begin
            cycles <= '0;
            first  <= '0;
            last   <= '0;
            seen   <= 1'b0;
        end else if (busy) begin
            cycles <= cycles + 1'b1;
            if (image_done) begin
                if (!seen) first <= cycles;
                last <= cycles;
                seen <= 1'b1;
            end
        end
    end

    always_ff @(posedge clk)
        if (read)
            case (r_at)
                CONTROL: begin
                    s_axi_rdata <= '0;
                    s_axi_rdata[CONTROL_START] <= busy;
                    s_axi_rdata[CONTROL_DONE]  <= done;
                    s_axi_rdata[CONTROL_IDLE]  <= !busy;
                    s_axi_rdata[CONTROL_ERROR] <= error != '0;
                end
                INTERRUPT_ENABLE: s_axi_rdata <= {31'b0, enabled};
                INTERRUPT_STATUS: s_axi_rdata <= {31'b0, raised};
                ERROR:            s_axi_rdata <= 32'(error);
                IDENTITY:         s_axi_rdata <= IDENTITY_VALUE;
                DESIGN_ID:        s_axi_rdata <= DESIGN;
                SOURCE_LOW:       s_axi_rdata <= source[31:0];
                SOURCE_HIGH:      s_axi_rdata <= source[63:32];
                TARGET_LOW:       s_axi_rdata <= target[31:0];
                TARGET_HIGH:      s_axi_rdata <= target[63:32];
                IMAGES:           s_axi_rdata <= images;
                PARAMETER_COUNT:  s_axi_rdata <= loaded;
                PARAMETER_ID:     s_axi_rdata <= identified;
                CYCLES_LOW:       s_axi_rdata <= cycles[31:0];
                CYCLES_HIGH:      s_axi_rdata <= 32'(cycles[47:32]);
                FIRST_LOW:        s_axi_rdata <= first[31:0];
                FIRST_HIGH:       s_axi_rdata <= 32'(first[47:32]);
                LAST_LOW:         s_axi_rdata <= last[31:0];
                LAST_HIGH:        s_axi_rdata <= 32'(last[47:32]);
                PROBE:            s_axi_rdata <= 32'(probe);
                PROBE_VALUE:      s_axi_rdata <= probe_value;
                default:          s_axi_rdata <= '0;
            endcase
endmodule
`default_nettype wire
