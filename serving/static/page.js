"use strict";

const get = (id) => document.getElementById(id);
const form = get("form");
const zone = get("zone");
const input = get("file");
let busy = false;
let shown = null; // the file whose verdict is shown; the server keeps nothing
let report = null; // of a video, which would take as long again
let stop = new AbortController(); // of the video that is being judged
let announced = 0; // when it was last said how far that is
let addresses = []; // of the pictures shown, to be revoked

function say(text, isError = false) {
  get("status").classList.toggle("error", isError);
  get("status").textContent = text;
}

function hideResult() {
  get("result").hidden = true;
  addresses.forEach((address) => URL.revokeObjectURL(address));
  addresses = [];
  shown = report = null;
  for (const id of ["picture", "faces", "claims", "limits"]) get(id).replaceChildren();
}

function add(parent, kind, text = "", className = "") {
  const element = document.createElement(kind);
  element.textContent = text;
  element.className = className;
  parent.append(element);
  return element;
}

function decode(base64) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const address = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  addresses.push(address);
  return address;
}

function addPicture(parent, picture) {
  const figure = add(parent, "figure");
  const image = add(figure, "img");
  image.src = decode(picture.png);
  image.alt = picture.alt;
  image.width = picture.width;
  image.height = picture.height;
  const [name, ...more] = picture.caption.split("; ");
  const caption = add(figure, "figcaption");
  add(caption, "strong", name);
  if (more.length) caption.append(`; ${more.join("; ")}`);
}

function addScroller(parent, title) {
  add(parent, "p", `${title}: scroll it sideways to see all of it.`, "hint sideways");
  const box = add(parent, "div", "", "scroller");
  box.tabIndex = 0; // so that keys scroll it
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", title);
  return box;
}

function addScale(parent, face) {
  const scale = add(parent, "div", "", "scale");
  scale.setAttribute("aria-hidden", "true");
  for (const bound of new Set([face.real_below, face.threshold])) {
    add(scale, "span", "", "bound").style.left = `${100 * Math.min(bound, 1)}%`;
  }
  add(scale, "span", "", "mark").style.left = `${100 * face.fake_score}%`;
  const ends = add(parent, "p", "", "ends");
  ends.setAttribute("aria-hidden", "true");
  add(ends, "span", "real");
  add(ends, "span", "fake");
  add(parent, "p", `${face.bounds[0].toUpperCase()}${face.bounds.slice(1)}.`, "hint");
}

function addPictures(parent, pictures, size = "") {
  const row = add(parent, "div", "", `pictures ${size}`);
  pictures.forEach((picture) => addPicture(row, picture));
}

function addMaps(parent, maps) {
  addPictures(parent, maps);
  if (maps.length < 2) return; // as the detector saw it, and no map
  const hint = "A map shows what the score depends on, not that the reason is a good one.";
  add(parent, "p", hint, "hint");
}

function addMapsButton(parent, face) {
  const button = add(parent, "button", `Show what it looked at in face ${face.number}`);
  button.type = "button";
  button.addEventListener("click", () =>
    occupy(`Drawing the maps of face ${face.number} …`, async () => {
      const response = await ask("maps", shown, { face: face.number });
      addMaps(parent, (await response.json()).maps);
      button.remove();
      parent.focus();
    }),
  );
}

function addFace(face, isAlone) {
  const section = add(get("faces"), "section", "", `answer face ${face.verdict}`);
  section.tabIndex = -1;
  const title = isAlone ? "The verdict" : `${face.label}: ${face.title}`;
  section.setAttribute("aria-label", title);
  if (!isAlone) add(section, "h3", title);
  if (face.score) {
    add(section, "p", face.score.replace(/[<=>]/, " $& "), "score").dataset.value =
      face.fake_score;
    addScale(section, face);
  }
  face.notes.forEach((text) => add(section, "p", text, "hint"));
  const sentences = add(section, "div", "", "sentences");
  face.sentences.forEach((text) => add(sentences, "p", text));
  if (face.shown.length) addPictures(section, face.shown, "small");
  else if (face.maps) addMaps(section, face.maps);
  else if (face.number && face.verdict !== "none") addMapsButton(section, face);
}

function showResult(answer) {
  get("answer").className = `answer ${answer.headline.name}`;
  get("headline").textContent = answer.headline.title;
  get("name").textContent = answer.name;
  get("size").textContent = ` (${answer.size} pixels)`;
  get("looked").textContent = answer.looked;
  const said = { sentence: answer.headline.sentence, note: answer.note, generated: answer.generated };
  for (const [id, text] of Object.entries(said)) {
    get(id).hidden = !text;
    get(id).textContent = text || "";
  }
  const place = answer.report && answer.picture ? addScroller(get("picture"), "Time line") : get("picture");
  if (answer.picture) addPicture(place, answer.picture);
  answer.faces.forEach((face) => addFace(face, answer.faces.length === 1));
  answer.origin.forEach((text) => add(get("claims"), "li", text));
  get("origin").hidden = !answer.origin.length;
  answer.limits.forEach((text) => add(get("limits"), "p", text));
  get("checkpoint").textContent = answer.checkpoint_sha256;
  get("precision").textContent = `${answer.precision} on ${answer.device}`;
  get("result").hidden = false;
}

async function ask(what, file, values = {}, signal = null) {
  const query = new URLSearchParams({ name: file.name, ...values });
  let response;
  try {
    // Read first, to tell an unreadable file from a server that is gone.
    const body = await file.arrayBuffer();
    response = await fetch(`/${what}?${query}`, { method: "POST", body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (error.name === "NotReadableError" || error.name === "NotFoundError") {
      throw new Error(`${file.name} cannot be read; it may have changed`);
    }
    throw new Error("No answer. Is serve.py still running?");
  }
  const kind = response.headers.get("Content-Type") || "";
  const isJson = kind.startsWith("application/json");
  const answer = isJson ? await response.clone().json() : {};
  if (answer.error || !response.ok) {
    throw new Error(answer.error || `The file was refused (${response.status})`);
  }
  return response;
}

async function occupy(text, task) {
  if (busy) return;
  busy = true;
  zone.classList.add("busy");
  say(text);
  try {
    await task();
    say("");
  } catch (error) {
    const isCancelled = error.name === "AbortError";
    say(isCancelled ? "Cancelled: nothing was judged." : error.message, !isCancelled);
  } finally {
    busy = false;
    zone.classList.remove("busy");
  }
}

function isVideo(file) {
  const name = file.name.toLowerCase();
  const suffixes = form.dataset.videoSuffixes.split(" ");
  return file.type.startsWith("video/") || suffixes.some((end) => name.endsWith(end));
}

function showProgress(file, { seconds, lasts }) {
  const whole = lasts ? ` of ${Math.ceil(lasts)} s` : " of the video";
  get("place").textContent = `${Math.floor(seconds)}${lasts ? "" : " s"}${whole}`;
  get("progress").removeAttribute("value"); // it is not known how far that is
  get("progress").max = lasts || 1;
  if (lasts) get("progress").value = seconds;
  if (Date.now() - announced < 10_000) return;
  announced = Date.now(); // seldom: it is read aloud
  say(`Judging ${file.name}: ${get("place").textContent} …`);
}

async function* readLines(response) {
  let rest = "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const lines = `${rest}${part.value}`.split("\n");
    rest = lines.pop();
    yield* lines.map((line) => JSON.parse(line));
  }
}

async function watch(file) {
  stop = new AbortController();
  announced = Date.now();
  showProgress(file, { seconds: 0, lasts: null });
  get("watch").hidden = false;
  try {
    const response = await ask("video", file, {}, stop.signal);
    for await (const message of readLines(response)) {
      if (message.error) throw new Error(message.error);
      if (message.headline) return message;
      showProgress(file, message);
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // a TypeError: it was cut off
  } finally {
    if (document.activeElement === get("cancel")) input.focus();
    get("watch").hidden = true;
  }
  throw new Error("The video was not judged to its end. Is serve.py still running?");
}

async function judgePicture(file) {
  return (await ask("judge", file)).json();
}

function judge(files) {
  if (busy || !files.length) return;
  hideResult();
  const file = files[0];
  if (files.length > 1) {
    say("One file at a time, please.", true);
    return;
  }
  const { megabytes, videoMegabytes } = form.dataset;
  const most = Number(isVideo(file) ? videoMegabytes : megabytes);
  if (file.size > most * 1e6) {
    say(`${file.name} is larger than ${most} MB.`, true);
    return;
  }
  occupy(`Judging ${file.name} …`, async () => {
    const answer = await (isVideo(file) ? watch(file) : judgePicture(file));
    shown = file;
    report = answer.report || null;
    showResult(answer);
  }).finally(() => {
    input.value = ""; // so that the same file can be chosen again
  });
}

function download() {
  occupy("Writing the case report …", async () => {
    const sent = report ? new Response(report) : await ask("report", shown);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await sent.blob());
    link.download = `${shown.name}_case.html`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}

form.addEventListener("submit", (event) => event.preventDefault());
input.addEventListener("change", () => judge([...input.files]));
get("report").addEventListener("click", download);
get("cancel").addEventListener("click", () => stop.abort());
for (const kind of ["dragover", "drop"]) {
  // Outside the zone too, or the browser would leave the page for the picture.
  document.addEventListener(kind, (event) => event.preventDefault());
}
document.addEventListener("dragover", () => zone.classList.add("over"));
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) zone.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  zone.classList.remove("over");
  judge([...event.dataTransfer.files]);
});
