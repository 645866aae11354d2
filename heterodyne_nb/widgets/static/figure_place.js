// Keeps plotly figures as wide as their place: plotly itself only notices when the window changes.

function render({ el }) {
  el.style.display = "none";
  let place = null;
  let later = 0;
  const fit = () => {
    clearTimeout(later);
    later = setTimeout(() => {
      const drawn = place?.querySelector(".js-plotly-plot .main-svg");
      if (drawn && place.clientWidth > 0 && Math.abs(drawn.clientWidth - place.clientWidth) > 1)
        window.dispatchEvent(new Event("resize"));
    }, 30);
  };
  const size = new ResizeObserver(fit);
  const content = new MutationObserver(fit);
  const start = () => {
    place = el.closest(".hn-figure");
    if (!place) return;
    size.observe(place);
    content.observe(place, { childList: true, subtree: true, attributeFilter: ["width"] });
    fit();
  };
  requestAnimationFrame(start); // the widget is put into the page after it is rendered
  return () => {
    clearTimeout(later);
    size.disconnect();
    content.disconnect();
  };
}

export default { render };
