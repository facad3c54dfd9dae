// What the page was written with: the cards, worst first, and the classes. A card is a number.

const DATA = JSON.parse(document.getElementById("data").textContent);
const CARDS = DATA.cards || { index: [] };
const COUNT = CARDS.index.length;
const CLASSES = DATA.classes || [];
const STEPS = DATA.steps || 1;
const CURVES = bytes(CARDS.curve || "");
const TYPICAL = bytes(DATA.typical || "");
const HAS_PICTURES = COUNT > 0 && CARDS.picture.some(text => text);
const KIND = { p: "image/png", j: "image/jpeg" };

function bytes(text) {
  const raw = atob(text);
  const found = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) found[i] = raw.charCodeAt(i);
  return found;
}

function byId(id) {
  return document.getElementById(id);
}

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function plural(count, one, many) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many || one + "s"}`;
}

function percent(perMille) {
  return perMille > 0 && perMille < 10 ? "<1 %" : `${Math.round(perMille / 10)} %`;
}

function nameOf(card) {
  return CARDS.name[card] || `index ${CARDS.index[card]}`;
}

function givenOf(card) {
  return CLASSES[CARDS.given[card]];
}

function suggestionOf(card) {
  return CLASSES[CARDS.suggested[card]];
}

// Whether the suggestion is another label than the given one.
function disagrees(card) {
  return CARDS.suggested[card] !== CARDS.given[card];
}

function pictureOf(card) {
  const text = CARDS.picture[card];
  return text ? `data:${KIND[text[0]]};base64,${text.slice(1)}` : "";
}

// Where the original file lies, relative to this page; empty where it is no file.
function originalOf(card) {
  if (!DATA.folder || !CARDS.name[card]) return "";
  return DATA.folder + CARDS.name[card].split("/").map(part => {
    try { return encodeURIComponent(part); } catch { return ""; }
  }).join("/");
}

// The curve of a card beside its class's typical one, as an SVG element.
function curvesOf(card) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 30");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  line(svg, "axis", "M0 30H100M0 0H100");
  line(svg, "usual", path(TYPICAL, CARDS.given[card]));
  line(svg, "own", path(CURVES, card));
  return svg;
}

function line(svg, className, d) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", "path");
  element.setAttribute("class", className);
  element.setAttribute("d", d);
  svg.append(element);
}

function path(values, row) {
  const wide = STEPS > 1 ? 100 / (STEPS - 1) : 100;
  let d = "";
  for (let step = 0; step < STEPS; step++) {
    const y = (30 - values[row * STEPS + step] * 30 / 255).toFixed(1);
    d += `${step ? "L" : "M"}${(step * wide).toFixed(1)} ${y}`;
    if (STEPS === 1) d += `L100 ${y}`;
  }
  return d;
}
