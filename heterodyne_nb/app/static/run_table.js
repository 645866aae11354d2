// A table whose rows are chosen by click or Space (several with the boxes, all with the box above) and opened by a double
// click or Enter; a click on a head sorts.

function render({ model, el }) {
  const root = el.appendChild(document.createElement("div"));
  root.className = "hn-table";
  let by = null; // column and direction of sorting

  const make = (tag, parent, properties = {}) => Object.assign(parent.appendChild(document.createElement(tag)), properties);
  // As messages: unlike changed traits they never wait behind the press of a button.
  const chooseAll = (keys, chosen) => {
    const others = model.get("selected").filter((one) => !keys.includes(one));
    model.set("selected", chosen ? [...others, ...keys] : others);
    model.send({ choose: keys, chosen });
  };
  const choose = (key, chosen) => chooseAll([key], chosen);
  const open = (key) => model.send({ open: key });

  const sorted = () => {
    const rows = model.get("rows").map((row, place) => [model.get("names")[place], row]);
    if (!by) return rows;
    const worth = ([, row]) => (row[by.column] === "" ? Infinity : Number(row[by.column].replace("−", "-").split(" ")[0]));
    const numbers = rows.every((row) => !Number.isNaN(worth(row)));
    const order = (a, b) => (numbers ? worth(a) - worth(b) || 0 : a[1][by.column].localeCompare(b[1][by.column]));
    return rows.sort((a, b) => by.sign * order(a, b));
  };

  const draw = () => {
    const chosen = new Set(model.get("selected"));
    const focused = root.contains(document.activeElement) ? document.activeElement.closest("tr")?.dataset.key : undefined;
    root.replaceChildren();
    if (!model.get("rows").length) return void (root.textContent = model.get("hint"));
    const table = make("table", root);
    const head = make("tr", make("thead", table));
    const all = make("input", make("th", head), { type: "checkbox", title: "choose all", ariaLabel: "choose all" });
    all.checked = chosen.size > 0 && chosen.size === model.get("names").length;
    all.onchange = () => chooseAll(model.get("names"), all.checked);
    const pictures = model.get("pictures");
    const drawn = Object.values(pictures).some((one) => one);
    if (drawn) make("th", head, { textContent: "map" });
    model.get("columns").forEach((text, column) => {
      const sort = make("button", make("th", head), { textContent: text, title: `sort by ${text}` });
      sort.onclick = () => ((by = { column, sign: by?.column === column ? -by.sign : 1 }), draw());
    });
    const body = make("tbody", table);
    for (const [key, row] of sorted()) {
      const line = make("tr", body, { tabIndex: 0, title: "Double click or Enter opens this run", ariaSelected: chosen.has(key) });
      line.dataset.key = key;
      const box = make("input", make("td", line), { type: "checkbox", checked: chosen.has(key), ariaLabel: `choose ${row[0]}` });
      box.tabIndex = -1;
      if (drawn) {
        const place = make("td", line, { className: "hn-thumbnail" });
        if (pictures[key]) make("img", place, { src: pictures[key], alt: `map of ${row[0]}`, title: "the bin with the clearest signal" });
      }
      row.forEach((text) => make("td", line, { textContent: text, title: text }));
      line.onclick = () => choose(key, !chosen.has(key));
      line.ondblclick = () => open(key);
      line.onkeydown = (event) => {
        if (event.key === "Enter") open(key);
        else if (event.key === " ") choose(key, !chosen.has(key));
        else if (event.key === "ArrowDown") line.nextElementSibling?.focus();
        else if (event.key === "ArrowUp") line.previousElementSibling?.focus();
        else return;
        event.preventDefault();
      };
      if (key === focused) line.focus();
    }
  };

  const events = ["change:rows", "change:selected", "change:pictures"];
  events.forEach((event) => model.on(event, draw));
  draw();
  return () => events.forEach((event) => model.off(event, draw));
}

export default { render };
