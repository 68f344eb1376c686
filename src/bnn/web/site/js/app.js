// SPDX-License-Identifier: BSD-3-Clause
// The page: a picture from somewhere, the chosen models, their answers.
import { Bits } from "./bits.js";
import { Camera } from "./camera.js";
import { Cards } from "./cards.js";
import { bestCore } from "./core.js";
import { $, element, errorsAgain, saidOf, showError } from "./dom.js";
import { coreModule } from "./engine.js";
import { Machine } from "./machine.js";
import { Models } from "./models.js";
import { Pad } from "./pad.js";
import { pictureOf } from "./pictures.js";
import { errorText, firstLanguage, fromAddress, setLanguage, text, translate } from "./words.js";

/** Models that a source of pictures begins with. */
const FIRST = { draw: "lfc-w1a1", file: "cnv-w1a1", camera: "cnv-w1a1" };
/** Milliseconds that a picture is run again for, so that its time can be told. */
const MEASURED_MS = 20;

let picture = null;
let asked = 0;
let chosenByUser = false;
const cards = new Cards();
let models;
let bits;
let camera;
let pad;
let machine;

/** Classifies the present picture on every chosen model. */
async function classify({ measure = true } = {}) {
  const chosen = models.chosen;
  $("nothing").hidden = picture !== null;
  $("cards").hidden = picture === null;
  const turn = ++asked;
  if (picture === null) return;
  cards.keep(chosen.map((model) => model.name));
  const given = { picture, atLeast: measure ? MEASURED_MS : 0 };
  await Promise.all(chosen.map((model) => classifyOn(model, given, turn)));
  if (turn === asked) cards.speak();
}

async function classifyOn(model, given, turn) {
  const card = cards.card(model.name);
  try {
    card.loading();
    const engine = await models.engine(model);
    if (turn !== asked) return;
    const result = await engine.ask("classify", given);
    if (turn !== asked) return;
    card.show(engine.info, result, given.picture.truth);
    model.input = result.bytes;
    machine.compare(model, card, result);
  } catch (reason) {
    if (turn !== asked) return;
    model.input = null; // what was seen before is not this picture
    card.fail(reason);
  }
}

function take(next, options) {
  picture = next;
  if (!camera?.running) forget(); // its steps are those of the picture before
  showError("picture-error");
  return classify(options);
}

/** No steps, no error and no input of the picture before. */
function forget() {
  bits?.hide();
  showError("model-error");
  for (const model of models.all.values()) model.input = null;
}

/** A picture that cannot be used: the one before and its answers go, and `say()` is shown. */
async function refuse(say) {
  stopCamera();
  clearShown();
  pad.clear();
  await take(null);
  showError("picture-error", say);
}

/** Files from a drop, a paste or a button: pictures and models. */
async function takeFiles(files) {
  const isModel = (file) => /\.bnn$/i.test(file.name);
  const pictures = files.filter((file) => !isModel(file));
  if (pictures.length > 0) await takePicture(pictures[0], pictures[0].name);
  if (pictures.length > 1) {
    const told = { file: pictures[0].name, count: pictures.length };
    const before = saidOf("picture-error");
    showError("picture-error", () => [before?.(), text("error.several-pictures", told)].filter(Boolean).join(" "));
  }
  for (const file of files.filter(isModel)) {
    if (picture === null && pictures.length === 0) await takeSample(sampleUrls.cifar10?.[0]);
    await models.open(file);
  }
}

async function takePicture(blob, name) {
  try {
    const next = await pictureOf(blob);
    stopCamera();
    if (selected() !== "draw" || name !== null) select("file");
    drawShown(next);
    await take(next);
  } catch (reason) {
    select("file");
    await refuse(() =>
      name ? text("error.file", { file: name, reason: errorText(reason) }) : errorText(reason),
    );
  }
}

function clearShown() {
  const canvas = $("shown");
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}

/** The picture as it is, fitted into its place. */
function drawShown(shown) {
  const canvas = $("shown");
  const context = canvas.getContext("2d");
  const from = new OffscreenCanvas(shown.width, shown.height);
  from.getContext("2d").putImageData(new ImageData(shown.data, shown.width, shown.height), 0, 0);
  const scale = Math.min(canvas.width / shown.width, canvas.height / shown.height);
  const [w, h] = [shown.width * scale, shown.height * scale];
  context.imageSmoothingEnabled = scale < 1;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(from, (canvas.width - w) / 2, (canvas.height - h) / 2, w, h);
}

// --- sources of pictures ---------------------------------------------------------------

const TABS = ["draw", "file", "camera"];

function selected() {
  return TABS.find((name) => $(`tab-${name}`).getAttribute("aria-selected") === "true");
}

function select(name, { focus = false } = {}) {
  for (const each of TABS) {
    const tab = $(`tab-${each}`);
    tab.setAttribute("aria-selected", String(each === name));
    tab.tabIndex = each === name ? 0 : -1;
    $(each).hidden = each !== name;
  }
  if (focus) $(`tab-${name}`).focus();
  if (name !== "camera") stopCamera();
  if (!chosenByUser && !models.chosen.some((model) => model.name === FIRST[name]))
    models.choose(FIRST[name]);
}

function setUpTabs() {
  TABS.forEach((name, at) => {
    const tab = $(`tab-${name}`);
    tab.addEventListener("click", () => select(name));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) select(TABS[(at + step + TABS.length) % TABS.length], { focus: true });
    });
  });
}

let sampleUrls = {};

function showSamples(samples) {
  sampleUrls = samples;
  for (const [set, urls] of Object.entries(samples)) {
    const place = $(`samples-${set}`);
    place?.replaceChildren(
      ...urls.map((url) => {
        const name = url.split("/").at(-1).replace(".png", "");
        const image = element("img", { src: url, alt: name, width: 32, height: 32 });
        return element("button", { class: "sample", title: name, onclick: () => takeSample(url) }, image);
      }),
    );
  }
}

async function takeSample(url) {
  if (!url) return;
  try {
    const response = await fetch(url);
    const next = await pictureOf(await response.blob());
    next.truth = decodeURIComponent(url.split("/").at(-1).replace(".png", ""));
    stopCamera();
    pad.clear();
    drawShown(next);
    await take(next);
  } catch (reason) {
    await refuse(() => errorText(reason));
  }
}

async function toggleCamera() {
  if (camera.running) return stopCamera();
  showError("picture-error");
  try {
    await camera.start();
    showCameraButton();
  } catch (reason) {
    showError("picture-error", () => errorText(reason));
  }
}

function stopCamera() {
  if (!camera?.running) return;
  camera.stop();
  showCameraButton();
}

function showCameraButton() {
  $("camera-button").dataset.t = camera.running ? "camera.stop" : "camera.start";
  translate($("camera"));
}

async function frame(next) {
  await take(next, { measure: false });
  $("camera-rate").value = text("camera.rate", { rate: camera.rate.toFixed(1) });
}

function setUpFiles() {
  const choose = (input) =>
    input.addEventListener("change", async () => {
      await takeFiles([...input.files]);
      input.value = "";
    });
  choose($("choose"));
  choose($("open"));
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) document.body.classList.remove("dragging");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    takeFiles([...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length > 0) takeFiles(files);
  });
}

// --- the page ----------------------------------------------------------------------------

function setUpLanguage() {
  const choice = $("language");
  choice.value = firstLanguage();
  setLanguage(choice.value);
  choice.addEventListener("change", () => {
    setLanguage(choice.value);
    models?.show();
    for (const card of cards.cards.values()) card.again();
    bits?.again();
    errorsAgain();
    showCore();
    showCameraButton();
    if (machine?.runtime) classify({ measure: false });
  });
}

function showCore() {
  const kernel = text(`about.kernel.${bestCore()}`);
  $("core").textContent = text("about.core", { kernel });
  $("about-machine").hidden = !machine?.runtime;
  $("about-machine").textContent = machine?.runtime ? text("about.machine", { runtime: machine.runtime }) : "";
}

async function start() {
  $("loading").hidden = true;
  setUpLanguage();
  if (typeof WebAssembly !== "object") return showError("trouble", () => text("error.wasm"));
  showCore();
  let listed;
  try {
    listed = await (await fetch("models.json")).json();
    await coreModule();
  } catch (reason) {
    return showError("trouble", () => errorText(reason.key ? reason : { key: "error.offline" }));
  }
  machine = new Machine(listed.machine);
  showCore();
  models = new Models(listed.models, () => {
    bits.offer(models.chosen);
    classify();
  });
  bits = new Bits(models);
  pad = new Pad($("pad"), () => take(pad.picture(), { measure: false }));
  camera = new Camera($("video"), frame);
  models.choose(FIRST.draw);
  $("model-list").addEventListener("change", () => (chosenByUser = true));
  $("clear").addEventListener("click", () => {
    pad.clear();
    take(null);
  });
  $("camera-button").addEventListener("click", toggleCamera);
  setUpTabs();
  setUpFiles();
  showSamples(listed.samples);
  // The first model is ready before the first stroke.
  await models.engine(models.chosen[0]).catch((reason) => showError("trouble", () => errorText(reason)));
  if (fromAddress("show") === "bits") await showBits(listed.samples.mnist?.[3]);
  document.documentElement.dataset.ready = "true";
}

/** Only the picture and the bits: those of a sample at its first sums. Other pages show it so in a frame. */
async function showBits(sample) {
  document.documentElement.dataset.show = "bits";
  await takeSample(sample);
  await bits.walk();
  const first = bits.walked?.info.edges.findIndex(({ kind }) => kind === "dot") ?? -1;
  if (first >= 0) await bits.go(first);
}

start();
