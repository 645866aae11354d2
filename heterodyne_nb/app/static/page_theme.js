// Tells the kernel whether the page is light or dark; shows nothing.

function render({ model, el }) {
  el.style.display = "none";
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
    if (el.isConnected) tell();
    else frame = requestAnimationFrame(start); // it is put into the page some time after it is rendered
  };
  start();
  return () => {
    cancelAnimationFrame(frame);
    watch.disconnect();
  };
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
