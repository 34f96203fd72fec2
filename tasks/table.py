"""Any table as a benchmark: a CSV, TSV, JSON, JSON Lines or parquet file and the names of its columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from harness.contracts import PluginError, Task
from harness.names import interleaved, one_of, suggestion
from harness.sources import file_identity, inside, question_cluster
from harness.tables import brief, read_rows
from harness.types import Audio, Image, Kind, Media, MediaError, Prompt, Sample, Video

KINDS = get_args(Kind)


class Table(Task):
    """Rows of a file as samples: `prompt` is a Jinja2 template over the columns, the other arguments name columns.

    path: the file. prompt: such as "{{ question }}"; a column whose name is no identifier is `row["its name"]`; the
    template is sandboxed. system: a template of a system turn. kind: harmful, benign or utility; kind_column: a
    column that says it row by row, kind then being the main one. id, category, cluster, variant, behavior, reference,
    options: column names (None: the row number, "all", the behavior's text, "default", the prompt, nothing, nothing);
    reference and options may hold lists. Rows of one cluster are forms of one base question: name behavior or cluster
    where the prompt is a wrapper. image, video, audio: columns with a path relative to the file (or a list of paths, or
    bytes); empty is no medium, a missing file is an error of that row. judge: the default judge (None: keyword, or
    exact for utility). balance: a column over which rows are ordered round-robin.
    """

    source_note = "a file of the user's"
    licence = "that of the file"

    def __init__(
        self,
        path: str,
        prompt: str = "{{ prompt }}",
        kind: str = "harmful",
        id: str | None = None,
        behavior: str | None = None,
        category: str | None = None,
        cluster: str | None = None,
        variant: str | None = None,
        reference: str | None = None,
        options: str | None = None,
        image: str | None = None,
        video: str | None = None,
        audio: str | None = None,
        system: str | None = None,
        judge: str | None = None,
        balance: str | None = None,
        kind_column: str | None = None,
    ) -> None:
        self.path = path
        self.prompt = prompt
        self.kind = one_of(kind, KINDS, "table kind")  # type: ignore[assignment, misc]
        self.id = id
        self.behavior = behavior
        self.category = category
        self.cluster = cluster
        self.variant = variant
        self.reference = reference
        self.options = options
        self.image = image
        self.video = video
        self.audio = audio
        self.system = system
        self.judge = judge
        self.balance = balance
        self.kind_column = kind_column
        self.default_judge = judge or ("exact" if kind == "utility" else "keyword")  # type: ignore[misc]
        self.modalities = frozenset({"text", *(m for m, c in self._media_columns().items() if c)})  # type: ignore[misc]

    def samples(self) -> Iterator[Sample]:
        path = Path(self.path).expanduser()
        rows = read_rows(path)
        if not rows:
            raise PluginError(f"{path} has no rows: a benchmark needs at least one")
        self._check_columns(rows, path)
        prompt, system = (
            self._template(self.prompt, rows, path),
            self.system and self._template(self.system, rows, path),
        )
        contents = file_identity(path)[path.name]
        made = [self._sample(row, n, path, contents, prompt, system or None) for n, row in enumerate(rows, start=1)]
        seen: dict[str, int] = {}
        for number, (_, sample) in enumerate(made, start=1):
            if sample.id in seen:
                raise PluginError(
                    f"{path} rows {seen[sample.id]} and {number} have the same id {sample.id!r}: make it unique"
                )
            seen[sample.id] = number
        balance = self.balance
        ordered = interleaved(made, lambda pair: pair[0].get(balance)) if balance else made
        yield from (sample for _, sample in ordered)

    def revision(self) -> dict[str, Any]:
        path = Path(self.path).expanduser()
        return {"sha256": file_identity(path), "rows": len(read_rows(path))}

    def _media_columns(self) -> dict[str, str | None]:
        return {"image": self.image, "video": self.video, "audio": self.audio}

    def _check_columns(self, rows: list[dict[str, Any]], path: Path) -> None:
        named = (self.id, self.behavior, self.category, self.cluster, self.variant, self.reference, self.options)
        have = list(dict.fromkeys(c for row in rows for c in row))
        for column in (*named, *self._media_columns().values(), self.balance, self.kind_column):
            if column is not None and column not in have:
                raise PluginError(
                    f"{path} has no column {column!r}{suggestion(column, have)}: it has {', '.join(map(str, have))}"
                )

    def _template(self, source: str, rows: list[dict[str, Any]], path: Path) -> Callable[[dict[str, Any]], str]:
        from jinja2 import StrictUndefined, TemplateError, meta
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
        have = {str(c) for row in rows for c in row}
        try:
            template = environment.from_string(source)
            unknown = meta.find_undeclared_variables(environment.parse(source)) - have - {"row", *environment.globals}
        except TemplateError as error:
            raise PluginError(f"the prompt template {source!r} cannot be read ({brief(error)}): mend it") from error
        for name in sorted(unknown):
            raise PluginError(
                f"{path} has no column {name!r}{suggestion(name, have)}, which the prompt template names: "
                f"its columns are {', '.join(sorted(have))}"
            )

        def fill(row: dict[str, Any]) -> str:
            return template.render({**row, "row": row})

        return fill

    def _sample(
        self,
        row: dict[str, Any],
        number: int,
        path: Path,
        contents: str,
        prompt: Callable[[dict[str, Any]], str],
        system: Callable[[dict[str, Any]], str] | None,
    ) -> tuple[dict[str, Any], Sample]:
        where = f"{path} row {number}"
        try:
            text = prompt(row)
            preamble = system(row) if system else None
        except Exception as error:  # a template may call anything that its values offer
            raise PluginError(f"{where}: the prompt template fails ({brief(error)})") from error
        kind = one_of(_text(row.get(self.kind_column)) if self.kind_column else self.kind, KINDS, f"{where}: kind")
        media, error_of_row = self._media(row, path, where)
        name = _text(row.get(self.id)) if self.id else str(number)
        if not name:
            raise PluginError(f"{where} has an empty id: fill the column {self.id!r}")
        behavior = _text(row.get(self.behavior)) if self.behavior else text
        return row, Sample(
            id=f"{path.stem}:{name}",
            prompt=Prompt.user(text, *media, system=preamble),
            kind=kind,  # type: ignore[arg-type]
            behavior=behavior,
            category=(_text(row.get(self.category)) if self.category else "") or "all",
            cluster=self._cluster(row, contents, behavior, media),
            variant=(_text(row.get(self.variant)) if self.variant else "") or "default",
            reference=_texts(row.get(self.reference)) if self.reference else (),
            options=_texts(row.get(self.options)) if self.options else (),
            error=error_of_row,
        )

    def _cluster(self, row: dict[str, Any], contents: str, behavior: str, media: Sequence[Media]) -> str:
        named = _text(row.get(self.cluster)) if self.cluster else ""
        if named:  # numbers mean nothing beyond their file
            return f"table:{contents[:12]}:{named}"
        # One prompt around many pictures is many questions, unless a column says what is asked.
        seen = [] if self.behavior else [m.digest for m in media]
        return question_cluster("table", " ".join([behavior, *seen]))

    def _media(self, row: dict[str, Any], path: Path, where: str) -> tuple[list[Media], str | None]:
        found: list[Media] = []
        problem = None
        types: dict[str, type[Media]] = {"image": Image, "video": Video, "audio": Audio}
        for name, column in self._media_columns().items():
            value = row.get(column) if column else None
            for item in value if isinstance(value, list) else [value]:
                try:
                    if item:
                        found.append(_medium(item, types[name], path.parent, where))
                except MediaError as error:
                    problem = problem or f"missing media: {error}"
        return found, problem


def _medium(item: Any, kind: type[Media], folder: Path, where: str) -> Media:
    data = item.get("bytes") if isinstance(item, dict) else item
    if isinstance(data, bytes):
        return kind(data)
    name = str(item.get("path") or "") if isinstance(item, dict) else str(item)
    target = inside(folder, name)
    if target is None:
        raise PluginError(f"{where} names the file {name!r} outside the table's folder: keep media beside the table")
    medium: Media = kind.from_file(target)
    return medium


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _texts(value: Any) -> tuple[str, ...]:
    """One text or a list of them; empty ones say nothing."""
    items = value if isinstance(value, (list, tuple)) else [value]
    return tuple(t for t in map(_text, items) if t)
