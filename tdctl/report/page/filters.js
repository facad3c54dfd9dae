// Which cards are shown, and in which order.

let shown = [];               // cards
const placeOf = new Map();    // card -> its place among the shown
let lowerNames = null, byName = null;

function filtersNow() {
  return {
    search: byId("search").value.trim().toLowerCase(),
    sort: byId("sort").value,
    given: byId("given").value,
    suggested: byId("suggested").value,
    decided: byId("decided").value,
    differs: byId("differs").checked,
    flagged: byId("flagged").checked,
  };
}

function fits(card, wanted) {
  if (wanted.given !== "" && CARDS.given[card] !== Number(wanted.given)) return false;
  if (wanted.suggested !== "" && CARDS.suggested[card] !== Number(wanted.suggested)) return false;
  if (wanted.differs && !disagrees(card)) return false;
  if (wanted.flagged && !CARDS.flagged[card]) return false;
  if (wanted.decided) {
    const found = decisions.get(card);
    if (wanted.decided === "none" ? found : !found || found.what !== wanted.decided) return false;
  }
  return !wanted.search || lowerNames[card].includes(wanted.search);
}

function nameOrder() {
  if (!byName) {
    const order = new Intl.Collator(undefined, { numeric: true });
    const cards = Array.from({ length: COUNT }, (_, card) => card);
    cards.sort((a, b) => order.compare(nameOf(a), nameOf(b)) || a - b);
    byName = new Int32Array(COUNT);
    cards.forEach((card, place) => { byName[card] = place; });
  }
  return byName;
}

function filterCards() {
  const wanted = filtersNow();
  if (wanted.search && !lowerNames) {
    lowerNames = CARDS.name.map((_, card) => nameOf(card).toLowerCase());
  }
  shown = [];
  for (let card = 0; card < COUNT; card++) if (fits(card, wanted)) shown.push(card);
  if (wanted.sort === "calm") shown.reverse();
  if (wanted.sort === "given") shown.sort((a, b) => CARDS.given[a] - CARDS.given[b] || a - b);
  if (wanted.sort === "suggested") {
    shown.sort((a, b) => CARDS.suggested[a] - CARDS.suggested[b] || a - b);
  }
  if (wanted.sort === "name") {
    const order = nameOrder();
    shown.sort((a, b) => order[a] - order[b]);
  }
  placeOf.clear();
  shown.forEach((card, place) => placeOf.set(card, place));
}

// The classes that occur among the cards, with how often, for a choice.
function fillClasses(select, classes) {
  const counts = new Map();
  for (const label of classes) counts.set(label, (counts.get(label) || 0) + 1);
  select.append(new Option("any", ""));
  for (const label of [...counts.keys()].sort((a, b) => a - b)) {
    select.append(new Option(`${CLASSES[label]} (${counts.get(label)})`, String(label)));
  }
}

function resetFilters() {
  for (const id of ["search", "given", "suggested", "decided"]) byId(id).value = "";
  for (const id of ["differs", "flagged"]) byId(id).checked = false;
  byId("sort").value = "rank";
}
