"use strict";
// The browser of groups in report.html. What a model wrote reaches the page as the text of a node or
// as an attribute that cannot run; nothing is parsed as HTML, and trusted types would stop it. What
// to highlight was decided in Python.
(() => {
  const data = JSON.parse(document.getElementById("vt-data").textContent);
  const root = document.getElementById("vt-browser");
  const find = (selector) => root.querySelector(selector);
  const controls = find(".vt-controls"), chips = find(".vt-chips"), view = find(".vt-view");
  const slider = find("input[type=range]"), note = find(".vt-note"), dialog = find("dialog");
  const filters = new Map([...root.querySelectorAll("[data-filter]")].map(
    (element) => [element.dataset.filter, element]));
  const steps = data.steps;
  const state = { step: 0, group: 0, sample: -1 };  // places in the lists, not the numbers shown
  let matches = [];  // [step][group][sample]: does the rollout pass the filters?

  // --- building blocks -------------------------------------------------------------------------
  const fill = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const make = (tag, attributes = {}, ...children) =>
    fill(document.createElement(tag), attributes, children);
  const draw = (tag, attributes = {}, ...children) =>
    fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  const classed = (name, ...children) => make("span", { class: name }, ...children);
  const rect = (name, x, width) =>
    draw("rect", { class: name, x: `${x}%`, width: `${width}%`, height: "100%" });
  const bar = (...rects) =>
    draw("svg", { "aria-hidden": "true" }, rect("vt-track", 0, 100), ...rects);
  const signed = (value) => (value < 0 ? "" : "+") + value.toFixed(3);
  const rights = (group) => group.samples.filter((sample) => sample.right).length;

  // --- one group -------------------------------------------------------------------------------
  function showPicture(group) {
    const source = data.pictures[group.prompt];
    if (!source) return make("div", { class: "vt-picture vt-absent" }, "picture not at hand");
    return make("img", { class: "vt-picture", src: source, alt: `Picture of row ${group.prompt}` });
  }

  function showQuestion(step, group) {
    const right = rights(group);
    const total = group.samples.reduce((sum, sample) => sum + sample.reward, 0);
    const mean = total / group.samples.length;
    const choices = group.choices.map((choice, place) => place === group.right
      ? make("li", { class: "vt-right" }, `✓ ${choice}`) : make("li", {}, choice));
    return make("div", { class: "vt-ask" }, showPicture(group),
      make("p", { class: "vt-question" }, group.question),
      make("ul", { class: "vt-choices", "aria-label": "Choices" }, ...choices),
      ...(group.right === null
        ? [make("p", { class: "vt-soft" }, `Solution: ${group.solution}`)] : []),
      make("p", { class: "vt-soft" },
        `${right} of ${group.samples.length} right, mean reward ${mean.toFixed(2)}`),
      make("p", { class: "vt-soft" },
        `step ${step.step}, group ${group.group}, task ${group.task}, row ${group.prompt}`));
  }

  function showBars(sample) {
    const cells = [];
    for (const [name, value] of Object.entries(sample.rewards)) {
      const width = (100 * Math.abs(value)) / data.most_reward;
      cells.push(classed("", name), bar(rect(value < 0 ? "vt-down" : "vt-fill", 0, width)),
        classed("", String(Math.round(value * 1000) / 1000)));
    }
    const half = (50 * Math.abs(sample.advantage)) / data.most_advantage;
    const up = sample.advantage >= 0;
    cells.push(classed("", "advantage"),
      bar(rect(up ? "vt-up" : "vt-down", up ? 50 : 50 - half, half), rect("vt-zero", 49.7, 0.6)),
      classed("", signed(sample.advantage)));
    return make("div", { class: "vt-bars" }, ...cells);
  }

  function showSample(sample, place, passes) {
    const names = ["vt-sample", sample.right ? "vt-right" : "vt-wrong"];
    if (!passes) names.push("vt-other");
    if (place === state.sample) names.push("vt-chosen");
    const link = make("a", { href: address({ ...state, sample: place }) }, `#${sample.sample}`);
    link.addEventListener("click", (event) => {
      event.preventDefault();
      go({ sample: place === state.sample ? -1 : place });
    });
    const head = [link, classed("vt-verdict", sample.right ? "✓ right" : "✗ wrong"),
      classed("vt-style", sample.style)];
    if (sample.cut_off) head.push(classed("vt-cut", "cut off"));
    head.push(classed("vt-tokens vt-soft", `${sample.tokens} tokens`));
    const pieces = sample.pieces.map(([kinds, text]) => classed([...kinds].join(" "), text));
    const more = sample.hidden ? [classed("vt-soft", ` … ${sample.hidden} more characters`)] : [];
    return make("article", { class: names.join(" ") },
      make("header", {}, ...head), showBars(sample),
      make("pre", { class: "vt-text", dir: "auto" }, ...pieces, ...more),
      make("p", { class: "vt-soft" }, `answer: ${sample.answer}`));
  }

  // --- filters ---------------------------------------------------------------------------------
  const anyFilter = () => [...filters.values()].some((element) => element.value !== "");

  function textOf(group, sample) {  // lower case, made once
    sample.lower ??= sample.pieces.map((piece) => piece[1]).join("").toLowerCase();
    group.lower ??= `${group.question}\n${group.choices.join("\n")}`.toLowerCase();
    return `${group.lower}\n${sample.lower}`;
  }

  function filterAll() {
    const [task, verdict, reflective, style, q] = [...filters.values()].map((item) => item.value);
    const words = q.toLowerCase().trim();
    const passes = (group, sample) =>
      (!task || group.task === task)
      && (!verdict || Boolean(sample.right) === (verdict === "right"))
      && (!reflective || Boolean(sample.reflective) === (reflective === "yes"))
      && (!style || sample.style === style) && (!words || textOf(group, sample).includes(words));
    matches = steps.map((step) => step.groups.map(
      (group) => group.samples.map((sample) => passes(group, sample))));
  }

  const count = (flags) => flags.flat(2).filter(Boolean).length;

  function drawCurve() {  // share of the rollouts that pass; without a filter, of the right ones
    const share = steps.map((step, at) => {
      const flags = anyFilter() ? matches[at].flat()
        : step.groups.flatMap((group) => group.samples.map((sample) => sample.right));
      return flags.filter(Boolean).length / Math.max(1, flags.length);
    });
    const x = (at) => (steps.length > 1 ? (100 * at) / (steps.length - 1) : 50);
    const points = share.map((part, at) => `L${x(at)} ${100 - 100 * part}`);
    find(".vt-area").setAttribute("d", `M0 100${points.join("")}L100 100Z`);
    for (const name of ["x1", "x2"]) find(".vt-now").setAttribute(name, x(state.step));
    return `${(100 * share[state.step]).toFixed(0)} %`;
  }

  // --- where we are ----------------------------------------------------------------------------
  function address(place) {
    const query = new URLSearchParams();
    const step = steps[place.step], group = step.groups[place.group];
    query.set("step", step.step);
    query.set("group", group.group);
    if (place.sample >= 0) query.set("sample", group.samples[place.sample].sample);
    for (const [name, element] of filters) if (element.value) query.set(name, element.value);
    return `#${query}`;
  }

  function readAddress() {
    const query = new URLSearchParams(location.hash.slice(1));
    if (!location.hash.includes("=")) return false;
    for (const [name, element] of filters) {
      const wanted = query.get(name) ?? "";
      const known = element.options === undefined
        || [...element.options].some((option) => option.value === wanted);
      element.value = known ? wanted : "";
    }
    const number = (name) => (query.has(name) ? Number(query.get(name)) : NaN);
    const place = (list, name) => list.findIndex((item) => item[name] === number(name));
    const off = (at) => Math.abs(steps[at].step - number("step"));
    const nearest = steps.reduce((best, _, at) => (off(at) < off(best) ? at : best), 0);
    state.step = query.has("step") ? nearest : 0;
    state.group = Math.max(0, place(steps[state.step].groups, "group"));
    state.sample = place(steps[state.step].groups[state.group].samples, "sample");
    filterAll();
    return true;
  }

  function remember() {  // not at each pixel of a drag: browsers refuse that many
    clearTimeout(state.timer);
    state.timer = setTimeout(() => {
      try { history.replaceState(null, "", address(state)); } catch { /* no address of its own */ }
    }, 150);
  }

  // --- the page --------------------------------------------------------------------------------
  function showChips() {
    const groups = steps[state.step].groups;
    chips.replaceChildren(...groups.map((group, place) => {
      const passing = count([matches[state.step][place]]);
      const right = rights(group);
      const chip = make("button", { type: "button", "aria-current": String(place === state.group),
        class: passing ? "" : "vt-none",
        "aria-label": `Group ${group.group}, ${right} of ${group.samples.length} right` },
        `${group.group}`, bar(rect("vt-up", 0, (100 * right) / group.samples.length)),
        anyFilter() ? `${passing} match` : `${right}/${group.samples.length}`);
      chip.addEventListener("click", () => go({ group: place, sample: -1 }));
      return chip;
    }));
  }

  function render() {
    const step = steps[state.step], group = step.groups[state.group];
    slider.value = state.step;
    slider.setAttribute("aria-valuetext", `step ${step.step}`);
    find(".vt-step").textContent = `step ${step.step}`;
    find("[data-do='step-']").disabled = state.step === 0;
    find("[data-do='step+']").disabled = state.step === steps.length - 1;
    const total = matches.flat(2).length;
    const here = drawCurve();
    note.textContent = anyFilter()
      ? `${count(matches)} of ${total} rollouts match; the curve is their share, ${here} here`
      : `${total} rollouts; the curve is the share of right ones, ${here} here`;
    showChips();
    const flags = matches[state.step][state.group];
    view.replaceChildren(make("div", { class: "vt-group" }, showQuestion(step, group),
      make("div", { class: "vt-samples" },
        ...group.samples.map((sample, place) => showSample(sample, place, flags[place])))));
  }

  function go(change) {
    Object.assign(state, change);
    render();
    remember();
  }

  function moveStep(by) {
    const step = Math.min(steps.length - 1, Math.max(0, state.step + by));
    const group = Math.min(state.group, steps[step].groups.length - 1);
    if (step !== state.step) go({ step, group, sample: -1 });
  }

  function moveGroup(by) {  // to the next group with a match, in another step if need be
    for (let step = state.step, group = state.group + by; ; group += by) {
      if (group < 0 || group >= steps[step].groups.length) {
        step += by;
        if (step < 0 || step >= steps.length) return;
        group = by > 0 ? 0 : steps[step].groups.length - 1;
      }
      if (count([matches[step][group]])) { go({ step, group, sample: -1 }); return; }
    }
  }

  function refilter() {  // stay where we are if something here matches, else go to the nearest step
    filterAll();
    const here = matches[state.step];
    if (!count([here[state.group] ?? []])) {
      const places = steps.map((_, at) => at).filter((at) => count(matches[at]));
      places.sort((a, b) => Math.abs(a - state.step) - Math.abs(b - state.step));
      if (places.length) {
        state.step = places[0];
        state.group = matches[state.step].findIndex((flags) => count([flags]));
      }
    }
    go({ sample: -1 });
  }

  function reset() {
    for (const element of filters.values()) element.value = "";
    refilter();
  }

  const actions = new Map([["step-", () => moveStep(-1)], ["step+", () => moveStep(1)],
    ["reset", reset], ["help", () => dialog.showModal()]]);
  const keys = new Map([["ArrowLeft", () => moveStep(-1)], ["ArrowRight", () => moveStep(1)],
    ["j", () => moveGroup(1)], ["k", () => moveGroup(-1)], ["/", () => filters.get("q").focus()],
    ["?", () => dialog.showModal()], ["Escape", () => { if (anyFilter()) reset(); }]]);
  const keysInside = new Map([["ArrowUp", () => moveGroup(-1)], ["ArrowDown", () => moveGroup(1)]]);

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    const typing = event.target.closest("input, select, textarea");
    if (typing) {
      if (event.key === "Escape") root.focus();
      return;
    }
    const inside = root.contains(event.target) && keysInside.get(event.key);
    const act = keys.get(event.key) ?? inside;
    if (!act) return;
    event.preventDefault();
    act();
  }

  function addOptions(name, values) {
    const options = [...new Set(values)].map((text) => make("option", { value: text }, text));
    filters.get(name).append(...options);
  }

  function onPointer(event) {
    const box = event.currentTarget.getBoundingClientRect();
    const at = Math.round(((event.clientX - box.left) / box.width) * (steps.length - 1));
    moveStep(at - state.step);
  }

  slider.max = steps.length - 1;
  addOptions("task", steps.flatMap((step) => step.groups.map((group) => group.task)).sort());
  addOptions("style", data.styles);
  for (const element of filters.values()) element.addEventListener("input", refilter);
  for (const button of root.querySelectorAll("[data-do]"))
    button.addEventListener("click", actions.get(button.dataset.do));
  slider.addEventListener("input", () => moveStep(Number(slider.value) - state.step));
  find(".vt-curve svg").addEventListener("click", onPointer);
  document.addEventListener("keydown", onKey);
  window.addEventListener("hashchange", () => { if (readAddress()) arrive(); });

  function arrive() {
    render();
    root.focus({ preventScroll: true });
    (view.querySelector(".vt-chosen") ?? root).scrollIntoView({ block: "start" });
  }

  filterAll();
  document.getElementById("vt-static").hidden = true;
  controls.hidden = chips.hidden = false;
  if (readAddress()) arrive(); else render();
})();
