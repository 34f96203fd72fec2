"""`gapbench build`: benchmarks that are made on the user's machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="build", help="Build a benchmark from texts.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def build() -> None:
    """Build a benchmark from texts."""


@app.command(name="advbench-omni")
def advbench_omni(
    source: Annotated[Path, typer.Argument(help="Texts: CSV, TSV, JSON, JSON Lines, parquet, YAML or a line each.")],
    out: Annotated[Path, typer.Option(help="The folder to write; an earlier build in it is gone on with.")],
    benign: Annotated[Path | None, typer.Option(help="A file of harmless texts.")] = None,
    modalities: Annotated[str | None, typer.Option(help="Of t,i,a,v,t2i,t2a,t2v,t2ia,t2va,a2i,a2v; all.")] = None,
    splitter: Annotated[str, typer.Option(help="rule, or a model that divides requests: endpoint:NAME.")] = "rule",
    base_url: Annotated[str | None, typer.Option(help="Address of an endpoint: splitter.")] = None,
    limit: Annotated[int | None, typer.Option(help="Requests of each label, at most.")] = None,
    voice: Annotated[str, typer.Option(help="A voice of the speech engine.")] = "en",
    font: Annotated[str | None, typer.Option(help="A TrueType file; default: DejaVu Sans Mono Bold.")] = None,
    column: Annotated[str | None, typer.Option(help="The column that holds the text.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")] = False,
) -> None:
    """Carry each text in up to eleven combinations of text, image, audio and video, as AdvBench-Omni does."""
    from harness.builders.advbench_omni import build as build_set
    from harness.progress import shown

    with shown() as progress:
        built = build_set(
            source,
            out,
            benign=benign,
            modalities=modalities,
            splitter=splitter,
            base_url=base_url,
            limit=limit,
            voice=voice,
            font=font,
            column=column,
            progress=progress,
        )
    print(f"{built.items} items, {built.made} of them made now; use them with --task \"advbench_omni(source='{out}')\"")
    if built.unlisted:
        print(
            f"{built.unlisted} items of the earlier build are no longer listed: their texts or combinations were not "
            "asked for this time; name all of them to list them again"
        )
    for reason, count in built.errors.items():
        print(f"not made: {count}: {reason}")
    if built.errors:
        raise typer.Exit(1)
