// CSV as RFC 4180 has it. No cell is a formula for a spreadsheet: an apostrophe before what begins
// like one is written here and taken away when a file is read.

const FORMULA = "=+-@\t\r";
const MARKED = FORMULA + "'";

function safeCell(text) {
  const begins = text.slice(0, 1), second = text.slice(1, 2);
  const formula = begins && FORMULA.includes(begins);
  const ours = begins === "'" && second && MARKED.includes(second);
  return formula || ours ? "'" + text : text;
}

function plainCell(cell) {
  const second = cell.slice(1, 2);
  return cell[0] === "'" && second && MARKED.includes(second) ? cell.slice(1) : cell;
}

function csvLine(texts) {
  return texts.map(text => {
    const cell = safeCell(String(text));
    return /["\r\n,]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
  }).join(",") + "\n";
}

// The rows of a file, each a list of cells as they were written; blank lines do not count.
function csvRows(text) {
  const rows = [];
  let row = [], cell = "", quoted = false, begun = false;
  const endRow = () => {
    row.push(cell);
    if (row.length > 1 || row[0] !== "" || begun) rows.push(row);
    row = []; cell = ""; begun = false;
  };
  if (text.charCodeAt(0) === 0xfeff) text = text.slice(1);
  for (let i = 0; i < text.length; i++) {
    const letter = text[i];
    if (quoted) {
      if (letter !== '"') cell += letter;
      else if (text[i + 1] === '"') { cell += '"'; i++; }
      else quoted = false;
    } else if (letter === '"' && cell === "") { quoted = true; begun = true; }
    else if (letter === ",") { row.push(cell); cell = ""; begun = false; }
    else if (letter === "\n" || letter === "\r") {
      if (letter === "\r" && text[i + 1] === "\n") i++;
      endRow();
    } else cell += letter;
  }
  if (quoted) throw new Error("a quotation mark is not closed");
  if (cell !== "" || row.length || begun) endRow();
  return rows;
}
