# SPDX-License-Identifier: BSD-3-Clause
# Signatures of native/bindings.cpp; a test holds the names equal.

def cpu_features() -> list[str]: ...
