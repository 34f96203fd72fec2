// Everything is put into the page as text, never as markup.
const make = (tag, options = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), options);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};

const field = (name, content) =>
  make("div", { className: "part" }, make("span", { className: "name" }, name), content);

const passage = (text) => make("div", { className: "text", dir: "auto", tabIndex: 0, textContent: text === "" ? "(empty)" : text });

const picture = (content, data) => {
  const url = data.pictures[content];
  if (!url) return make("span", {}, data.missing[content] || "this medium is not shown here; it is in the run directory");
  return make("img", { src: url, alt: "picture of this prompt" });
};

const isSensitive = (sample) => sample.kind !== "benign" && sample.kind !== "utility";

const contents = (answer, sample, data) => {
  const parts = [];
  const repeated = sample.parts.some((part) => part.text === sample.behavior);
  if (sample.behavior && !repeated) parts.push(field("What is asked", passage(sample.behavior)));
  for (const part of sample.parts) {
    const name = part.role === "user" ? `Prompt, ${part.type}` : `${part.role}, ${part.type}`;
    parts.push(field(name, part.media ? (part.type === "image" ? picture(part.media, data) : make("span", {}, `${part.type} ${part.media.slice(0, 16)}, in the run directory`)) : passage(part.text)));
  }
  if (sample.options.length) parts.push(field("Options", passage(sample.options.join("\n"))));
  if (sample.reference.length) parts.push(field("Reference", passage(sample.reference.join("\n"))));
  if (sample.error) parts.push(field("Sample error", passage(sample.error)));
  if (answer.undefended !== null && answer.undefended !== undefined) parts.push(field("Before the defense", passage(answer.undefended)));
  if (answer.text !== null && answer.text !== undefined) parts.push(field("Answer", passage(answer.text)));
  if (answer.error) parts.push(field("Error", passage(answer.error)));
  for (const [judge, verdict] of Object.entries(answer.v)) {
    if (verdict.why) parts.push(field(`Why (${judge})`, passage(verdict.why)));
  }
  return parts;
};

const traceOf = (answer) => {
  const at = (place) => `${place.file}, ${place.line ? `line ${place.line}` : "no line"}`;
  const cost = Object.entries(answer.cost || {}).map(([name, value]) => `${name} ${value}`).join(", ");
  const entries = [`Response: ${at(answer)}`, `Key: ${answer.key}`];
  for (const [judge, verdict] of Object.entries(answer.v)) entries.push(`Verdict of ${judge}: ${at(verdict)}`);
  if (cost) entries.push(`Cost: ${cost}`);
  return make("details", { className: "trace" }, make("summary", {}, "Where this is on disk"),
    make("ul", {}, ...entries.map((entry) => make("li", {}, entry))));
};

const card = (answer, data, shown, onToggle) => {
  const sample = data.samples[answer.s];
  const badges = Object.entries(answer.v).map(([judge, verdict]) => {
    const known = ["harmful", "refused", "safe", "incoherent", "unscored", "correct", "incorrect"];
    const score = typeof verdict.score === "number" ? ` ${verdict.score.toFixed(2)}` : "";
    const badge = make("span", { className: "badge" }, `${judge}: ${verdict.outcome}${score}`);
    if (known.includes(verdict.outcome)) badge.classList.add(verdict.outcome);
    return badge;
  });
  const trigger = answer.triggered === true ? "triggered" : answer.triggered === false ? "not triggered" : null;
  const gate = typeof answer.gate === "number" ? `gate ${answer.gate.toFixed(3)}` : null;
  const facts = [answer.m, answer.d, sample.task, sample.kind, sample.category, sample.variant, trigger, gate, answer.finish];
  const item = make("li", {}, make("h3", {}, sample.id), make("p", { className: "meta" }, facts.filter(Boolean).join(" · ")));
  const state = make("div", { className: "state" }, ...badges);
  item.append(state);
  if (isSensitive(sample)) {
    const button = make("button", { type: "button", className: "reveal" }, shown ? "Hide harmful content" : "Show harmful content");
    button.setAttribute("aria-expanded", String(shown));
    button.addEventListener("click", onToggle);
    state.append(button);
  }
  if (!isSensitive(sample) || shown) item.append(...contents(answer, sample, data));
  item.append(traceOf(answer));
  return item;
};
