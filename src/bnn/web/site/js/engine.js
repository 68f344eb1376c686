// SPDX-License-Identifier: BSD-3-Clause
// The page's side of js/worker.js: a model in its own thread, with an end to every wait.
import { bestCore } from "./core.js";
import { UserError } from "./errors.js";

const LOAD_MS = 60_000;
const RUN_MS = 30_000;

let compiled = null;

/** The compiled core, the fastest that the browser runs. `kernel` forces a file, for tests. */
export function coreModule(kernel = null) {
  const name = kernel ?? bestCore();
  compiled ??= {};
  compiled[name] ??= fetchModule(`bnn-${name}.wasm`);
  return compiled[name];
}

async function fetchModule(name) {
  const response = await fetch(new URL(`../${name}`, import.meta.url));
  if (!response.ok) throw new UserError(`${name}: ${response.status}`, "error.offline");
  return WebAssembly.compile(await response.arrayBuffer());
}

export class Engine {
  /** A model from the bytes of a .bnn file. Throws UserError. */
  static async load(data, { kernel = null } = {}) {
    const module = await coreModule(kernel);
    const engine = new Engine();
    engine.info = await engine.ask("load", { module, data }, [], LOAD_MS);
    return engine;
  }

  constructor() {
    this.waiting = new Map();
    this.next = 0;
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data: { id, result, error } }) => {
      const { resolve, reject, timer } = this.waiting.get(id) ?? {};
      if (!resolve) return;
      clearTimeout(timer);
      this.waiting.delete(id);
      if (error) reject(new UserError(error.message, error.key));
      else resolve(result);
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.close(new UserError(`the model's thread failed: ${event.message ?? ""}`));
    };
  }

  /** Whether something is asked and not answered yet. */
  get busy() {
    return this.waiting.size > 0;
  }

  ask(task, given, transfer = [], limit = RUN_MS) {
    if (this.closed) return Promise.reject(this.closed);
    return new Promise((resolve, reject) => {
      const id = this.next++;
      const timer = setTimeout(
        () => this.close(new UserError(`took longer than ${limit / 1000} seconds`, "error.slow")),
        limit,
      );
      this.waiting.set(id, { resolve, reject, timer });
      this.worker.postMessage({ id, task, given }, transfer);
    });
  }

  /** Ends the thread; what waits is an error. */
  close(reason = new UserError("the model was removed")) {
    this.closed = reason;
    this.worker.terminate();
    for (const { reject, timer } of this.waiting.values()) {
      clearTimeout(timer);
      reject(reason);
    }
    this.waiting.clear();
  }
}
