// SPDX-License-Identifier: BSD-3-Clause
// Packs weights into the layout that an engine reads in order.
#pragma once

#include "aligned.hpp"
#include "encode.hpp"

namespace bnn {

Bytes pack(const BitWeights& weights, const BitEngine& engine);
Bytes pack(const Weights& weights, const PatchLayout& layout, const ByteEngine& engine);
// Groups of a kernel row of a patch.
int groups_of(const PatchLayout& layout, const ByteEngine& engine);
// Whether the engine can and should do patches of `codes` codes (with those that pad its rows).
bool takes(const ByteEngine& engine, const Range& range, int codes);

}  // namespace bnn
