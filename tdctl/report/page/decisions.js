// What the reviewer decided, with undo and redo, kept in the browser under the run's fingerprint.

const KEY = `tdctl-review:${DATA.fingerprint}`;
const LETTER = { keep: "k", drop: "d", unsure: "u", relabel: "r" };
const WORD = { k: "keep", d: "drop", u: "unsure", r: "relabel" };
const SAYS = { keep: "Keep", drop: "Drop", unsure: "Cannot tell" };

const decisions = new Map();  // card -> {what, label}; label is -1 but with relabel
const others = new Map();     // index -> row of a loaded review whose picture is not in this page
let absent = {};              // index -> what was kept of a picture that is not in this page
const undone = [], done = []; // batches of [card, before, after]
const cardOf = new Map();     // index -> card
for (let card = 0; card < COUNT; card++) cardOf.set(CARDS.index[card], card);

const watchers = [];          // called with the cards that changed
let storage = null;
let unsaved = false;          // decided since the last save to a file

function openStorage() {
  try {
    const found = window.localStorage;
    found.setItem(`${KEY}:test`, "1");
    found.removeItem(`${KEY}:test`);
    storage = found;
  } catch {
    storage = null;
  }
  return storage !== null;
}

function sameDecision(one, other) {
  if (!one || !other) return !one && !other;
  return one.what === other.what && one.label === other.label;
}

function put(changes, place) {
  for (const change of changes) {
    if (change[place]) decisions.set(change[0], change[place]);
    else decisions.delete(change[0]);
  }
  unsaved = true;
  keep();
  watchers.forEach(tell => tell(changes.map(change => change[0])));
}

// One batch: `decided` gives each card its decision, or null for none. Gives how many changed.
function decide(cards, decided) {
  const changes = [];
  for (const card of cards) {
    const before = decisions.get(card) || null, after = decided(card);
    if (!sameDecision(before, after)) changes.push([card, before, after]);
  }
  if (changes.length) {
    done.push(changes);
    undone.length = 0;
    put(changes, 2);
  }
  return changes.length;
}

function undo() {
  const changes = done.pop();
  if (!changes) return null;
  undone.push(changes);
  put(changes, 1);
  return changes;
}

function redo() {
  const changes = undone.pop();
  if (!changes) return null;
  done.push(changes);
  put(changes, 2);
  return changes;
}

function verdictOf(card) {
  const found = decisions.get(card);
  if (!found) return "";
  return found.what === "relabel" ? `→ ${CLASSES[found.label]}` : SAYS[found.what];
}

let waiting = 0;

function keep() {
  if (!storage || waiting) return;
  waiting = setTimeout(keepNow, 150);
}

function keepNow() {
  clearTimeout(waiting);
  waiting = 0;
  if (!storage) return;
  const found = { ...absent };
  for (const [card, one] of decisions) {
    found[CARDS.index[card]] = LETTER[one.what] + (one.what === "relabel" ? one.label : "");
  }
  try {
    storage.setItem(KEY, JSON.stringify({ decided: found, others: [...others.values()] }));
  } catch {
    storage = null;
    warnStorage("The browser's storage is full, so decisions are no longer kept in it.");
  }
}

// Takes over what the browser kept, from an earlier visit or from another tab.
function restore() {
  let found;
  try { found = JSON.parse(storage.getItem(KEY) || "null"); } catch { return 0; }
  if (!found || typeof found.decided !== "object") return 0;
  const before = new Set(decisions.keys());
  decisions.clear();
  others.clear();
  absent = {};
  for (const [index, code] of Object.entries(found.decided)) {
    const card = cardOf.get(Number(index)), what = WORD[code[0]];
    const label = what === "relabel" ? Number(code.slice(1)) : -1;
    // The page was written again with fewer cards: what was decided stays kept.
    if (card === undefined) absent[index] = code;
    else if (what && (what !== "relabel" || label in CLASSES)) decisions.set(card, { what, label });
  }
  for (const row of found.others || []) others.set(Number(row[0]), row);
  watchers.forEach(tell => tell([...new Set([...before, ...decisions.keys()])]));
  return decisions.size;
}

function warnStorage(text) {
  byId("storage").textContent =
    `${text} They are lost when you close this page: save review.csv before you do.`;
  byId("storage").hidden = false;
}
