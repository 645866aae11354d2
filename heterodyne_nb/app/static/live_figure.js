// A plotly figure that follows its model: Plotly.react draws it once and changes it in place from then on.
// The text of plotly.js travels with one model of the kernel and is loaded once a page, not with every figure.

const LOADED = Symbol.for("heterodyne_nb.plotly");

// The toolbar, which shows while the mouse is over the figure: plotly's, with the picture as SVG and the numbers as CSV.
function configOf(library) {
  const extra = [
    ["svg", "Download plot as SVG", "camera", (plot) => library.downloadImage(plot, { format: "svg", filename: nameOf(plot) })],
    ["csv", "Download data as CSV", "disk", (plot) => download(`${nameOf(plot)}.csv`, csvOf(rowsOf(plot)), "text/csv")],
  ];
  return {
    displaylogo: false,
    toImageButtonOptions: { format: "png", scale: 2 },
    modeBarButtonsToAdd: extra.map(([name, title, icon, click]) => ({ name, title, icon: library.Icons[icon], click })),
  };
}

const plain = (text) => (text ?? "").replace(/<[^>]*>/g, "");
const nameOf = (plot) => plain(plot._fullLayout.title?.text).split(/ {2}|\n/)[0].replace(/[^\w .-]+/g, "_").slice(0, 60) || "figure";

// A line a point: of which trace, on which axes, its place, its value where it has one, and its errors.
function rowsOf(plot) {
  const rows = [["trace", "x axis", "y axis", "x", "y", "z", "error above", "error below"]];
  for (const trace of plot._fullData.filter((one) => one.visible === true)) {
    const axis = (which) => plain(plot._fullLayout[(trace[`${which}axis`] ?? which).replace(which, `${which}axis`)]?.title?.text);
    const axes = [plain(trace.name), axis("x"), axis("y")];
    if (trace.z) {
      trace.z.forEach((line, j) => line.forEach((z, i) => rows.push([...axes, trace.x?.[i] ?? i, trace.y?.[j] ?? j, z])));
    } else if (trace.y) {
      const errors = (i) => [trace.error_y?.array?.[i], trace.error_y?.arrayminus?.[i] ?? trace.error_y?.array?.[i]];
      trace.y.forEach((y, i) => rows.push([...axes, trace.x?.[i] ?? i, y, "", ...errors(i)]));
    }
  }
  return rows;
}

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
  let config = null;
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
    config ??= configOf(library); // the same for every drawing: plotly begins anew where it differs
    if (gone) return;
    if (!drawn) plot.replaceChildren();
    const { data, layout } = JSON.parse(spec);
    const first = !drawn;
    drawn = { spec, width };
    await library.react(plot, data, { ...layout, width }, config);
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
