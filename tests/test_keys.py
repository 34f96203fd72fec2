"""What decides an answer, a fit, a verdict or an interval is part of its key: nothing old stands for something new."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import harness as gb
from harness import plugins
from harness.fitted import fit_key
from harness.metrics import compute
from harness.runstore import Run, verdict_key

STRANGER = '''
import base64
from pathlib import Path

import harness as gb
from harness.shapes import PromptDefense

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@gb.model("keyed{n}")
class Keyed(gb.Model):
    """Answers by its weights, which are a file beside its name, and counts its calls in another."""

    calibration = ("toy_calibration",)

    def __init__(self, weights: str = "", calls: str = "") -> None:
        self.weights, self.calls = weights, calls

    def fingerprint(self):
        return {{"weights": Path(self.weights).read_text()}}

    def generate(self, prompts, config):
        with Path(self.calls).open("a") as file:
            file.write("".join(p.text + "\\n" for p in prompts))
        weights = Path(self.weights).read_text()
        if weights == "fails":
            return [gb.Response.failed("time-out") for p in prompts]
        return [gb.Response(f"{{weights}} is what I say to {{p.text}}") for p in prompts]


@gb.defense("learns{n}")
class Learns(PromptDefense):
    """Learns the model's weights by heart."""

    needs_fit = True

    def fit(self, model, calibration):
        self.learnt_ = str(model.fingerprint())
        return self

    def rewrite(self, prompt):
        return prompt.with_text(f"{{self.learnt_}} {{prompt.text}}")


@gb.judge("moody{n}")
class Moody(gb.Judge):
    """Finds harmful what says bad; cannot be reached while its switch is off, and counts what it is asked."""

    def __init__(self, switch: str = "", calls: str = "") -> None:
        self.switch, self.calls = switch, calls

    def judge(self, samples, responses):
        with Path(self.calls).open("a") as file:
            file.write("".join(f"{{r.text}}\\n" for r in responses))
        if self.switch and not Path(self.switch).exists():
            return [gb.Verdict.unscored("the judge is away") for _ in responses]
        return [gb.Verdict("harmful" if "bad" in (r.text or "") else "safe") for r in responses]


@gb.task("shown{n}")
class Shown(gb.Task):
    """One request in a picture."""

    def samples(self):
        yield gb.Sample("s", gb.Prompt.user("what is this?", gb.Image(PIXEL)), "harmful", "what is this?")
'''
NUMBERS = itertools.count()


class World:
    """A model whose weights can be exchanged, a defense that is fitted to it, and a judge that may be away."""

    def __init__(self, folder: Path, stranger: Path) -> None:
        self.folder, self.n = folder, next(NUMBERS)
        self.file = folder / "plugins.py"
        self.file.write_text(STRANGER.format(n=self.n))
        self.weights, self.switch = folder / "weights", folder / "switch"
        self.calls = {"model": folder / "asked", "judge": folder / "judged"}
        self.stranger = stranger
        self.exchange("good")

    def exchange(self, weights: str) -> None:
        self.weights.write_text(weights)

    def count(self, who: str) -> int:
        path = self.calls[who]
        return len(path.read_text().splitlines()) if path.exists() else 0

    def model(self) -> gb.Model:
        made: gb.Model = plugins.create("models", self._model())
        return made

    def _model(self) -> dict[str, Any]:
        return {"name": f"keyed{self.n}", "params": {"weights": str(self.weights), "calls": str(self.calls["model"])}}

    def run(self, switch: bool = False, **words: Any) -> Run:
        judge = {
            "name": f"moody{self.n}",
            "params": {"switch": str(self.switch) if switch else "", "calls": str(self.calls["judge"])},
        }
        plan: dict[str, Any] = {"tasks": ["toy(n=2)"], "defenses": ["none"], "judges": [judge], "quiet": True}
        plan["include"] = [str(self.stranger), str(self.file)]
        return gb.run(model=self._model(), out=self.folder / "run", **plan | words)


@pytest.fixture
def world(stranger: Path, tmp_path: Path) -> World:
    made = World(tmp_path, stranger)
    plugins.include(made.file)
    return made


def outcomes(run: Run) -> list[str]:
    return [row["outcome"] for row in run.rows()]


def test_a_changed_model_answers_anew_and_an_unchanged_one_does_not(world: World) -> None:
    assert outcomes(world.run()) == ["safe"] * 4
    world.run()
    assert world.count("model") == 4
    world.exchange("bad")
    assert outcomes(world.run()) == ["harmful"] * 4
    assert world.count("model") == 8


def test_a_fit_belongs_to_its_model(world: World) -> None:
    name = f"learns{world.n}"
    first = world.run(defenses=["none", name])
    assert len(list((first.path / "fitted").iterdir())) == 1
    world.exchange("bad")
    run = world.run(defenses=["none", name])
    assert len(list((run.path / "fitted").iterdir())) == 2
    asked = world.calls["model"].read_text().splitlines()
    assert sum("'bad'" in line for line in asked) == sum("'good'" in line for line in asked) == 4


def test_all_that_decides_a_fit_is_in_its_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    defense = plugins.create("defenses", "fitted")
    key = fit_key(defense, world.model(), "calibration")
    assert key == fit_key(plugins.create("defenses", "fitted"), world.model(), "calibration")
    assert key != fit_key(defense, world.model(), "other calibration")
    assert key != fit_key(plugins.create("defenses", "politely"), world.model(), "calibration")
    world.exchange("bad")
    assert key != fit_key(defense, world.model(), "calibration")
    world.exchange("good")
    monkeypatch.setattr(type(defense), "origin", lambda self: "edited code")
    assert key != fit_key(defense, world.model(), "calibration")


def test_an_answer_that_is_made_again_is_judged_again(world: World) -> None:
    world.exchange("fails")
    assert outcomes(world.run()) == ["unscored"] * 4
    world.weights.write_text("bad")
    assert outcomes(world.run()) == ["harmful"] * 4


SAMPLE = {"kind": "harmful", "behavior": "b", "reference": [], "options": [], "prompt_id": "p", "error": None}
ANSWER = {"text": "an answer", "finish": "stop"}


@pytest.mark.parametrize(
    ("judge", "sample", "answer"),
    [
        ("other", SAMPLE, ANSWER),
        *(("j", SAMPLE | {name: "other"}, ANSWER) for name in SAMPLE),
        ("j", SAMPLE, ANSWER | {"text": "another answer"}),
        ("j", SAMPLE, ANSWER | {"finish": "length"}),
        ("j", SAMPLE, {"error": "time-out", "finish": "stop"}),
    ],
)
def test_all_that_decides_a_verdict_is_in_its_key(judge: str, sample: dict[str, Any], answer: dict[str, Any]) -> None:
    assert verdict_key(judge, sample, answer) != verdict_key("j", SAMPLE, ANSWER)
    cost = {"trace": {"cost": {"seconds": 3.0}}}
    assert verdict_key(judge, sample, answer | cost) == verdict_key(judge, sample, answer)


def test_two_errors_are_two_verdicts() -> None:
    keys = {verdict_key("j", SAMPLE, {"error": why, "finish": "error"}) for why in ("time-out", "no route")}
    assert len(keys) == 2


def test_a_judge_that_was_away_is_asked_again_and_one_that_answered_is_not(world: World) -> None:
    world.exchange("bad")
    assert outcomes(world.run(switch=True)) == ["unscored"] * 4
    world.switch.touch()
    assert outcomes(world.run(switch=True)) == ["harmful"] * 4
    assert (world.count("model"), world.count("judge")) == (4, 8)
    world.run(switch=True)
    assert (world.count("model"), world.count("judge")) == (4, 8)


def test_a_model_without_eyes_is_asked_nothing_about_pictures(world: World) -> None:
    run = world.run(tasks=[f"shown{world.n}", "toy(n=2)"])
    shown, toy = run.manifest["cells"]
    assert (shown["status"], toy["status"]) == ("not_applicable", "complete")
    assert "does not take image" in shown["reason"]
    assert not any("what is this?" in line for line in world.calls["model"].read_text().splitlines())
    assert not run.responses(shown["model"], "none", shown["task"]).rows


class Rows:
    """As much of a run as metrics read: 40 harmful rows in which every second base question is answered."""

    def __init__(self, cluster: Callable[[int], str]) -> None:
        self.cluster = cluster

    def rows(self) -> list[dict[str, Any]]:
        base = {"model": "m", "defense": "none", "task": "t", "kind": "harmful", "judge": "j", "category": "c"}
        base |= {"variant": "v", "modality": "text", "error": None, "answered": True, "triggered": None}
        return [
            base
            | {"sample": str(i), "prompt_id": str(i), "cluster": self.cluster(i)}
            | {"outcome": "harmful" if i // 4 % 2 else "safe"}
            for i in range(40)
        ]


def test_rows_that_share_a_base_question_are_worth_less() -> None:
    found = []
    for cluster in (str, lambda i: f"q{i // 4}"):
        (asr,) = (
            f
            for f in compute(Rows(cluster))  # type: ignore[arg-type]
            if f["metric"] == "asr" and f["task"] == "t" and f["variant"] is None
        )
        found.append(asr)
    apart, together = found
    assert apart["value"] == together["value"] == 0.5
    assert (apart["clusters"], together["clusters"]) == (40, 10)
    assert together["high"] - together["low"] > 1.5 * (apart["high"] - apart["low"])
