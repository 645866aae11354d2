// Keeps plotly figures as wide as their place: plotly itself only notices when the window changes, and takes
// its default width again at some later updates, so that Python is told the width as well.

function render({ model, el }) {
  el.style.display = "none";
  let place = null;
  let later = 0;
  const check = (left) => {
    const drawn = place?.querySelector(".js-plotly-plot .main-svg");
    const wrong = drawn && place.clientWidth > 0 && Math.abs(drawn.clientWidth - place.clientWidth) > 1;
    if (wrong) window.dispatchEvent(new Event("resize"));
    if (wrong || !drawn) wait(150, left - 1); // plotly may be in the middle of a drawing, and deaf
  };
  const wait = (time, left) => {
    clearTimeout(later);
    if (left > 0) later = setTimeout(check, time, left);
  };
  const fit = () => wait(30, 20);
  const tell = () => {
    const width = place.clientWidth;
    if (width > 0 && Math.abs(width - model.get("width")) > 1) {
      model.set("width", width);
      model.save_changes();
    }
    fit();
  };
  const size = new ResizeObserver(tell);
  const content = new MutationObserver(fit);
  const start = () => {
    place = el.closest(".hn-figure");
    if (!place) {
      frame = requestAnimationFrame(start);
      return;
    }
    size.observe(place);
    content.observe(place, { childList: true, subtree: true, attributeFilter: ["width"] });
    fit();
  };
  let frame = requestAnimationFrame(start); // the widget is put into the page some time after it is rendered
  return () => {
    cancelAnimationFrame(frame);
    clearTimeout(later);
    size.disconnect();
    content.disconnect();
  };
}

export default { render };
