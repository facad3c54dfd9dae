// The grid: only the rows in view are in the page. Cards are laid out by arithmetic.

const GAP = 12, PAD = 4;
// Browsers draw nothing beyond some 17 million pixels; a longer grid scrolls faster.
const TALLEST = 12e6;
const BELOW_PICTURE = 180;

const selected = new Set();
let current = 0;              // the place of the card that keys act on
let anchor = 0;               // where a range begins
let layout = { columns: 1, card: 200, pic: 200, row: 300, gap: GAP };
const rowElements = new Map();

function measure() {
  const grid = byId("grid"), width = grid.clientWidth - 2 * PAD, sheet = byId("sheet").checked;
  const gap = sheet ? 6 : width < 480 ? 8 : GAP;
  const least = sheet ? 92 : width < 480 ? 150 : 196;
  const columns = Math.max(1, Math.floor((width + gap) / (least + gap)));
  const card = (width - gap * (columns - 1)) / columns;
  const pic = HAS_PICTURES ? Math.round(Math.min(card, sheet ? 160 : 230)) : 60;
  layout = { columns, card, pic, gap, row: pic + (sheet ? 2 : BELOW_PICTURE) + gap };
  grid.classList.toggle("sheet", sheet);
  grid.style.setProperty("--pic", `${pic}px`);
}

function rowCount() {
  return Math.ceil(shown.length / layout.columns);
}

function wholeHeight() {
  return rowCount() * layout.row + PAD;
}

// How many pixels of the cards one pixel of scrolling is worth.
function stretch() {
  const view = byId("grid").clientHeight, whole = wholeHeight();
  return whole > TALLEST ? (whole - view) / (TALLEST - view) : 1;
}

function offset() {
  return byId("grid").scrollTop * stretch();
}

// Draws the rows in view; with `anew`, all of them again.
function draw(anew) {
  const grid = byId("grid"), canvas = byId("canvas");
  canvas.style.height = `${Math.min(wholeHeight(), TALLEST)}px`;
  if (anew) {
    rowElements.clear();
    canvas.replaceChildren();
  }
  const from = offset(), view = grid.clientHeight;
  const first = Math.max(0, Math.floor(from / layout.row) - 1);
  const last = Math.min(rowCount() - 1, Math.ceil((from + view) / layout.row) + 1);
  const focused = document.activeElement && document.activeElement.closest(".card");
  for (const [row, element] of rowElements) {
    if (row < first || row > last) {
      element.remove();
      rowElements.delete(row);
    }
  }
  for (let row = first; row <= last; row++) {
    let element = rowElements.get(row);
    if (!element) {
      element = drawRow(row);
      rowElements.set(row, element);
      const next = [...rowElements.keys()].filter(other => other > row).sort((a, b) => a - b)[0];
      canvas.insertBefore(element, next === undefined ? null : rowElements.get(next));
    }
    element.style.top = `${row * layout.row - from + grid.scrollTop}px`;
  }
  if (focused && !focused.isConnected) grid.focus({ preventScroll: true });
  grid.setAttribute("aria-rowcount", rowCount());
  grid.setAttribute("aria-colcount", layout.columns);
}

function drawRow(row) {
  const element = make("div", "row");
  element.setAttribute("role", "row");
  element.setAttribute("aria-rowindex", row + 1);
  element.style.gridTemplateColumns = `repeat(${layout.columns}, minmax(0, 1fr))`;
  element.style.height = `${layout.row - layout.gap + 2 * PAD}px`;
  const start = row * layout.columns;
  const stop = Math.min(start + layout.columns, shown.length);
  for (let place = start; place < stop; place++) element.append(drawCard(place));
  return element;
}

function elementOf(place) {
  const row = rowElements.get(Math.floor(place / layout.columns));
  return row ? row.children[place % layout.columns] : null;
}

// Brings drawn cards up to date after a decision or a selection.
function refresh(cards) {
  if (cards && cards.length < 200) {
    for (const card of cards) {
      const place = placeOf.get(card), element = place === undefined ? null : elementOf(place);
      if (element) paint(element, place);
    }
    return;
  }
  for (const [row, element] of rowElements) {
    [...element.children].forEach((child, at) => paint(child, row * layout.columns + at));
  }
}

function scrollTo(place) {
  const grid = byId("grid"), row = Math.floor(place / layout.columns);
  const top = row * layout.row, bottom = top + layout.row, from = offset();
  const view = grid.clientHeight;
  let to = from;
  if (top < from) to = top;
  else if (bottom > from + view) to = bottom - view;
  if (to !== from) grid.scrollTop = to / stretch();
}

// Makes a card the current one and shows it.
function goTo(place, focus = true) {
  if (!shown.length) return;
  const before = current;
  current = Math.min(Math.max(place, 0), shown.length - 1);
  scrollTo(current);
  draw();
  for (const at of [before, current]) {
    const element = elementOf(at);
    if (element) paint(element, at);
  }
  const element = elementOf(current);
  if (focus && element) element.focus({ preventScroll: true });
}

function select(cards, more) {
  if (!more) selected.clear();
  for (const card of cards) selected.add(card);
  afterSelection();
}

function toggle(card) {
  if (!selected.delete(card)) selected.add(card);
  afterSelection();
}

function between(one, other) {
  return shown.slice(Math.min(one, other), Math.max(one, other) + 1);
}

// What a decision acts on: the selected cards, else the current one.
function chosen() {
  if (selected.size) return [...selected].sort((a, b) => a - b);
  return shown.length ? [shown[current]] : [];
}

// The places whose cards meet a box in the coordinates of the cards.
function within(left, top, right, bottom) {
  const found = [], { columns, card, gap, row } = layout;
  const firstRow = Math.max(0, Math.floor((top - PAD) / row));
  const lastRow = Math.min(rowCount() - 1, Math.floor((bottom - PAD) / row));
  const firstColumn = Math.max(0, Math.ceil((left - PAD - card) / (card + gap)));
  const lastColumn = Math.min(columns - 1, Math.floor((right - PAD) / (card + gap)));
  for (let at = firstRow; at <= lastRow; at++) {
    if (at * row + PAD + row - gap < top) continue;
    for (let column = firstColumn; column <= lastColumn; column++) {
      const place = at * columns + column;
      if (place < shown.length) found.push(shown[place]);
    }
  }
  return found;
}
