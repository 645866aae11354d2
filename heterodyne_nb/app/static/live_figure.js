// A plotly figure that follows its model: Plotly.react draws it once and changes it in place from then on.
// The text of plotly.js travels with one model of the kernel and is loaded once a page, not with every figure.

const LOADED = Symbol.for("heterodyne_nb.plotly");
const CONFIG = { displaylogo: false };

async function libraryOf(model) {
  const name = model.get("library").replace("IPY_MODEL_", "");
  const library = await model.widget_manager.get_model(name);
  const loaded = (globalThis[LOADED] ??= {});
  return (loaded[library.get("version")] ??= load(library.get("packed")));
}

async function load(packed) {
  const text = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const parts = ["const module = { exports: {} };\n", await new Response(text).blob(), "\nexport default module.exports;"];
  const address = URL.createObjectURL(new Blob(parts, { type: "text/javascript" }));
  try {
    return (await import(address)).default;
  } finally {
    URL.revokeObjectURL(address);
  }
}

function render({ model, el }) {
  const plot = el.appendChild(document.createElement("div"));
  let library = null;
  let drawn = null; // specification and width of what is in the page
  let asked = false;
  let busy = false;
  let gone = false;

  const show = async () => {
    const spec = model.get("spec");
    const width = plot.clientWidth;
    if (spec && (!width || (drawn?.spec === spec && drawn.width === width))) return; // hidden: drawn when it has a size
    if (!spec) {
      if (drawn) library.purge(plot);
      drawn = null;
      plot.innerHTML = `<div style="padding:12px;opacity:0.75">${model.get("hint")}</div>`;
      return;
    }
    library ??= await libraryOf(model);
    if (gone) return;
    if (!drawn) plot.replaceChildren();
    const { data, layout } = JSON.parse(spec);
    const first = !drawn;
    drawn = { spec, width };
    await library.react(plot, data, { ...layout, width }, CONFIG);
    if (first) plot.on("plotly_selected", brushed);
  };

  const brushed = (event) => {
    const points = (event?.points ?? []).filter((point) => point.data.meta);
    if (!points.length) return;
    model.set("selected", points.map((point) => [...point.data.meta, point.x]));
    model.save_changes();
  };

  // One drawing at a time, of the latest there is: plotly is deaf, or draws empty axes, in the middle of another.
  const ask = async () => {
    asked = true;
    if (busy) return;
    busy = true;
    try {
      while (asked && !gone) {
        asked = false;
        await show();
      }
    } finally {
      busy = false;
    }
  };

  const size = new ResizeObserver(ask);
  size.observe(plot);
  model.on("change:spec", ask);
  ask();
  return () => {
    gone = true;
    size.disconnect();
    model.off("change:spec", ask);
    if (drawn) library.purge(plot);
  };
}

export default { render };
