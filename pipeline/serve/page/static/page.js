// Comfort only: everything on the page works without this file.
"use strict";

(() => {
  const box = document.getElementById("q");
  const titles = () => [...document.querySelectorAll(".hit h2 a")];
  const isTyping = (element) => element.matches("input, textarea, select, [contenteditable]");

  const focus = (element) => {
    element.focus({ preventScroll: true });
    (element.closest(".hit") ?? element).scrollIntoView({ block: "nearest" });
  };

  const move = (event, step) => {
    const active = document.activeElement ?? document.body;
    const hit = active.closest(".hit");
    const isOurs = active === document.body || active === box || active.matches(".hit h2 a, #main");
    const listed = titles();
    if (!isOurs || listed.length === 0) return;
    const place = hit ? listed.indexOf(hit.querySelector("h2 a")) : -1;
    const next = place + step;
    if (next < -1 || (active === box && step < 0)) return;
    event.preventDefault();
    if (next === -1) focus(box);
    else if (next < listed.length) focus(listed[next]);
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === "/" && box && !isTyping(document.activeElement ?? document.body)) {
      event.preventDefault();
      box.focus();
      box.select();
    } else if (event.key === "ArrowDown") move(event, 1);
    else if (event.key === "ArrowUp") move(event, -1);
    else if (event.key === "Escape" && document.activeElement === box) box.blur();
  });

  // Leave out of the address what says nothing.
  for (const form of document.querySelectorAll("form.search")) {
    form.addEventListener("submit", () => {
      for (const field of form.querySelectorAll("input[name]")) field.disabled = field.value === "";
    });
  }
  addEventListener("pageshow", () => {
    for (const field of document.querySelectorAll("form.search input:disabled")) field.disabled = false;
  });

  for (const hint of document.querySelectorAll(".keys")) hint.hidden = false;
  if (document.body.classList.contains("start") && matchMedia("(hover: hover)").matches) box?.focus();
})();
