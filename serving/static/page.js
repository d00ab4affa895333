"use strict";

const get = (id) => document.getElementById(id);
const form = get("form");
const zone = get("zone");
const input = get("file");
let busy = false;
let addresses = []; // of the pictures shown, to be revoked

function say(text, isError = false) {
  get("status").classList.toggle("error", isError);
  get("status").textContent = text;
}

function hideResult() {
  get("result").hidden = true;
  get("maps").hidden = true;
  addresses.forEach((address) => URL.revokeObjectURL(address));
  addresses = [];
  get("pictures").replaceChildren();
}

function decode(base64) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const address = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  addresses.push(address);
  return address;
}

function addParagraph(parent, text) {
  const paragraph = document.createElement("p");
  paragraph.textContent = text;
  parent.append(paragraph);
}

function addPicture(picture) {
  const figure = document.createElement("figure");
  const image = document.createElement("img");
  image.src = decode(picture.png);
  image.alt = picture.alt;
  image.width = picture.width;
  image.height = picture.height;
  const caption = document.createElement("figcaption");
  const name = document.createElement("strong");
  name.textContent = picture.caption;
  caption.append(name);
  figure.append(image, caption);
  figure.classList.toggle("whole", picture.width > 256);
  get("pictures").append(figure);
}

function showResult(answer) {
  get("result").className = answer.verdict;
  get("headline").textContent = answer.headline;
  get("name").textContent = answer.name;
  get("size").textContent = ` (${answer.size} pixels)`;
  get("warning").hidden = !answer.warning;
  get("warning").textContent = answer.warning ? `Warning: ${answer.warning}` : "";
  get("face").hidden = !answer.face;
  get("face").textContent = answer.face || "";
  get("score").textContent = answer.score.replace(/[<=>]/, " $& ");
  get("score").dataset.value = answer.fake_score;
  get("mark").style.left = `${100 * answer.fake_score}%`;
  get("threshold").style.left = `${100 * Math.min(answer.threshold, 1)}%`;
  get("sentences").replaceChildren();
  answer.sentences.forEach((text) => addParagraph(get("sentences"), text));
  answer.pictures.forEach(addPicture);
  get("result").hidden = false;
  get("maps").hidden = false;
}

async function ask(file) {
  const address = `/judge?name=${encodeURIComponent(file.name)}`;
  let response;
  try {
    // Read first, to tell an unreadable file from a server that is gone.
    const body = await file.arrayBuffer();
    response = await fetch(address, { method: "POST", body });
  } catch (error) {
    if (error.name === "NotReadableError" || error.name === "NotFoundError") {
      throw new Error(`${file.name} cannot be read`);
    }
    throw new Error("No answer. Is serve.py still running?");
  }
  const isJson = (response.headers.get("Content-Type") || "").includes("json");
  const answer = isJson ? await response.json() : {};
  if (answer.error || !response.ok) {
    throw new Error(answer.error || `The file was refused (${response.status})`);
  }
  return answer;
}

async function judge(files) {
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
  busy = true;
  zone.classList.add("busy");
  say(`Judging ${file.name} …`);
  try {
    showResult(await ask(file));
    say("");
  } catch (error) {
    say(error.message, true);
  } finally {
    busy = false;
    zone.classList.remove("busy");
    input.value = ""; // so that the same file can be chosen again
  }
}

form.addEventListener("submit", (event) => event.preventDefault());
input.addEventListener("change", () => judge([...input.files]));
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
