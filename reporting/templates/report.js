"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const compare = $(".compare"), range = $(".compare input");

  const split = (percent) => {
    range.value = Math.min(100, Math.max(0, percent));
    compare.style.setProperty("--split", range.value + "%");
    range.setAttribute("aria-valuetext", `${Math.round(range.value)} % prediction`);
  };
  range.addEventListener("input", () => split(range.value));
  const follow = (event) => {
    const box = compare.getBoundingClientRect();
    split(100 * (event.clientX - box.left) / box.width);
  };
  compare.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    compare.setPointerCapture(event.pointerId);
    range.focus({ focusVisible: false, preventScroll: true });
    follow(event);
  });
  compare.addEventListener("pointermove", (event) => {
    if (compare.hasPointerCapture(event.pointerId)) follow(event);
  });

  const parts = ["predicted", "true", "error"];
  const panes = Object.fromEntries(parts.map((part) => [part, $(`.viewer img.${part}`)]));
  const words = { predicted: "predicted", true: "photograph", error: "error map" };
  const show = (view) => {
    for (const part of parts) {
      panes[part].src = view[part];
      panes[part].alt = `${view.name}, ${words[part]}`;
    }
    $(".current").textContent = view.text;
  };
  const press = (buttons, chosen) => buttons.forEach((b) => b.setAttribute("aria-pressed", String(b === chosen)));

  const tabs = all(".tabs button");
  // The first view's pictures are in the page already; its button does not carry them a second time.
  for (const part of parts) tabs[0].dataset[part] = panes[part].src;
  tabs.forEach((tab) => tab.addEventListener("click", () => { press(tabs, tab); show(tab.dataset); }));

  for (const tile of all(".tile")) {
    tile.addEventListener("click", () => {
      press(tabs, null);
      const view = { name: tile.dataset.name, text: tile.dataset.text };
      for (const part of parts) view[part] = $(`img.${part}`, tile).src;
      show(view);
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      $("#compare").scrollIntoView({ behavior: calm ? "auto" : "smooth" });
      range.focus({ preventScroll: true });
    });
  }
  const modes = all(".modes button");
  modes.forEach((mode) => mode.addEventListener("click", () => { press(modes, mode); $(".grid").dataset.shown = mode.value; }));
})();
