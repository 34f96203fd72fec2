const PAGE = 20;
const data = JSON.parse(document.getElementById("sample-data").textContent);
const form = document.getElementById("filters");
const list = document.getElementById("rows");
const revealed = new Set();
let revealAll = false;
let page = 0;

const judgesOf = (answer, wanted) => (wanted ? (answer.v[wanted] ? [wanted] : []) : Object.keys(answer.v));
const values = {
  m: (answer) => [answer.m],
  d: (answer) => [answer.d],
  task: (answer) => [data.samples[answer.s].task],
  kind: (answer) => [data.samples[answer.s].kind],
  category: (answer) => [data.samples[answer.s].category],
  judge: (answer) => Object.keys(answer.v),
  outcome: (answer) => judgesOf(answer, form.elements.judge.value).map((judge) => answer.v[judge].outcome),
};

const matching = () => {
  const wanted = Object.keys(values).map((name) => [name, form.elements[name].value]).filter(([, value]) => value);
  const id = form.elements.id.value.trim().toLowerCase();
  return data.answers
    .map((answer, place) => [answer, place])
    .filter(([answer]) => wanted.every(([name, value]) => values[name](answer).includes(value)))
    .filter(([answer]) => !id || data.samples[answer.s].id.toLowerCase().includes(id));
};

const show = (focusOn) => {
  const rows = matching();
  const pages = Math.max(1, Math.ceil(rows.length / PAGE));
  page = Math.min(Math.max(page, 0), pages - 1);
  const part = rows.slice(page * PAGE, (page + 1) * PAGE);
  const toggle = (place) => () => {
    if (!revealed.delete(place)) revealed.add(place);
    show(place);
  };
  list.replaceChildren(...part.map(([answer, place]) => {
    const item = card(answer, data, revealAll || revealed.has(place), toggle(place));
    item.dataset.place = place;
    return item;
  }));
  if (focusOn !== undefined) list.querySelector(`li[data-place="${focusOn}"] button.reveal`)?.focus();
  const first = page * PAGE;
  document.getElementById("count").textContent = rows.length
    ? `${first + 1} to ${first + part.length} of ${rows.length} answers`
    : "No answer matches these filters.";
  document.getElementById("pager").hidden = pages < 2;
  document.getElementById("previous").disabled = page === 0;
  document.getElementById("next").disabled = page === pages - 1;
};

for (const [name, read] of Object.entries(values)) {
  const found = [...new Set(data.answers.flatMap(read))].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  form.elements[name].append(...found.map((value) => make("option", { value }, value)));
}

const everything = document.getElementById("reveal-all");
const dialog = document.getElementById("confirm");
const setAll = (on) => {
  revealAll = on;
  revealed.clear();
  everything.setAttribute("aria-pressed", String(on));
  everything.textContent = on ? "Hide harmful content" : "Show harmful content";
  show();
};
everything.addEventListener("click", () => (revealAll ? setAll(false) : dialog.showModal()));
document.getElementById("confirm-no").addEventListener("click", () => dialog.close());
document.getElementById("confirm-yes").addEventListener("click", () => { dialog.close(); setAll(true); });

const restart = () => { page = 0; show(); };
form.addEventListener("input", restart);
form.addEventListener("reset", () => setTimeout(restart));
form.addEventListener("submit", (event) => event.preventDefault());
const turn = (step) => () => {
  page += step;
  show();
  document.getElementById("samples-title").scrollIntoView();
};
document.getElementById("previous").addEventListener("click", turn(-1));
document.getElementById("next").addEventListener("click", turn(1));

if (data.left_out) {
  const note = document.getElementById("left-out");
  note.hidden = false;
  note.textContent = `${data.left_out} more answers are in the run directory alone, to keep this page small: every defense shows the same first samples of each task.`;
}
form.hidden = false;
show();
