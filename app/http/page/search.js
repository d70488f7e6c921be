"use strict";

// The key is in the part of the address that is never sent, and then for this tab only.
const KEY = "docsearch-key";
const FACETS = { tags: "Tags", author: "Author", language: "Language", "metadata.kind": "Kind" };
const $ = (id) => document.getElementById(id);
const state = { filters: [], next: "", asked: 0 };

function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// What was found is marked by two characters that no text holds here, never by markup: nothing of a document is parsed.
function marked(text) {
  const whole = document.createDocumentFragment();
  text.split(/\u0001(.*?)\u0002/su).forEach((part, at) => {
    if (part) whole.append(at % 2 ? make("mark", {}, part) : part);
  });
  return whole;
}

function unescape(text) {
  return text.replace(/&(lt|gt|amp|quot|#x27);/g, (_, name) => ({ lt: "<", gt: ">", amp: "&", quot: '"', "#x27": "'" })[name]);
}

async function ask(path, body) {
  const headers = { authorization: `Bearer ${sessionStorage.getItem(KEY) ?? ""}` };
  if (body) headers["content-type"] = "application/json";
  const answer = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
  const found = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(found.detail), found);
  return found;
}

function query() {
  return {
    q: $("q").value.trim(),
    fuzzy: "auto",
    filters: state.filters.map(({ field, value }) => ({ kind: "term", field, values: [value] })),
    facets: Object.keys(FACETS).map((field) => ({ field, size: 8 })),
    highlight: { pre: "\u0001", post: "\u0002", length: 240 },
    sort: [$("sort").value],
  };
}

async function search(cursor = "") {
  const turn = ++state.asked;
  const asked = query();
  if (cursor) asked.cursor = cursor;
  remember();
  try {
    const found = await ask("/v1/search", asked);
    if (turn !== state.asked) return; // a later search was faster
    show(found, Boolean(cursor));
  } catch (problem) {
    if (turn === state.asked) refuse(problem);
  }
}

function show(found, more) {
  const hits = found.hits.map(hit);
  if (more) $("hits").append(...hits);
  else $("hits").replaceChildren(...hits);
  state.next = found.next;
  $("more").hidden = !found.next || $("hits").children.length >= found.total;
  const corrected = Object.values(found.corrected ?? {}).map(([word]) => word);
  const notes = [
    `${found.total.toLocaleString("en")}${found.exact ? "" : "+"} document${found.total === 1 ? "" : "s"} in ${Math.ceil(found.took_ms)} ms`,
    corrected.length ? `searched for ${corrected.join(", ")}` : "",
    found.degraded ? "degraded" : "",
    found.stale ? "may be out of date" : "",
  ];
  $("status").textContent = notes.filter(Boolean).join(" · ");
  if (!more) facets(found.facets);
  chips();
}

function hit(one) {
  const { title, author, tags = [], published_at: published, snippet } = one.fields;
  const pieces = one.highlights?.content ?? [];
  const about = [author, published?.slice(0, 10), tags.join(", ")].filter(Boolean).join(" · ");
  return make(
    "li",
    {},
    make("h2", {}, marked(unescape(one.highlights?.title?.[0] ?? "") || title)),
    make("p", {}, ...(pieces.length ? pieces.flatMap((piece) => [marked(unescape(piece)), " … "]).slice(0, -1) : [snippet ?? ""])),
    make("p", { class: "about" }, about),
  );
}

function facets(found) {
  const groups = found.filter((facet) => facet.buckets.length).flatMap((facet) => {
    const list = make("ul", {}, ...facet.buckets.map((bucket) => {
      const box = make("input", { type: "checkbox" });
      box.checked = state.filters.some((one) => one.field === facet.field && one.value === bucket.value);
      box.addEventListener("change", () => toggle(facet.field, bucket.value));
      return make("li", {}, make("label", {}, box, make("span", {}, String(bucket.value)), make("span", { class: "count" }, String(bucket.count))));
    }));
    return [make("h2", {}, FACETS[facet.field] ?? facet.field), list];
  });
  $("facets").replaceChildren(...groups);
}

function chips() {
  $("chips").replaceChildren(...state.filters.map(({ field, value }) => {
    const chip = make("button", { type: "button", "aria-label": `Remove filter ${field} ${value}` }, `${FACETS[field] ?? field}: ${value} ×`);
    chip.addEventListener("click", () => toggle(field, value));
    return chip;
  }));
}

function toggle(field, value) {
  const at = state.filters.findIndex((one) => one.field === field && one.value === value);
  if (at < 0) state.filters.push({ field, value });
  else state.filters.splice(at, 1);
  search();
}

function refuse(problem) {
  $("hits").replaceChildren(make("li", { class: "problem" }, `${problem.detail ?? "The service does not answer."} ${problem.remedy ?? ""}`));
  $("facets").replaceChildren();
  $("more").hidden = true;
  $("status").textContent = "";
  if (problem.status === 401) $("access").open = true;
}

// The address holds the search, so that it can be kept and gone back to.
function remember() {
  const place = new URLSearchParams();
  if ($("q").value) place.set("q", $("q").value);
  if ($("sort").value !== "-score") place.set("sort", $("sort").value);
  for (const { field, value } of state.filters) place.append("filter", JSON.stringify([field, value]));
  history.replaceState(null, "", place.size ? `?${place}` : location.pathname);
}

function recall() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (key) sessionStorage.setItem(KEY, key);
  const place = new URLSearchParams(location.search);
  $("q").value = place.get("q") ?? "";
  if (place.get("sort")) $("sort").value = place.get("sort");
  for (const text of place.getAll("filter")) {
    try {
      const [field, value] = JSON.parse(text);
      state.filters.push({ field, value });
    } catch {
      // somebody's own address: it filters by nothing
    }
  }
}

let pause;
$("q").addEventListener("input", () => {
  clearTimeout(pause);
  pause = setTimeout(async () => {
    const typed = $("q").value.trim();
    if (typed.length < 2) return;
    try {
      const { suggestions } = await ask(`/v1/suggest?size=8&q=${encodeURIComponent(typed)}`);
      $("suggestions").replaceChildren(...suggestions.map(({ text }) => make("option", { value: text })));
    } catch {
      // a search will say what is wrong
    }
  }, 150);
});
$("search").addEventListener("submit", (event) => { event.preventDefault(); search(); });
$("sort").addEventListener("change", () => search());
$("more").addEventListener("click", () => search(state.next));
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, $("key").value.trim());
  $("key").value = "";
  $("access").open = false;
  search();
});
recall();
search();
