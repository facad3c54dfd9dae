// What decisions and keys do.

// Decides on some cards, says what was done, and goes on where it was a single one.
function act(what, cards = byId("large").open ? [shown[current]] : chosen()) {
  if (!cards.length) return;
  if (what === "choose") {
    openChoose(cards);
    return;
  }
  if (what === "relabel" || what === "second") {
    relabelTo(cards, card => (what === "second" ? CARDS.second[card] : CARDS.suggested[card]));
    return;
  }
  const decision = what === "clear" ? null : { what, label: -1 };
  const changed = decide(cards, () => decision);
  afterAct(cards, changed, decision ? SAYS[what] : "Taken back");
}

function relabelTo(cards, labelOf) {
  const fit = cards.filter(card => labelOf(card) >= 0 && labelOf(card) !== CARDS.given[card]);
  const left = cards.length - fit.length;
  if (!fit.length) {
    say(cards.length === 1
      ? "This is the given label already: keep it with K, or choose another with L."
      : "For all of these the label would stay the same: nothing was decided.");
    return;
  }
  const changed = decide(fit, card => ({ what: "relabel", label: labelOf(card) }));
  const rest = left ? `, ${left.toLocaleString("en")} left as the label would stay the same` : "";
  const name = cards.length === 1 ? ` to ${CLASSES[labelOf(fit[0])]}` : "";
  afterAct(cards, changed, `Relabel${name}`, rest);
}

function afterAct(cards, changed, says, rest = "") {
  const many = cards.length > 1;
  say(many ? `${says}: ${plural(changed, "picture")}${rest}.` : `${says}: ${nameOf(cards[0])}.`);
  if (!many && placeOf.get(cards[0]) === current) step(1);
  if (byId("large").open) fillLarge();
}

function step(by, extend) {
  if (extend) {
    if (!selected.size) anchor = current;
    goTo(current + by);
    select(between(anchor, current));
  } else {
    const inLarge = byId("large").open;
    goTo(current + by, !isOpen());
    anchor = current;
    if (inLarge) fillLarge();
  }
}

function nextUndecided() {
  for (let i = 1; i <= shown.length; i++) {
    const place = (current + i) % shown.length;
    if (!decisions.has(shown[place])) {
      goTo(place, !isOpen());
      if (byId("large").open) fillLarge();
      return;
    }
  }
  say("All shown pictures are decided.");
}

function again(changes, word) {
  if (!changes) {
    say(`Nothing to ${word}.`);
    return;
  }
  const place = placeOf.get(changes[0][0]);
  if (place !== undefined) goTo(place, !isOpen());
  say(`${word === "undo" ? "Undone" : "Done again"}: ${plural(changes.length, "picture")}.`);
  if (byId("large").open) fillLarge();
}

const LETTERS = {
  k: () => act("keep"), r: () => act("relabel"), 2: () => act("second"), l: () => act("choose"),
  d: () => act("drop"), u: () => act("unsure"), 0: () => act("clear"),
  Backspace: () => act("clear"), Delete: () => act("clear"),
  n: nextUndecided, o: openOriginal, y: () => again(redo(), "redo"),
};
const ONLY_GRID = {
  a: () => select(shown), "?": () => byId("keys").showModal(),
  "/": () => byId("search").focus(), Escape: () => select([]),
};

function arrows(key) {
  const rows = Math.max(1, Math.floor(byId("grid").clientHeight / layout.row));
  const large = byId("large").open;
  return {
    ArrowLeft: -1, ArrowRight: 1, ArrowUp: large ? -1 : -layout.columns,
    ArrowDown: large ? 1 : layout.columns,
    PageUp: -rows * layout.columns, PageDown: rows * layout.columns,
    Home: -shown.length, End: shown.length,
  }[key];
}

function onKey(event) {
  const large = byId("large").open, target = event.target;
  if (isOpen() && !large) return;
  if (target.matches("input:not([type=checkbox]), select, textarea, summary")) {
    if (event.key === "Escape" && target.id === "search") byId("grid").querySelector(".current")?.focus();
    return;
  }
  const inGrid = large || target.closest("#grid") || target === document.body;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.altKey || !shown.length && !ONLY_GRID[key]) return;
  if (event.ctrlKey || event.metaKey) {
    if (key === "z") again(event.shiftKey ? redo() : undo(), event.shiftKey ? "redo" : "undo");
    else if (key === "y") again(redo(), "redo");
    else if (key === "a" && inGrid && !large) select(shown);
    else return;
    event.preventDefault();
    return;
  }
  const by = arrows(event.key);
  if (key === "z") again(event.shiftKey ? redo() : undo(), event.shiftKey ? "redo" : "undo");
  else if (by !== undefined && inGrid && target.tagName !== "BUTTON") step(by, event.shiftKey && !large);
  else if (key === "Enter" && !large && target.closest(".card") && target.tagName !== "BUTTON") openLarge();
  else if (key === " " && !large && target.closest(".card") && target.tagName !== "BUTTON") {
    anchor = current;
    toggle(shown[current]);
  } else if (LETTERS[key] && inGridOrBar(target, large)) LETTERS[key]();
  else if (!large && ONLY_GRID[key]) ONLY_GRID[key]();
  else return;
  event.preventDefault();
}

// Letters decide wherever no text is typed, but not from the figures far below.
function inGridOrBar(target, large) {
  return large || target === document.body || target.closest("#gallery") !== null;
}
