"use strict";

const get = (id) => document.getElementById(id);
const form = get("form");
const zone = get("zone");
const input = get("file");
let busy = false;
let shown = null; // the file whose verdict is shown; the server keeps nothing
let addresses = []; // of the pictures shown, to be revoked

function say(text, isError = false) {
  get("status").classList.toggle("error", isError);
  get("status").textContent = text;
}

function hideResult() {
  get("result").hidden = true;
  addresses.forEach((address) => URL.revokeObjectURL(address));
  addresses = [];
  shown = null;
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

function addMaps(parent, maps) {
  const pictures = add(parent, "div", "", "pictures");
  maps.forEach((picture) => addPicture(pictures, picture));
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
  const title = isAlone ? "The verdict" : `Face ${face.number}: ${face.title}`;
  section.setAttribute("aria-label", title);
  if (!isAlone) add(section, "h3", title);
  if (face.score) {
    add(section, "p", face.score.replace(/[<=>]/, " $& "), "score").dataset.value =
      face.fake_score;
    addScale(section, face);
  }
  const sentences = add(section, "div", "", "sentences");
  face.sentences.forEach((text) => add(sentences, "p", text));
  if (face.maps) addMaps(section, face.maps);
  else if (face.verdict !== "none") addMapsButton(section, face);
}

function showResult(answer) {
  get("answer").className = `answer ${answer.headline.name}`;
  get("headline").textContent = answer.headline.title;
  get("name").textContent = answer.name;
  get("size").textContent = ` (${answer.size} pixels)`;
  get("looked").textContent = answer.looked;
  get("sentence").hidden = !answer.headline.sentence;
  get("sentence").textContent = answer.headline.sentence || "";
  if (answer.picture) addPicture(get("picture"), answer.picture);
  answer.faces.forEach((face) => addFace(face, answer.faces.length === 1));
  answer.origin.forEach((text) => add(get("claims"), "li", text));
  get("origin").hidden = !answer.origin.length;
  answer.limits.forEach((text) => add(get("limits"), "p", text));
  get("result").hidden = false;
}

async function ask(what, file, values = {}) {
  const query = new URLSearchParams({ name: file.name, ...values });
  let response;
  try {
    // Read first, to tell an unreadable file from a server that is gone.
    const body = await file.arrayBuffer();
    response = await fetch(`/${what}?${query}`, { method: "POST", body });
  } catch (error) {
    if (error.name === "NotReadableError" || error.name === "NotFoundError") {
      throw new Error(`${file.name} cannot be read; it may have changed`);
    }
    throw new Error("No answer. Is serve.py still running?");
  }
  const isJson = (response.headers.get("Content-Type") || "").includes("json");
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
    say(error.message, true);
  } finally {
    busy = false;
    zone.classList.remove("busy");
  }
}

function judge(files) {
  if (busy || !files.length) return;
  hideResult();
  const file = files[0];
  if (files.length > 1) {
    say("One picture at a time, please.", true);
    return;
  }
  if (file.size > Number(form.dataset.mostBytes)) {
    say(`${file.name} is larger than ${form.dataset.mostMegabytes} MB.`, true);
    return;
  }
  occupy(`Judging ${file.name} …`, async () => {
    const response = await ask("judge", file);
    shown = file;
    showResult(await response.json());
  }).finally(() => {
    input.value = ""; // so that the same file can be chosen again
  });
}

function download() {
  occupy("Writing the case report …", async () => {
    const response = await ask("report", shown);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await response.blob());
    link.download = `${shown.name}_case.html`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}

form.addEventListener("submit", (event) => event.preventDefault());
input.addEventListener("change", () => judge([...input.files]));
get("report").addEventListener("click", download);
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
