// SPDX-License-Identifier: BSD-3-Clause
// A safetensors file: 8 bytes of length, a JSON header, one buffer without holes.
import { UserError } from "./errors.js";
import { parse } from "./json.js";

const MAX_FILE_BYTES = 2 ** 29;
const MAX_HEAD_BYTES = 2 ** 24;
const MAX_TENSORS = 4 * 4096;
/** NumPy's name and array of each dtype that a .bnn file has, and bytes of all. */
const TYPES = {
  U8: ["uint8", Uint8Array],
  I8: ["int8", Int8Array],
  I16: ["int16", Int16Array],
  I32: ["int32", Int32Array],
  F32: ["float32", Float32Array],
  F64: ["float64", Float64Array],
};

function refuse(reason) {
  throw new UserError(`is not a .bnn file: ${reason}`);
}

function count(value) {
  return Number.isSafeInteger(value) && value >= 0;
}

/** Metadata and tensors by name: {dtype, shape, bytes, values}. Throws UserError. */
export function readTensors(data) {
  if (data.length > MAX_FILE_BYTES) throw new UserError("is larger than 512 MiB, the most that is read");
  if (data.length < 8) refuse("it has fewer than 8 bytes");
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const size = Number(view.getBigUint64(0, true));
  if (size > MAX_HEAD_BYTES) refuse(`its first 8 bytes state a header of ${size} bytes, more than ${MAX_HEAD_BYTES}`);
  if (8 + size > data.length) refuse("its header does not end");
  const head = readHead(data.subarray(8, 8 + size));
  const buffer = data.slice(8 + size); // aligned anew
  const metadata = head.get("__metadata__") ?? new Map();
  head.delete("__metadata__");
  if (!(metadata instanceof Map) || [...metadata.values()].some((v) => typeof v !== "string"))
    refuse("its metadata are not texts");
  if (head.size > MAX_TENSORS) refuse(`it has ${head.size} tensors, more than ${MAX_TENSORS}`);
  return { metadata, tensors: cut(head, buffer) };
}

function readHead(bytes) {
  let head;
  try {
    head = parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (reason) {
    if (reason instanceof RangeError) refuse("its header is too deep");
    refuse(`its header is not JSON: ${String(reason.message).slice(0, 120)}`);
  }
  if (!(head instanceof Map)) refuse("its header is not an object");
  return head;
}

function cut(head, buffer) {
  const tensors = new Map();
  const parts = [];
  for (const [name, told] of head) {
    const known = told instanceof Map && told.size === 3 ? TYPES[told.get("dtype")] : undefined;
    if (!known) refuse(`tensor ${name.slice(0, 80)} is of an unknown type`);
    const shape = told.get("shape");
    const ends = told.get("data_offsets");
    if (!Array.isArray(shape) || !shape.every(count) || !Array.isArray(ends) || ends.length !== 2)
      refuse(`tensor ${name.slice(0, 80)} has no shape or place`);
    const [first, last] = ends;
    const [dtype, Values] = known;
    const bytes = shape.reduce((product, n) => product * n, Values.BYTES_PER_ELEMENT);
    if (!count(first) || !count(last) || last - first !== bytes || last > buffer.length)
      refuse(`tensor ${name.slice(0, 80)} is outside the file`);
    parts.push([first, last]);
    const copy = buffer.slice(first, last);
    tensors.set(name, { dtype, shape, bytes: copy, values: new Values(copy.buffer) });
  }
  parts.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let at = 0;
  for (const [first, last] of parts) {
    if (first !== at) refuse("its tensors overlap or have holes between them");
    at = last;
  }
  if (at !== buffer.length) refuse("something follows its tensors");
  return tensors;
}
