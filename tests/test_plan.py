from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.contracts import PluginError
from harness.plan import Plan, changes, make_plan


def test_flags_are_laid_over_yaml(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("tasks: figstep\nlimit: 5\ndefenses: [none, {name: regap, params: {alpha_max: 2}}]\n")
    plan = make_plan(file, limit=7, tasks=None)
    assert plan.tasks == ["figstep"] and plan.limit == 7
    assert plan.defenses[1] == {"name": "regap", "params": {"alpha_max": 2}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("task: [a]", "there is no 'task'; did you mean 'tasks'"),
        ("limit: 0", "limit: input should be greater"),
        ("tasks: []", "tasks: at least one"),
        ("[1, 2]", "must be a mapping"),
        ("a: [", "not valid YAML"),
    ],
)
def test_mistakes_are_one_sentence_that_names_the_file(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(text)
    with pytest.raises(PluginError, match=said) as caught:
        make_plan(file)
    assert "plan.yaml" in str(caught.value) and "\n" not in str(caught.value)


@given(st.lists(st.sampled_from("abcdef"), unique=True), st.lists(st.sampled_from("ghij"), unique=True))
def test_adding_is_no_change_and_taking_away_is(old: list[str], new: list[str]) -> None:
    before, after = {"defenses": old}, {"defenses": old + new}
    assert changes(before, after) == []
    assert bool(changes(after, before)) == bool(new)


def test_judges_that_need_references_come_with_the_default_tasks_only() -> None:
    assert make_plan().judges == ["keyword", "compliance"]
    assert make_plan(tasks=["figstep"]).judges == []
    assert make_plan(tasks=["figstep"], judges=["degenerate"]).judges == ["degenerate"]


def test_what_decides_answers_is_a_change_and_speed_is_not() -> None:
    plan: dict[str, Any] = Plan().model_dump(mode="json")
    assert changes(plan, {**plan, "temperature": 1.0})
    assert not changes(plan, {**plan, "batch_size": 3})
    assert not changes({**plan, "limit": 3}, {**plan, "limit": None})
    assert changes({**plan, "limit": None}, {**plan, "limit": 3})


def test_which_tasks_settings_are_chosen_on() -> None:
    from harness.models.organism import Organism
    from harness.plan import calibration_of

    model = Organism()
    assert calibration_of(make_plan(), model) == (["microworld"], ["microworld(splits=['dev'])"])
    assert calibration_of(make_plan(calibration=["a"]), model) == (["a"], [])
    assert calibration_of(make_plan(calibration=["a"], validation=["b"]), model) == (["a"], ["b"])
    assert calibration_of(make_plan(validation=["b"]), model) == (["microworld"], ["b"])
