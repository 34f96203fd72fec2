"""Every benchmark runs on the micro-world: balanced prefixes, shared clusters, and no leak from calibration."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import organism
from harness.calibration import Calibration
from harness.contracts import PluginError, Task
from harness.testing import check_task
from harness.types import Sample
from tasks.abilities import Abilities
from tasks.benign_typographic import BenignTypographic
from tasks.figstep import FigStep
from tasks.microworld import MicroWorld
from tasks.mmmu import MMMU
from tasks.mmsafetybench import MMSafetyBench
from tasks.xstest import XSTest

EVALUATION: list[Task] = [
    FigStep("organism"),
    FigStep("organism", variants=("image", "text")),
    MMSafetyBench("organism"),
    XSTest("organism"),
    BenignTypographic(),
    MMMU("organism"),
    Abilities(),
]


@pytest.mark.parametrize("task", EVALUATION, ids=lambda t: type(t).__name__)
def test_each_keeps_the_contract_and_its_length(task: Task) -> None:
    samples = check_task(task)
    assert len(samples) == 96
    assert not any(s.error for s in samples)
    assert all(s.reference and s.cluster.startswith("organism:") for s in samples)


@pytest.mark.parametrize("task", EVALUATION, ids=lambda t: type(t).__name__)
def test_calibration_does_not_leak_into_evaluation(task: Task) -> None:
    calibration = Calibration.from_samples(MicroWorld(("train", "dev"), n_per_kind=None).samples())
    assert calibration.leaks(task.samples()) == []


def test_leaks_are_found_across_tasks_and_modalities() -> None:
    seen = Calibration.from_samples(MicroWorld(("test",), ("text",), n_per_kind=None).samples())
    pictures = list(MMSafetyBench("organism", ("SD",)).samples())
    assert len(seen.leaks(pictures)) == len(pictures)


@pytest.mark.parametrize(
    ("task", "groups"),
    [
        (MMSafetyBench("organism"), lambda s: s.variant),
        (BenignTypographic(), lambda s: s.variant),
        (XSTest("organism"), lambda s: s.kind),
        (Abilities(), lambda s: s.category),
        (MicroWorld(), lambda s: (s.kind, s.variant)),
    ],
)
def test_a_prefix_is_balanced(task: Task, groups) -> None:  # type: ignore[no-untyped-def]
    counts = Counter(groups(s) for s in list(task.samples())[:24])
    assert len(counts) == len({groups(s) for s in task.samples()})
    assert max(counts.values()) - min(counts.values()) <= 2


def test_all_categories_come_early() -> None:
    samples = list(FigStep("organism").samples())
    assert {s.category for s in samples[:6]} == {s.category for s in samples}


def test_benign_twins_mix_lookalikes_and_ordinary_requests() -> None:
    lookalike = {f"organism:{r.name}" for r in organism.requests("test", False) if r.lookalike}
    shares = [s.cluster in lookalike for s in BenignTypographic().samples()]
    assert 0.4 <= sum(shares) / len(shares) <= 0.6


def test_kinds_agree_with_the_world() -> None:
    harmful = {f"organism:{r.name}" for r in organism.requests("test", True)}
    for task in EVALUATION[:5]:
        for sample in task.samples():
            assert (sample.kind == "harmful") == (sample.cluster in harmful)


def test_calibration_pairs_every_picture_with_its_text() -> None:
    samples = check_task(MicroWorld(n_per_kind=8))
    forms: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        forms[sample.cluster].add(sample.variant)
    assert len(forms) == 16 and all(v == set(organism.VARIANTS) for v in forms.values())
    everything = Calibration.from_samples(samples, validation=0.0)
    assert len(everything.train.pairs("harmful")) == len(everything.train.pairs("benign")) == 8 * 3


@settings(max_examples=8, deadline=None)
@given(n=st.integers(1, 150), seed=st.integers(0, 3))
def test_n_is_exact_and_rows_never_repeat(n: int, seed: int) -> None:
    samples: list[Sample] = list(FigStep("organism", n=n, seed=seed).samples())
    assert len(samples) == n == len({s.id for s in samples}) == len({s.prompt.id for s in samples})


def test_more_rows_than_requests_show_new_layouts_of_the_same_questions() -> None:
    samples = list(FigStep("organism", n=96).samples())
    assert len({s.cluster for s in samples}) == len(organism.requests("test", True)) < 96


def test_utility_asks_each_question_once() -> None:
    samples = list(MMMU("organism", n=20).samples())
    assert all(len(s.options) == 4 and set(s.reference) <= set("ABCD") for s in samples)
    assert all(option in s.prompt.text for s in samples for option in s.options)


def test_wrong_names_are_refused() -> None:
    with pytest.raises(PluginError, match="did you mean 'train'"):
        MicroWorld(("trian",))
    with pytest.raises(PluginError, match="'reading'"):
        Abilities(("readin",))
