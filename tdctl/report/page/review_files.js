// review.csv: saved, loaded, and merged with what another reviewer decided.

const COLUMNS = ["index", "file_name", "given_label", "decision", "new_label"];
const MOST_CONFLICTS = 500;
let incoming = null;          // {add: [[card, decision]], conflicts: [[card, mine, theirs, take]]}

function reviewText() {
  const rows = [...others.entries()];
  for (const [card, found] of decisions) {
    rows.push([CARDS.index[card], [
      CARDS.index[card], CARDS.name[card], givenOf(card), found.what,
      found.what === "relabel" ? CLASSES[found.label] : "",
    ]]);
  }
  rows.sort((a, b) => a[0] - b[0]);
  return csvLine(COLUMNS) + rows.map(([, row]) => csvLine(row)).join("");
}

function saveReview() {
  const url = URL.createObjectURL(new Blob([reviewText()], { type: "text/csv;charset=utf-8" }));
  const link = make("a");
  link.href = url;
  link.download = "review.csv";
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  unsaved = false;
  say(`review.csv holds ${plural(decisions.size + others.size, "decision")}.`);
}

// The rows of a review, checked; throws an Error that says what is wrong.
function readReview(text) {
  const [header, ...rows] = csvRows(text);
  const names = (header || []).map(name => name.trim());
  const at = COLUMNS.map(name => names.indexOf(name));
  if (at.includes(-1)) {
    throw new Error(`it is no review: expected the columns ${COLUMNS.join(", ")}`);
  }
  const labels = new Map(CLASSES.map((name, label) => [name.normalize("NFC").trim(), label]));
  const found = [];
  rows.forEach((cells, number) => {
    const row = at.map(place => plainCell(cells[place] || ""));
    const where = `row ${number + 1}`, what = row[3].trim().toLowerCase();
    if (!/^\d+$/.test(row[0].trim())) throw new Error(`${where} has the index "${row[0]}"`);
    if (!what) return;
    if (!(what in LETTER)) throw new Error(`${where} has the decision "${row[3]}"; expected keep, relabel, drop or unsure`);
    const index = Number(row[0]), card = cardOf.get(index);
    const label = what === "relabel" ? labels.get(row[4].normalize("NFC").trim()) : -1;
    if (label === undefined) throw new Error(`${where} gives the label "${row[4]}", which is no class of this run`);
    if (card === undefined) {
      found.push({ index, row: [index, row[1], row[2], what, what === "relabel" ? CLASSES[label] : ""] });
      return;
    }
    for (const [name, here, ours] of [["file name", row[1], CARDS.name[card]], ["given label", row[2], givenOf(card)]]) {
      if (here.normalize("NFC").trim() !== ours.normalize("NFC").trim()) {
        throw new Error(`${where} has the ${name} "${here}" at index ${index}, and this run has "${ours}": the review is of another run`);
      }
    }
    found.push({ card, decision: { what, label } });
  });
  return found;
}

function loadReview(name, text) {
  let rows;
  try { rows = readReview(text); } catch (error) {
    warn(`${name} was not loaded: ${error.message}.`);
    return;
  }
  incoming = { add: [], conflicts: [], elsewhere: 0 };
  for (const one of rows) {
    if (one.card === undefined) {
      others.set(one.index, one.row);
      incoming.elsewhere++;
      continue;
    }
    const mine = decisions.get(one.card), theirs = one.decision;
    // "Cannot tell" gives way to any other decision.
    if (!mine || mine.what === "unsure") incoming.add.push([one.card, theirs]);
    else if (!sameDecision(mine, theirs) && theirs.what !== "unsure") {
      incoming.conflicts.push([one.card, mine, theirs, false]);
    }
  }
  if (incoming.conflicts.length) showConflicts(name);
  else merge(name);
}

function merge(name) {
  const found = new Map(incoming.add);
  for (const [card, , theirs, take] of incoming.conflicts) if (take) found.set(card, theirs);
  const changed = decide(found.keys(), card => found.get(card));
  keep();
  const elsewhere = incoming.elsewhere
    ? ` ${plural(incoming.elsewhere, "row")} of pictures that are not in this page are kept and saved again.` : "";
  say(`${name}: ${plural(changed, "decision")} taken over.${elsewhere}`);
  incoming = null;
  showProgress();
}

function saysOf(decision) {
  return decision.what === "relabel" ? `relabel to ${CLASSES[decision.label]}` : SAYS[decision.what].toLowerCase();
}

function showConflicts(name) {
  const dialog = byId("conflicts"), all = incoming.conflicts;
  dialog.dataset.name = name;
  byId("conflicts-of").textContent =
    `${name} decides otherwise on ${plural(all.length, "picture")}. Choose for each which decision stays.`;
  byId("conflicts-rows").replaceChildren(...all.slice(0, MOST_CONFLICTS).map(conflictRow));
  byId("conflicts-more").textContent = all.length > MOST_CONFLICTS
    ? `${plural(all.length - MOST_CONFLICTS, "more picture")}: of these your own decision stays, unless you take all of theirs.` : "";
  dialog.showModal();
}

function conflictRow(conflict, number) {
  const [card, mine, theirs, take] = conflict, row = make("tr"), picture = make("td");
  if (pictureOf(card)) {
    const image = make("img");
    image.alt = "";
    image.src = pictureOf(card);
    picture.append(image);
  }
  row.append(picture, make("td", "", nameOf(card)), make("td", "", givenOf(card)));
  [[mine, false], [theirs, true]].forEach(([decision, isTheirs]) => {
    const cell = make("td"), label = make("label", "check"), radio = make("input");
    radio.type = "radio";
    radio.name = `conflict-${number}`;
    radio.checked = take === isTheirs;
    radio.addEventListener("change", () => { conflict[3] = isTheirs; });
    label.append(radio, ` ${saysOf(decision)}`);
    cell.append(label);
    row.append(cell);
  });
  return row;
}

function takeAll(theirs) {
  incoming.conflicts.forEach(conflict => { conflict[3] = theirs; });
  byId("conflicts-rows").replaceChildren(...incoming.conflicts.slice(0, MOST_CONFLICTS).map(conflictRow));
}

function watchFiles() {
  byId("save").addEventListener("click", saveReview);
  byId("load").addEventListener("click", () => byId("file").click());
  byId("file").addEventListener("change", async event => {
    const file = event.target.files[0];
    if (file) loadReview(file.name, await file.text());
    event.target.value = "";
  });
  byId("mine-all").addEventListener("click", () => takeAll(false));
  byId("theirs-all").addEventListener("click", () => takeAll(true));
  byId("merge").addEventListener("click", () => {
    byId("conflicts").close();
    merge(byId("conflicts").dataset.name);
  });
  window.addEventListener("beforeunload", event => {
    keepNow();
    if (!storage && unsaved && decisions.size) event.preventDefault();
  });
  window.addEventListener("pagehide", keepNow);
  // Another tab with the same page decided.
  window.addEventListener("storage", event => {
    if (event.key === KEY && storage) {
      restore();
      done.length = undone.length = 0;
      showProgress();
    }
  });
}
