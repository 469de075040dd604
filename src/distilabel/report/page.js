"use strict";
// The table of rows. Nothing of a row is ever made HTML: texts are put in by textContent alone.
// Keys of a row: i index, n input, g texts, m models, r ratings, w rationales, p prompts of the
// generator, q its raw replies, j judge, l its prompt, k its raw reply, e errors, o other columns,
// x the row's own texts. See embedding.py for how values refer to texts.
(async () => {
  const place = document.getElementById("table");
  if (!place) return;
  const block = document.getElementById("data");
  const unpacked = async (text) => {
    const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).text();
  };
  const json = block.type === "application/json" ? block.textContent : await unpacked(block.textContent);
  const { names, shared, rows } = JSON.parse(json);
  const PAGE = 25;
  const COLUMNS = Math.min(4, rows.reduce((most, row) => Math.max(most, (row.g || []).length), 0));
  let page = 0;
  let found = rows;

  const read = (row, value) => {
    if (typeof value === "number") return read(row, value < 0 ? row.x[-1 - value] : shared[value]);
    return Array.isArray(value) ? value.map((each) => read(row, each)).join("") : value;
  };
  const hex = (sign) => "⟨" + sign.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩";
  const visible = (text) => text
    .replace(/[\u0000-\u0008\u000b-\u001f]/g, (sign) => String.fromCharCode(0x2400 + sign.charCodeAt(0)))
    .replace(/[\u007f-\u009f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, hex);
  const make = (kind, classes, text) => {
    const made = document.createElement(kind);
    if (classes) made.className = classes;
    if (text !== undefined && text !== null) made.textContent = visible(String(text));
    return made;
  };
  const ratingsOf = (row) => (row.r || []).filter((each) => each !== null);
  const mean = (row) => {
    const all = ratingsOf(row);
    return all.length ? all.reduce((sum, each) => sum + each, 0) / all.length : null;
  };
  const spread = (row) => {
    const all = ratingsOf(row);
    return all.length ? Math.max(...all) - Math.min(...all) : null;
  };
  const size = (row) => (row.g || []).reduce((sum, each) => sum + (read(row, each) || "").length, 0);
  const isMissing = (row) => (row.g || []).includes(null) || (row.r || []).includes(null);
  const cache = new Map();
  const words = (row) => {
    if (!cache.has(row)) {
      const parts = [row.n, ...(row.g || []), ...(row.w || [])].map((each) => read(row, each));
      for (const [stage, cause, , message] of row.e || []) {
        parts.push(names[stage], names[cause], read(row, message));
      }
      for (const [name, value] of row.o || []) parts.push(names[name], read(row, value));
      for (const name of [...(row.m || []), row.j]) parts.push(names[name]);
      cache.set(row, parts.filter(Boolean).join("\n").toLowerCase());
    }
    return cache.get(row);
  };

  // What can be chosen.
  const filters = make("div", "bar-of-filters");
  const labelled = (title, control, classes) => {
    const label = make("label", classes, title);
    label.append(control);
    filters.append(label);
    return control;
  };
  const choice = (title, options) => {
    const select = make("select");
    for (const [value, text] of options) {
      const option = make("option", "", text);
      option.value = value;
      select.append(option);
    }
    return labelled(title, select);
  };
  const search = make("input");
  search.type = "search";
  search.id = "search";
  search.placeholder = "words in texts, ratings' reasons, models, causes";
  labelled("Search", search, "search");
  const SHOW = {
    all: ["all rows", () => true],
    failed: ["with failures", (row) => Boolean(row.e)],
    missing: ["with something missing", isMissing],
    tied: ["rated alike", (row) => ratingsOf(row).length > 1 && spread(row) === 0],
    apart: ["rated apart by 2 or more", (row) => spread(row) >= 2],
  };
  const show = choice("Show", Object.entries(SHOW).map(([key, [text]]) => [key, text]));
  show.id = "show";
  const present = [...new Set(rows.flatMap(ratingsOf))].sort((a, b) => a - b);
  const rating = choice("A text rated", [["", "anything"], ...(present.length <= 20 ? present : []).map((each) => [each, each])]);
  const models = [...new Set(rows.flatMap((row) => row.m || []))];
  const model = choice("Written by", [["", "any model"], ...models.map((each) => [each, names[each]])]);
  if (!present.length) rating.parentElement.hidden = true;
  if (models.length < 2) model.parentElement.hidden = true;
  const SORT = {
    index: ["place in the data set", (row) => row.i, 1],
    best: ["mean rating, best first", mean, -1],
    worst: ["mean rating, worst first", mean, 1],
    spread: ["ratings furthest apart", spread, -1],
    long: ["longest texts", size, -1],
    short: ["shortest texts", size, 1],
  };
  const sort = choice("Order", Object.entries(SORT).map(([key, [text]]) => [key, text]));
  if (!present.length) for (const option of [...sort.options]) if (/best|worst|spread/.test(option.value)) option.remove();

  // One row of the table, and what opens under it.
  const best = (row) => (spread(row) > 0 ? Math.max(...ratingsOf(row)) : null);
  const chip = (row, at) => {
    const value = (row.r || [])[at];
    if (value === undefined) return null;
    if (value === null) return make("span", "chip bad", "no rating");
    const made = make("span", value === best(row) ? "chip best" : "chip", value);
    made.title = "rating";
    return made;
  };
  const text = (row, value, classes) => {
    const whole = read(row, value);
    return whole === null || whole === undefined ? make("span", "chip bad", "missing") : make("div", classes, whole);
  };
  const line = (row) => {
    const made = make("tr", "row");
    const number = make("td", "number");
    const open = make("button", "open", row.i);
    open.type = "button";
    open.setAttribute("aria-expanded", "false");
    open.setAttribute("aria-label", "Row " + row.i);
    number.append(open);
    if (row.e) number.append(" ", make("span", "chip bad", row.e.length === 1 ? "failure" : row.e.length + " failures"));
    const input = make("td");
    input.append(row.n === undefined ? make("span", "muted", "–") : text(row, row.n, "clamp"));
    made.append(number, input);
    for (let at = 0; at < COLUMNS; at += 1) {
      const cell = make("td");
      if (at < (row.g || []).length) {
        const mark = chip(row, at);
        if (mark) cell.append(mark);
        cell.append(text(row, row.g[at], "clamp"));
      }
      made.append(cell);
    }
    const toggle = () => {
      const isOpen = open.getAttribute("aria-expanded") === "true";
      open.setAttribute("aria-expanded", String(!isOpen));
      if (isOpen) made.nextElementSibling.remove();
      else made.after(detail(row));
    };
    made.addEventListener("click", (event) => {
      if (event.target.closest("button") || !String(getSelection())) toggle();
    });
    return made;
  };
  const titled = (title, content) => {
    const made = make("div");
    made.append(make("h4", "", title), content);
    return made;
  };
  const onDemand = (title, fill) => {
    const made = make("details");
    made.append(make("summary", "", title));
    made.addEventListener("toggle", () => {
      if (made.open && made.childElementCount === 1) made.append(...fill());
    });
    return made;
  };
  const chat = (row, messages) => messages.map(([role, content]) => {
    const made = make("div", "raw");
    if (role !== null) made.append(make("h4", "", read(row, role)));
    made.append(text(row, content, "text"));
    return made;
  });
  const raw = (row, value) => {
    const made = make("div", "raw");
    made.append(text(row, value, "text"));
    return made;
  };
  const card = (row, at) => {
    const made = make("div", "card");
    made.append(make("h4", "", "Text " + (at + 1) + ", " + names[row.m[at]]));
    const mark = chip(row, at);
    if (mark) made.append(mark);
    made.append(text(row, row.g[at], "text"));
    const why = read(row, (row.w || [])[at]);
    if (why) made.append(make("div", "why text", why));
    return made;
  };
  const detail = (row) => {
    const made = make("tr", "detail");
    const cell = make("td");
    cell.colSpan = COLUMNS + 2;
    if (row.n !== undefined) cell.append(titled("Input", text(row, row.n, "text")));
    const side = make("div", "side");
    (row.g || []).forEach((_, at) => side.append(card(row, at)));
    cell.append(side);
    for (const [stage, cause, generation, message] of row.e || []) {
      const error = make("p", "text");
      const where = generation === null ? "" : ", text " + (generation + 1);
      error.append(make("span", "chip bad", read(row, names[cause])), names[stage] + where + ": " + visible(read(row, message) || ""));
      cell.append(error);
    }
    for (const [name, value] of row.o || []) cell.append(titled(names[name], text(row, value, "text")));
    const prompts = row.p || [];
    prompts.forEach((prompt, at) => {
      if (!prompt) return;
      const title = prompts.length > 1 ? "Prompt of text " + (at + 1) : "Prompt of the generator";
      cell.append(onDemand(title, () => chat(row, prompt)));
    });
    (row.q || []).forEach((value, at) => {
      if (value !== null) cell.append(onDemand("Raw reply, text " + (at + 1), () => [raw(row, value)]));
    });
    const judge = row.j === undefined ? "the labeller" : names[row.j];
    if (row.l) cell.append(onDemand("Prompt of " + judge, () => chat(row, row.l)));
    if (row.k !== undefined) cell.append(onDemand("Raw reply of " + judge, () => [raw(row, row.k)]));
    made.append(cell);
    return made;
  };

  // The table, and its pages.
  const table = make("table", "rows");
  const head = make("tr");
  head.append(make("th", "number", "row"), make("th", "", "input"));
  for (let at = 1; at <= COLUMNS; at += 1) head.append(make("th", "", "text " + at));
  for (const each of head.children) each.scope = "col";
  table.createTHead().append(head);
  const body = table.createTBody();
  const pages = make("div", "pages");
  const count = make("span", "count");
  count.id = "count";
  count.setAttribute("aria-live", "polite");
  const where = make("span", "muted");
  const previous = make("button", "", "Previous");
  const next = make("button", "", "Next");
  previous.type = next.type = "button";
  pages.append(count, previous, where, next);
  const draw = () => {
    const last = Math.max(0, Math.ceil(found.length / PAGE) - 1);
    page = Math.min(Math.max(0, page), last);
    body.replaceChildren(...found.slice(page * PAGE, (page + 1) * PAGE).map(line));
    count.textContent = found.length.toLocaleString("en") + (found.length === 1 ? " row" : " rows");
    where.textContent = "page " + (page + 1) + " of " + (last + 1);
    previous.disabled = page === 0;
    next.disabled = page === last;
  };
  const choose = () => {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const [, isShown] = SHOW[show.value];
    const [, measure, direction] = SORT[sort.value];
    found = rows.filter((row) => isShown(row)
      && (rating.value === "" || (row.r || []).includes(Number(rating.value)))
      && (model.value === "" || (row.m || []).includes(Number(model.value)))
      && wanted.every((word) => words(row).includes(word)));
    if (sort.value !== "index") {
      const measured = new Map(found.map((row) => [row, measure(row)]));
      const last = direction * Infinity;
      const value = (row) => measured.get(row) ?? last;
      found.sort((a, b) => (value(a) === value(b) ? a.i - b.i : direction * (value(a) - value(b))));
    }
    page = 0;
    draw();
  };
  const turn = (by) => () => { page += by; draw(); };
  previous.addEventListener("click", turn(-1));
  next.addEventListener("click", turn(1));
  let waiting = 0;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(choose, 120); });
  for (const each of [show, rating, model, sort]) each.addEventListener("change", choose);
  place.append(filters, pages, table);
  draw();
})();
