"""OmniSteer and its static baseline: the identities of the method, on random states and on a random model."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
import torch

from defenses.omnisteer import OmniSteer
from defenses.static_steer import StaticSteer
from harness.adapters import Recipe, batches, fresh, loss, strengths, trained
from harness.contracts import PluginError
from harness.directions import unit
from harness.golden import golden_vector, refusal_vectors
from harness.progress import Bar, Lines, shown, steps
from harness.residual import edit, read
from harness.types import GenerationConfig, Prompt
from tests import tiny_world as tiny

QUICK: dict[str, Any] = {"bottleneck": 8, "steps": 40, "lr": 1e-2}


def fitted(cls: Any = OmniSteer, **params: Any) -> Any:
    quick = QUICK if cls is OmniSteer else {}
    return cls(**{**quick, **params}).fit(tiny.model(), tiny.calibration())


def media_prompts() -> list[Prompt]:
    return [p for p in dict.fromkeys(tiny.prompts()) if p.media]


def logits(defense: Any, prompts: list[Prompt]) -> torch.Tensor:
    with defense.steer(tiny.model(), defense.doses(tiny.model(), prompts)):
        return tiny.model().logits(prompts)


def two_clouds(distance: float, width: int = 16, n: int = 60) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Harmful and safe states [n, 1, d] that a direction other than the golden one [1, d] tells apart."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, n, 1, width, generator=generator) * 0.1
    noise[..., 0] = 0
    noise[0, ..., 1] += distance
    noise[1, ..., 1] -= distance
    golden = torch.zeros(1, width)
    golden[0, 0] = 4.0
    return noise[0], noise[1], golden


LONG = Recipe(lr=1e-2, steps=None, epochs=40, batch=16)


def test_fresh_adapters_do_nothing() -> None:
    adapters = fresh(2, 16, 8, seed=3)
    assert strengths(adapters, torch.randn(5, 2, 16)).eq(0).all()
    assert adapters.down.abs().max() <= 0.25 and adapters.down.std() > 0.1
    assert not fresh(2, 16, 8, seed=4).down.equal(adapters.down)


def test_untrained_the_model_is_the_undefended_one_bit_for_bit() -> None:
    prompts = list(tiny.prompts())
    plain = tiny.model().logits(prompts)
    untrained = fitted(lr=0.0)
    assert untrained.strength_ == 1 and not untrained.up_.any()
    assert torch.equal(logits(untrained, prompts), plain)
    assert torch.equal(logits(fitted(gain=0.0), prompts), plain)
    assert not torch.equal(logits(fitted(), prompts), plain)


def test_the_loss_is_the_published_one() -> None:
    recipe = Recipe(a=0.3, b=0.5, l1_harmful=0.01, l1_safe=0.05)
    k, plain = torch.tensor([[2.0], [-1.0], [0.5]]), torch.tensor([[-1.0], [4.0], [1.0]])
    radius, harmful = torch.tensor([10.0]), torch.tensor([True, False, False])
    # p is 1, 3 and 1.5: the harmful row lacks 2 of a R = 3, the safe ones are 8 and 6.5 above -b R = -5.
    expected = (0.2 + 0.02) + ((0.8 + 0.05) + (0.65 + 0.025)) / 2
    assert float(loss(k, plain, radius, harmful, recipe)) == pytest.approx(expected)
    assert float(loss(k[:1], plain[:1], radius, harmful[:1], recipe)) == pytest.approx(0.22)


def test_at_the_optimum_harmful_states_lie_above_a_and_safe_ones_below_b() -> None:
    harmful, safe, golden = two_clouds(1.0)
    adapters = trained(harmful, safe, golden, 16, LONG)
    # The golden coordinate of every state is 0, so that p is k.
    reached = [strengths(adapters, s).mean() for s in (harmful, safe)]
    assert float(reached[0]) == pytest.approx(0.3 * 4, abs=0.25)
    assert float(reached[1]) == pytest.approx(-0.5 * 4, abs=0.25)


@pytest.mark.parametrize(("radius", "pushed"), [(15.0, True), (25.0, False)])
def test_the_hinge_wins_only_while_r_is_below_one_over_the_weight(radius: float, pushed: bool) -> None:
    harmful, safe, golden = two_clouds(1.0)
    recipe = Recipe(lr=1e-2, steps=None, epochs=60, batch=16, l1_harmful=0.05, l1_safe=0.05)
    adapters = trained(harmful, safe, unit(golden) * radius, 16, recipe)
    reached = strengths(adapters, harmful).mean()
    assert float(reached) > 3 if pushed else abs(float(reached)) < 0.5


def test_layers_that_cannot_learn_are_noted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="gapbench"):
        assert fitted(layers=[1, 2]).notes_ == [] and not caplog.records
        noted = fitted(layers=[1, 2], l1_safe=1e6)
    assert noted.notes_ == ["R >= 1/l1_safe at layers 1, 2: that term keeps k at 0 there"]
    assert len(caplog.records) == 1
    assert fitted(layers=[1], norm="unit", l1_safe=0.9).notes_ == []


def test_layers_are_trained_independently() -> None:
    both = fitted(layers=[1, 2])
    for i, alone in enumerate((fitted(layers=[1]), fitted(layers=[2]))):
        for name in ("up_", "up_bias_", "down_", "down_bias_"):
            torch.testing.assert_close(getattr(both, name)[i], getattr(alone, name)[0], atol=1e-5, rtol=1e-4)


def test_steered_training_sees_what_the_first_adapter_does() -> None:
    plain, steered = (fitted(layers=[0, 2], train_on=t) for t in ("plain", "steered"))
    first = fitted(layers=[0], train_on="steered")
    torch.testing.assert_close(steered.up_[:1], first.up_)
    assert not torch.allclose(plain.up_[1:], steered.up_[1:])
    assert steered.layers_.tolist() == [0, 2] and not tiny.model().edits


def test_the_push_is_along_g_and_at_the_last_position_alone() -> None:
    defense, prompts = fitted(layers=[1]), media_prompts()
    moved: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Any:
        def fn(states: torch.Tensor, site: Any) -> torch.Tensor:
            moved[name] = states.clone()
            return states

        return fn

    for where in ("last", "prompt"):
        with edit(tiny.model(), [1], keep(f"plain {where}"), positions=where):  # type: ignore[arg-type]
            read(tiny.model(), prompts)
        with (
            defense.steer(tiny.model(), defense.doses(tiny.model(), prompts)),
            edit(tiny.model(), [1], keep(where), positions=where),  # type: ignore[arg-type]
        ):
            read(tiny.model(), prompts)
    step = moved["last"] - moved["plain last"]
    axis = unit(defense.golden_[1])
    assert step.norm(dim=-1).min() > 1e-3
    torch.testing.assert_close((step @ axis)[:, None] * axis, step, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close((step @ axis)[:, None], defense.strengths(moved["plain last"], 1), atol=1e-4, rtol=1e-3)
    changed = (moved["prompt"] != moved["plain prompt"]).any(-1)
    assert int(changed.sum()) == len(prompts)


def test_gain_and_sign_scale_the_push() -> None:
    prompts = media_prompts()
    plain, moves = read(tiny.model(), prompts, layers=[1]), []
    for change in ({}, {"gain": 3.0}, {"sign": -1}):
        defense = fitted(layers=[1], **change)
        with defense.steer(tiny.model(), defense.doses(tiny.model(), prompts)):
            moves.append(read(tiny.model(), prompts, layers=[1]) - plain)
    torch.testing.assert_close(moves[1], 3 * moves[0], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(moves[2], -moves[0], atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize(("phase", "first", "later"), [("both", 1, 1), ("prefill", 1, 0), ("decode", 0, 1)])
def test_every_pass_is_steered_at_its_last_position(phase: str, first: int, later: int) -> None:
    defense, prompt = fitted(layers=[1], phase=phase), media_prompts()[0]
    seen: list[int] = []
    inner = defense._pushed
    defense._pushed = lambda states, site, k: (seen.append(len(states)), inner(states, site, k))[1]
    defense.wrap(tiny.model()).generate([prompt], GenerationConfig(max_new_tokens=3))
    passes_after = len(seen) - first
    assert seen == [1] * len(seen) and (passes_after > 0) == bool(later)


def test_the_strength_is_the_score_of_a_prompt() -> None:
    defense, prompts = fitted(layers=[1]), list(dict.fromkeys(tiny.prompts()))
    answers = defense.wrap(tiny.model()).generate(prompts, tiny.SHORT)
    k = defense.strengths(read(tiny.model(), prompts, layers=[1])[:, 0], 1)[:, 0]
    assert [a.trace.score for a in answers] == pytest.approx(k.tolist(), abs=1e-4)
    assert all(a.trace.signals["k"] == a.trace.score for a in answers)
    silent = fitted(layers=[1], phase="decode").wrap(tiny.model()).generate(prompts[:1], tiny.SHORT)[0]
    assert silent.trace.score is None


def test_the_cache_of_keys_does_not_change_what_is_steered(monkeypatch: pytest.MonkeyPatch) -> None:
    defended, prompts = fitted(gain=5.0).wrap(tiny.model()), media_prompts()
    answers = [r.text for r in defended.generate(prompts, tiny.SHORT)]
    monkeypatch.setattr(tiny.model(), "_use_cache", False)
    assert [r.text for r in defended.generate(prompts, tiny.SHORT)] == answers


def test_rarer_prompts_are_repeated_until_both_are_as_many() -> None:
    rows = torch.cat(batches(6, 2, Recipe(epochs=1, steps=None)))
    assert sorted(rows.tolist()) == [0, 1, 2, 3, 4, 5, 6, 6, 6, 7, 7, 7]
    assert sorted(torch.cat(batches(6, 2, Recipe(epochs=1, steps=None, balance=False))).tolist()) == list(range(8))
    assert [len(b) for b in batches(6, 2, Recipe(epochs=1, steps=None))] == [4, 4, 4]
    assert len(batches(6, 2, Recipe(epochs=3, steps=5))) == 5
    assert len(batches(6, 2, Recipe(epochs=3, steps=None))) == 9


def test_static_steering_adds_the_same_vector_everywhere() -> None:
    defense, prompts = fitted(StaticSteer, coef=0.1, layers=[1]), media_prompts()
    plain = read(tiny.model(), prompts, layers=[1], positions="mean_prompt")
    with defense.steer(tiny.model(), defense.doses(tiny.model(), prompts)):
        moved = read(tiny.model(), prompts, layers=[1], positions="mean_prompt") - plain
    torch.testing.assert_close(moved[:, 0], (0.1 * defense.golden_[1]).expand(len(prompts), -1), atol=1e-5, rtol=1e-3)
    found = refusal_vectors(tiny.model(), tiny.calibration().train)
    torch.testing.assert_close(defense.golden_, golden_vector(found))
    assert torch.equal(logits(fitted(StaticSteer, coef=0.0), prompts), tiny.model().logits(prompts))


def test_wrong_parameters_are_said() -> None:
    with pytest.raises(PluginError, match="combine"):
        OmniSteer(combine="pca")  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="train_on"):
        OmniSteer(train_on="other")  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="bottleneck=0"):
        OmniSteer(bottleneck=0)
    with pytest.raises(PluginError, match="audio"):
        fitted(modalities=["text", "audio"])
    with pytest.raises(PluginError, match="norm"):
        StaticSteer(norm="long")  # type: ignore[arg-type]


def test_on_a_terminal_training_has_a_bar_of_its_own() -> None:
    from rich.console import Console
    from rich.progress import Progress as RichProgress

    rich = RichProgress(console=Console(file=io.StringIO()))
    bar = Bar(rich)
    with bar.part("training", 3) as step:
        step()
        assert [(t.description, t.completed, t.total) for t in rich.tasks][1:] == [("training", 1, 3)]
    assert len(rich.tasks) == 1


def test_long_training_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(Lines, "say", lambda self, line: said.append(line))
    monkeypatch.setattr("harness.progress.EVERY", -1.0)
    with shown():
        fitted(layers=[1], steps=3)
    assert [line.split(",")[0] for line in said] == [f"training adapters of layers 1: {i}/3" for i in (1, 2, 3)]
    said.clear()
    fitted(layers=[1], steps=3)
    assert said == [] and list(steps([1, 2], "quietly")) == [1, 2]
