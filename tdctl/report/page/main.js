// Puts the parts together.

function say(text) {
  byId("said").textContent = text;
}

function warn(text) {
  const banner = byId("storage");
  banner.textContent = text;
  banner.hidden = false;
}

function showProgress() {
  const counts = { keep: 0, relabel: 0, drop: 0, unsure: 0 };
  let suspicious = 0;
  for (const [card, found] of decisions) {
    counts[found.what]++;
    if (CARDS.flagged[card]) suspicious++;
  }
  const aim = DATA.flagged || COUNT, have = DATA.flagged ? suspicious : decisions.size;
  const share = aim ? Math.min(100, 100 * have / aim) : 0;
  byId("meter").firstElementChild.style.width = `${share}%`;
  byId("meter").setAttribute("aria-valuenow", Math.round(share));
  const of = DATA.flagged ? "that look wrong" : "shown";
  const parts = [["relabel", "relabelled"], ["keep", "kept"], ["drop", "dropped"], ["unsure", "cannot tell"]]
    .filter(([what]) => counts[what]).map(([what, word]) => `${counts[what].toLocaleString("en")} ${word}`);
  byId("progress").textContent =
    `${have.toLocaleString("en")} of ${aim.toLocaleString("en")} ${of} are decided` +
    (parts.length ? ` (${decisions.size.toLocaleString("en")} in all: ${parts.join(", ")})` : "");
  byId("undo").disabled = !done.length;
  byId("redo").disabled = !undone.length;
}

function showCount() {
  const cards = plural(shown.length, "picture");
  byId("count").textContent = selected.size ? `${selected.size.toLocaleString("en")} of ${cards} selected` : cards;
  byId("none").disabled = !selected.size;
  byId("all").disabled = !shown.length;
}

function afterSelection() {
  refresh();
  showCount();
}

// Filters and sorts anew. It begins at the top, or, to `stay`, at the card that was the current one.
function show(stay) {
  const was = stay === true ? shown[current] : -1;
  filterCards();
  for (const card of selected) if (!placeOf.has(card)) selected.delete(card);
  current = anchor = placeOf.get(was) ?? 0;
  byId("empty").hidden = shown.length > 0;
  byId("grid").hidden = shown.length === 0;
  measure();
  draw(true);
  scrollTo(current);
  draw();
  showCount();
}

function watchTheme() {
  const button = byId("theme"), root = document.documentElement;
  const isDark = () => (root.dataset.theme
    ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  const named = () => { button.textContent = isDark() ? "Light colours" : "Dark colours"; };
  button.hidden = false;
  named();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", named);
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    named();
  });
}

function watchFilters() {
  let later = 0;
  byId("search").addEventListener("input", () => {
    clearTimeout(later);
    later = setTimeout(show, COUNT > 20000 ? 200 : 60);
  });
  for (const id of ["sort", "given", "suggested", "decided", "differs", "flagged", "sheet"]) {
    byId(id).addEventListener("change", show);
  }
  byId("reset").addEventListener("click", () => {
    resetFilters();
    show(true);
  });
  for (const button of document.querySelectorAll(".show-pair")) {
    button.addEventListener("click", () => {
      resetFilters();
      byId("given").value = String(CLASSES.indexOf(button.dataset.given));
      byId("suggested").value = String(CLASSES.indexOf(button.dataset.suggested));
      show();
      byId("gallery").scrollIntoView();
      byId("gallery").focus({ preventScroll: true });
    });
  }
}

function watchGrid() {
  const grid = byId("grid");
  let waits = false;
  grid.addEventListener("scroll", () => {
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => {
      waits = false;
      draw();
    });
  }, { passive: true });
  grid.addEventListener("click", onCardClick);
  grid.addEventListener("dblclick", event => {
    if (placeAt(event.target) >= 0 && !event.target.closest("button")) openLarge();
  });
  grid.addEventListener("focusin", event => {
    const place = placeAt(event.target);
    if (place >= 0 && place !== current) goTo(place, false);
  });
  watchLasso(grid);
  let width = 0;
  new ResizeObserver(() => {
    if (grid.clientWidth && grid.clientWidth !== width) {
      width = grid.clientWidth;
      measure();
      draw(true);
      scrollTo(current);
      draw();
    } else draw();
  }).observe(grid);
}

function watchButtons() {
  byId("undo").addEventListener("click", () => again(undo(), "undo"));
  byId("redo").addEventListener("click", () => again(redo(), "redo"));
  byId("all").addEventListener("click", () => select(shown));
  byId("none").addEventListener("click", () => select([]));
  byId("help").addEventListener("click", () => byId("keys").showModal());
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  for (const button of document.querySelectorAll("[data-close]")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  for (const button of document.querySelectorAll(".decide button")) {
    button.addEventListener("click", () => {
      const one = button.closest("#large") ? [shown[current]] : undefined;
      act(button.dataset.act, one);
    });
  }
  byId("large").addEventListener("close", () => goTo(current));
  byId("choose").addEventListener("close", () => { if (!isOpen()) goTo(current); });
  document.addEventListener("keydown", onKey);
}

function start() {
  document.documentElement.classList.add("js");
  watchTheme();
  if (!COUNT) return;
  byId("app").hidden = false;
  byId("flagged-only").hidden = !DATA.flagged;
  fillClasses(byId("given"), CARDS.given);
  fillClasses(byId("suggested"), CARDS.suggested);
  if (openStorage()) restore();
  else warnStorage("This browser does not let this page keep your decisions.");
  watchers.push(cards => {
    refresh(cards);
    showProgress();
  });
  watchFilters();
  watchGrid();
  watchButtons();
  watchChoose();
  watchFiles();
  show();
  showProgress();
}

start();
