// SPDX-License-Identifier: BSD-3-Clause
// SHA-256 (FIPS 180-4). The browser's own is missing on pages that are not served over TLS.

const primes = [];
for (let n = 2; primes.length < 64; ++n) if (primes.every((p) => n % p)) primes.push(n);
const bits = (x) => Math.floor((x - Math.floor(x)) * 2 ** 32) >>> 0;
const START = Uint32Array.from(primes.slice(0, 8), (p) => bits(Math.sqrt(p)));
const ROUNDS = Uint32Array.from(primes, (p) => bits(Math.cbrt(p)));

export class Sha256 {
  constructor() {
    this.state = START.slice();
    this.block = new Uint8Array(64);
    this.used = 0;
    this.length = 0;
    this.words = new Uint32Array(64);
  }

  update(bytes) {
    this.length += bytes.length;
    let at = 0;
    while (at < bytes.length) {
      const now = Math.min(64 - this.used, bytes.length - at);
      this.block.set(bytes.subarray(at, at + now), this.used);
      this.used += now;
      at += now;
      if (this.used === 64) this.mix();
    }
    return this;
  }

  mix() {
    const w = this.words;
    const b = this.block;
    for (let i = 0; i < 16; ++i)
      w[i] = (b[4 * i] << 24) | (b[4 * i + 1] << 16) | (b[4 * i + 2] << 8) | b[4 * i + 3];
    for (let i = 16; i < 64; ++i) {
      const x = w[i - 15];
      const y = w[i - 2];
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    let [a, bb, c, d, e, f, g, h] = this.state;
    for (let i = 0; i < 64; ++i) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const one = (h + s1 + ((e & f) ^ (~e & g)) + ROUNDS[i] + w[i]) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const two = (s0 + ((a & bb) ^ (a & c) ^ (bb & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + one) | 0;
      d = c;
      c = bb;
      bb = a;
      a = (one + two) | 0;
    }
    [a, bb, c, d, e, f, g, h].forEach((value, i) => (this.state[i] += value));
    this.used = 0;
  }

  /** The digest as 64 hexadecimal digits; nothing may be added after. */
  hex() {
    const length = this.length;
    this.update(Uint8Array.of(0x80));
    while (this.used !== 56) this.update(Uint8Array.of(0));
    const end = new DataView(new ArrayBuffer(8));
    end.setUint32(0, Math.floor(length / 2 ** 29));
    end.setUint32(4, (length << 3) >>> 0);
    this.update(new Uint8Array(end.buffer));
    return Array.from(this.state, (word) => word.toString(16).padStart(8, "0")).join("");
  }
}
