// SPDX-License-Identifier: BSD-3-Clause
// The camera: the newest frame, as soon as the one before it is done.
import { UserError } from "./errors.js";
import { pixelsOf } from "./pictures.js";

export class Camera {
  /** `frame(picture)` is called with the square in the middle of each frame, and awaited. */
  constructor(video, frame) {
    this.video = video;
    this.frame = frame;
    this.stream = null;
    this.times = [];
    this.busy = false; // a frame is with the models
    this.fresh = false; // another came meanwhile
  }

  get running() {
    return this.stream !== null;
  }

  async start() {
    if (!navigator.mediaDevices?.getUserMedia)
      throw new UserError("", "error.camera-insecure");
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({
        video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "environment" },
        audio: false,
      });
      this.video.srcObject = this.stream;
      await this.video.play();
    } catch (reason) {
      this.stop();
      throw cameraError(reason);
    }
    this.times = [];
    this.next();
  }

  stop() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    this.video.srcObject = null;
  }

  /** Called again for each frame of the video, whether or not the models are done with the one before. */
  next() {
    const { stream } = this;
    const arrived = () => {
      if (!this.running || this.stream !== stream) return; // stopped, perhaps started again
      this.next();
      this.fresh = true;
      this.take();
    };
    if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(arrived);
    else requestAnimationFrame(arrived);
  }

  async take() {
    if (this.busy) return;
    this.busy = true;
    try {
      while (this.running && this.fresh) await this.newest();
    } finally {
      this.busy = false;
    }
  }

  async newest() {
    this.fresh = false;
    const { videoWidth, videoHeight } = this.video;
    if (videoWidth === 0) return;
    await this.frame(pixelsOf(this.video, videoWidth, videoHeight, { square: true }));
    this.times.push(performance.now());
    this.times = this.times.filter((time) => time > this.times.at(-1) - 2000);
  }

  /** Frames a second that were classified, over the last two seconds. */
  get rate() {
    if (this.times.length < 2) return 0;
    return (1000 * (this.times.length - 1)) / (this.times.at(-1) - this.times[0]);
  }
}

function cameraError(reason) {
  const keys = {
    NotFoundError: "error.no-camera",
    OverconstrainedError: "error.no-camera",
    NotAllowedError: "error.camera-refused",
    SecurityError: "error.camera-refused",
  };
  return new UserError(reason.message, keys[reason.name] ?? "error.camera");
}
