// One card, and what the mouse does with it.

const BUTTONS = [
  ["keep", "✓", "d-keep", () => "Keep"],
  ["relabel", "→", "d-relabel", card => `Relabel to ${suggestionOf(card)}`],
  ["choose", "…", "d-relabel", () => "Relabel to another label"],
  ["drop", "✕", "d-drop", () => "Drop"],
  ["unsure", "?", "d-unsure", () => "Cannot tell"],
];
// Below this many pixels a side a picture is shown as squares.
const SMALL = 64;

function drawCard(place) {
  const card = shown[place], element = make("div", "card");
  element.setAttribute("role", "gridcell");
  element.setAttribute("aria-colindex", (place % layout.columns) + 1);
  element.dataset.place = place;
  // Who hears the page gets one sentence in place of the parts.
  const spark = make("div", "spark"), seen = [picturePart(card), textPart(card), spark];
  spark.append(curvesOf(card));
  seen.forEach(part => part.setAttribute("aria-hidden", "true"));
  element.append(make("span", "sr"), ...seen, buttonsPart(card));
  paint(element, place);
  return element;
}

function picturePart(card) {
  const pic = make("div", "pic"), source = pictureOf(card);
  if (source) {
    const image = make("img");
    image.alt = "";
    image.decoding = "async";
    image.draggable = false;
    image.addEventListener("load", () => {
      image.classList.toggle("pixels", Math.max(image.naturalWidth, image.naturalHeight) <= SMALL);
    });
    image.src = source;
    pic.append(image);
  } else pic.append(make("span", "missing", "no picture"));
  pic.append(make("span", "rank", `${card + 1}`), make("span", "tick"), make("span", "verdict"));
  return pic;
}

function textPart(card) {
  const text = make("div", "text"), file = make("div", "file", nameOf(card));
  file.title = nameOf(card);
  file.dir = "auto";
  text.append(file, labelLine("given", CARDS.given[card], CARDS.pGiven[card]));
  const agrees = !disagrees(card);
  text.append(labelLine("suggested", CARDS.suggested[card], CARDS.pSuggested[card], agrees));
  const second = CARDS.second[card];
  if (second >= 0) text.append(labelLine("second", second, CARDS.pSecond[card]));
  const suspicion = make("div", "line");
  suspicion.append(make("span", "key", "suspicion"), make("span", "p", CARDS.suspicion[card]));
  text.append(suspicion);
  return text;
}

function labelLine(key, label, perMille, same) {
  const line = make("div", "line"), name = make("b", "", same ? "the same" : CLASSES[label]);
  name.dir = "auto";
  name.title = CLASSES[label];
  line.append(make("span", "key", key), name, make("span", "p", percent(perMille)));
  return line;
}

function buttonsPart(card) {
  const buttons = make("div", "buttons");
  for (const [act, sign, className, says] of BUTTONS) {
    const button = make("button", className, sign);
    button.type = "button";
    button.tabIndex = -1;
    button.dataset.act = act;
    button.title = says(card);
    button.setAttribute("aria-label", says(card));
    button.disabled = act === "relabel" && !disagrees(card);
    buttons.append(button);
  }
  return buttons;
}

// What changes of a card once it is drawn.
function paint(element, place) {
  const card = shown[place], found = decisions.get(card), verdict = verdictOf(card);
  const isSelected = selected.has(card), isCurrent = place === current;
  element.className = `card${found ? ` v-${found.what}` : ""}${isCurrent ? " current" : ""}`;
  element.tabIndex = isCurrent ? 0 : -1;
  element.setAttribute("aria-selected", isSelected);
  element.firstElementChild.textContent = described(card, verdict);
  element.querySelector(".tick").textContent = isSelected ? "✓" : "";
  const label = element.querySelector(".verdict");
  label.textContent = verdict;
  label.hidden = !verdict;
  for (const button of element.querySelectorAll(".buttons button")) {
    const act = button.dataset.act;
    const suggested = found && found.label === CARDS.suggested[card];
    const pressed = found && (found.what === "relabel"
      ? act === (suggested ? "relabel" : "choose") : act === found.what);
    button.setAttribute("aria-pressed", Boolean(pressed));
  }
}

function described(card, verdict) {
  const suggestion = disagrees(card)
    ? `suggested ${suggestionOf(card)}, ${percent(CARDS.pSuggested[card])}` : "the suggestion is the same";
  return `Rank ${card + 1}, ${nameOf(card)}, given ${givenOf(card)}, ` +
    `${percent(CARDS.pGiven[card])}, ${suggestion}, ${verdict || "not decided"}`;
}

function placeAt(target) {
  const element = target.closest ? target.closest(".card") : null;
  return element ? Number(element.dataset.place) : -1;
}

function onCardClick(event) {
  const place = placeAt(event.target);
  if (place < 0) return;
  const card = shown[place], button = event.target.closest("button");
  if (button) {
    goTo(place, false);
    act(button.dataset.act, [card]);
    return;
  }
  if (event.shiftKey) select(between(anchor, place), event.ctrlKey || event.metaKey);
  else {
    anchor = place;
    if (event.ctrlKey || event.metaKey || event.target.closest(".tick")) toggle(card);
    else if (selected.size === 1 && selected.has(card)) select([]);
    else select([card]);
  }
  goTo(place);
}

// Dragging draws a box; what it meets is selected.
function watchLasso(grid) {
  let begun = null, moved = false, before = null;
  const pointIn = event => {
    const box = grid.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top + offset()];
  };
  grid.addEventListener("pointerdown", event => {
    if (event.button !== 0 || event.pointerType === "touch" || event.target.closest("button")) return;
    const box = grid.getBoundingClientRect();
    if (event.clientX > box.left + grid.clientWidth) return;  // the scroll bar
    begun = pointIn(event);
    moved = false;
    before = event.ctrlKey || event.metaKey || event.shiftKey ? new Set(selected) : new Set();
  });
  window.addEventListener("pointermove", event => {
    if (!begun) return;
    const [x, y] = pointIn(event);
    if (!moved && Math.hypot(x - begun[0], y - begun[1]) < 8) return;
    moved = true;
    const box = grid.getBoundingClientRect();
    if (event.clientY > box.bottom - 24) grid.scrollTop += 24;
    if (event.clientY < box.top + 24) grid.scrollTop -= 24;
    showLasso(Math.min(x, begun[0]), Math.min(y, begun[1]), Math.max(x, begun[0]), Math.max(y, begun[1]));
    selected.clear();
    before.forEach(card => selected.add(card));
    select(within(Math.min(x, begun[0]), Math.min(y, begun[1]), Math.max(x, begun[0]), Math.max(y, begun[1])), true);
  });
  window.addEventListener("pointerup", () => {
    begun = null;
    byId("lasso").hidden = true;
  });
  // The click that ends a drag is none.
  grid.addEventListener("click", event => {
    if (moved) {
      moved = false;
      event.stopPropagation();
    }
  }, true);
}

function showLasso(left, top, right, bottom) {
  const lasso = byId("lasso"), grid = byId("grid");
  lasso.hidden = false;
  lasso.style.left = `${left}px`;
  lasso.style.top = `${top - offset() + grid.scrollTop}px`;
  lasso.style.width = `${right - left}px`;
  lasso.style.height = `${bottom - top}px`;
}
