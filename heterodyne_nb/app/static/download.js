// Files made in the page: a picture, or the numbers of a figure as CSV.

function download(name, contents, type) {
  const address = URL.createObjectURL(contents instanceof Blob ? contents : new Blob([contents], { type }));
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

const cellOf = (value) => {
  const text = String(value ?? "");
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

const csvOf = (rows) => `${rows.map((row) => row.map(cellOf).join(",")).join("\n")}\n`;
