// The larger picture, and the choice among all labels.

let choosing = [];            // cards that get the chosen label
let offered = [], active = 0; // labels in the list, and the one that Enter takes
const recent = [];            // labels chosen before, the last first
const MOST_OFFERED = 60;
let lowerClasses = null;

function isOpen() {
  return document.querySelector("dialog[open]") !== null;
}

function openLarge() {
  if (!shown.length) return;
  fillLarge();
  if (!byId("large").open) byId("large").showModal();
}

function fillLarge() {
  const card = shown[current], image = byId("large-image"), source = pictureOf(card);
  byId("large-title").textContent = nameOf(card);
  image.hidden = !source;
  if (source) image.src = source;
  image.alt = source ? `Picture of ${nameOf(card)}` : "";
  image.onload = () => {
    image.classList.toggle("pixels", Math.max(image.naturalWidth, image.naturalHeight) <= SMALL);
  };
  const second = CARDS.second[card];
  const facts = [
    ["Given", `${givenOf(card)} (${percent(CARDS.pGiven[card])})`],
    ["Suggested", disagrees(card)
      ? `${suggestionOf(card)} (${percent(CARDS.pSuggested[card])})` : "the same"],
    ["Second", second < 0 ? "–" : `${CLASSES[second]} (${percent(CARDS.pSecond[card])})`],
    ["Suspicion", `${CARDS.suspicion[card]}, rank ${(card + 1).toLocaleString("en")} of ${DATA.total.toLocaleString("en")}`],
    ["Index", `${CARDS.index[card]}`],
    ["Decision", verdictOf(card) || "none"],
  ];
  byId("large-facts").replaceChildren(...facts.map(([name, value]) => {
    const line = make("div"), says = make("dd", "", value);
    says.dir = "auto";
    line.append(make("dt", "", name), says);
    return line;
  }));
  byId("large-curve").replaceChildren(curvesOf(card), make("p", "fine",
    "Solid: this picture. Dashed: the average of its given class. Probability of the given label, epoch by epoch."));
  const original = byId("large-original"), url = originalOf(card);
  original.replaceChildren();
  if (url) {
    const link = make("a", "", "Open the original file");
    link.href = url;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    original.append(link, " (key O), where it still lies beside this page");
  }
  const relabel = byId("large").querySelector('[data-act="relabel"]');
  relabel.disabled = !disagrees(card);
  byId("previous").disabled = current === 0;
  byId("next").disabled = current === shown.length - 1;
}

function openOriginal() {
  const url = shown.length ? originalOf(shown[current]) : "";
  if (url) window.open(url, "_blank", "noopener");
  else say("There is no original file to open.");
}

function openChoose(cards) {
  choosing = cards;
  if (!cards.length) return;
  if (!lowerClasses) lowerClasses = CLASSES.map(name => name.toLowerCase());
  byId("choose-of").textContent =
    cards.length === 1 ? `${nameOf(cards[0])}, given ${givenOf(cards[0])}` : plural(cards.length, "picture");
  byId("choose-text").value = "";
  offer();
  byId("choose").showModal();
  byId("choose-text").focus();
}

// The labels that fit what was typed: those that begin so first; without a text, the likely ones.
function offer() {
  const text = byId("choose-text").value.trim().toLowerCase();
  const first = choosing.length === 1
    ? [CARDS.suggested[choosing[0]], CARDS.second[choosing[0]]] : [];
  const likely = [...new Set([...first.filter(label => label >= 0), ...recent])];
  let found = [];
  if (!text) {
    const rest = CLASSES.map((_, label) => label).filter(label => !likely.includes(label));
    found = [...likely, ...rest];
  } else {
    const begin = [], hold = [];
    lowerClasses.forEach((name, label) => {
      if (name.startsWith(text)) begin.push(label);
      else if (name.includes(text)) hold.push(label);
    });
    // The whole name before longer ones that begin with it.
    begin.sort((a, b) => (lowerClasses[b] === text) - (lowerClasses[a] === text) || a - b);
    found = [...begin, ...hold];
  }
  offered = found.slice(0, MOST_OFFERED);
  active = 0;
  byId("choose-list").replaceChildren(...offered.map((label, place) => {
    const item = make("li", "", CLASSES[label]);
    item.id = `choose-${place}`;
    item.dir = "auto";
    item.setAttribute("role", "option");
    item.dataset.place = place;
    if (choosing.length === 1 && label === CARDS.given[choosing[0]]) item.append(make("span", "", "given"));
    else if (first[0] === label) item.append(make("span", "", "suggested"));
    return item;
  }));
  const left = found.length - offered.length;
  byId("choose-more").textContent = !found.length ? "No label has this in its name."
    : left ? `${plural(left, "more label")}: type more of the name.` : "";
  markActive();
}

function markActive() {
  [...byId("choose-list").children].forEach((item, place) => {
    item.setAttribute("aria-selected", place === active);
    if (place === active) item.scrollIntoView({ block: "nearest" });
  });
  const input = byId("choose-text");
  if (offered.length) input.setAttribute("aria-activedescendant", `choose-${active}`);
  else input.removeAttribute("aria-activedescendant");
}

function takeOffered(place) {
  const label = offered[place];
  if (label === undefined) return;
  const at = recent.indexOf(label);
  if (at >= 0) recent.splice(at, 1);
  recent.unshift(label);
  recent.length = Math.min(recent.length, 5);
  byId("choose").close();
  relabelTo(choosing, () => label);
}

function watchChoose() {
  byId("choose-text").addEventListener("input", offer);
  byId("choose-text").addEventListener("keydown", event => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && offered.length) {
      active = (active + step + offered.length) % offered.length;
      markActive();
    } else if (event.key === "Enter") takeOffered(active);
    else return;
    event.preventDefault();
  });
  byId("choose-list").addEventListener("click", event => {
    const item = event.target.closest("li");
    if (item) takeOffered(Number(item.dataset.place));
  });
}
