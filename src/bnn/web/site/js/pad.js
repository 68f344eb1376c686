// SPDX-License-Identifier: BSD-3-Clause
// A sheet to draw a digit on, with a mouse, a pen or a finger.

const PEN = 20;

export class Pad {
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.changed = changed;
    this.last = null;
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"])
      canvas.addEventListener(name, () => this.end());
    this.clear();
  }

  clear() {
    this.context.fillStyle = "#fff";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.empty = true;
  }

  place({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    return [
      ((clientX - box.left) * this.canvas.width) / box.width,
      ((clientY - box.top) * this.canvas.height) / box.height,
    ];
  }

  begin(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.last = this.place(event);
    this.line(this.last, this.last);
  }

  move(event) {
    if (!this.last) return;
    const next = this.place(event);
    this.line(this.last, next);
    this.last = next;
  }

  end() {
    if (!this.last) return;
    this.last = null;
    this.changed();
  }

  line(from, to) {
    this.empty = false;
    Object.assign(this.context, { strokeStyle: "#000", lineWidth: PEN, lineCap: "round", lineJoin: "round" });
    this.context.beginPath();
    this.context.moveTo(...from);
    this.context.lineTo(...to);
    this.context.stroke();
    this.changed();
  }

  picture() {
    const { width, height } = this.canvas;
    return { width, height, data: this.context.getImageData(0, 0, width, height).data };
  }
}
