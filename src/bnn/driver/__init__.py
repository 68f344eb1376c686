# SPDX-License-Identifier: BSD-3-Clause
"""The accelerator's driver: one class for the board and the simulated system."""

from bnn.driver.driver import Driver, Report
from bnn.driver.ledger import Ledger, Transfer
from bnn.driver.transport import Buffer, Transport
from bnn.hw.loading import Metadata

__all__ = ["Buffer", "Driver", "Ledger", "Metadata", "Report", "Transfer", "Transport"]
