// Tells the kernel whether the page is light or dark, names sliders for screen readers, and keeps keys pressed in a panel
// from the notebook around it; shows nothing.

const NAMING = Symbol.for("heterodyne_nb.naming");

function render({ model, el }) {
  el.style.display = "none";
  globalThis[NAMING] ??= keepNaming(); // once a page
  const tell = () => {
    const theme = isDark(pageColour(el)) ? "dark" : "light";
    if (model.get("theme") === theme) return;
    model.set("theme", theme);
    model.save_changes();
  };
  const watch = new MutationObserver(() => requestAnimationFrame(tell));
  const what = { attributes: true, attributeFilter: ["class", "style", "data-jp-theme-name", "data-jp-theme-light"] };
  watch.observe(document.body, what);
  watch.observe(document.documentElement, what);
  let frame = 0;
  const start = () => {
    if (el.isConnected) {
      tell();
      keepKeys(el.closest(".jp-OutputArea-output"));
    } else frame = requestAnimationFrame(start); // it is put into the page some time after it is rendered
  };
  start();
  return () => {
    cancelAnimationFrame(frame);
    watch.disconnect();
  };
}

// An arrow, or the letter of a command that changes cells, is for what has the focus: Notebook 7 would take it first.
function keepKeys(output) {
  if (!output || output.dataset.hnKeys) return;
  output.dataset.hnKeys = "kept";
  output.addEventListener("focusin", (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true"));
}

// The handle of a slider takes the label or the tooltip of its widget as its name.
function nameSliders() {
  for (const handle of document.querySelectorAll(".noUi-handle:not([aria-label])")) {
    const widget = handle.closest(".jupyter-widgets");
    const label = widget?.querySelector(".widget-label")?.textContent.trim();
    const name = label || widget?.title || widget?.querySelector("[title]")?.title;
    if (name) handle.setAttribute("aria-label", name);
  }
}

function keepNaming() {
  let asked = 0;
  const soon = () => (asked ||= setTimeout(() => ((asked = 0), nameSliders()), 200));
  const watch = new MutationObserver(soon);
  watch.observe(document.body, { childList: true, subtree: true });
  soon();
  return watch;
}

// Colour behind the widget: the first ancestor that has one; a page without any is white.
function pageColour(el) {
  for (let node = el; node; node = node.parentElement ?? node.getRootNode().host) {
    const [r, g, b, a = "1"] = getComputedStyle(node).backgroundColor.match(/[\d.]+/g) ?? [];
    if (r !== undefined && Number(a) > 0.5) return [r, g, b].map(Number);
  }
  return [255, 255, 255];
}

const isDark = ([r, g, b]) => 0.299 * r + 0.587 * g + 0.114 * b < 110;

export default { render };
