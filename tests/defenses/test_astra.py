"""ASTRA: the steering rule and what its vector is made of, on a random model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from defenses.astra import ASTRA
from harness.calibration import Calibration, CalibrationSplit
from harness.contracts import PluginError
from harness.models.hf import HFModel
from harness.residual import read
from harness.types import Prompt
from tests import tiny_world as tiny
from tests.tiny_models import loaded

QUICK: dict[str, Any] = {"alpha": 2.0, "attacks": 3, "ablations": 16, "references": 4, "response_tokens": 6}


def astra(model: HFModel | None = None, **params: Any) -> ASTRA:
    return ASTRA(**{**QUICK, **params}).fit(model or tiny.model(), tiny.calibration())


def media_prompts() -> list[Prompt]:
    return [p for p in dict.fromkeys(tiny.prompts()) if p.media]


def read_plain() -> torch.Tensor:
    return read(tiny.model(), media_prompts())


def changed(defense: ASTRA, states: torch.Tensor, strength: float = 2.0) -> torch.Tensor:
    return defense.change(states, SimpleNamespace(layer=1, strength=torch.full((len(states), 1), strength)))


def test_zero_strength_is_the_undefended_model_bit_for_bit() -> None:
    defense, prompts = astra(alpha=0.0), list(tiny.prompts())
    plain = tiny.model().logits(prompts)
    with defense.steer(tiny.model(), defense.doses(tiny.model(), prompts)):
        assert torch.equal(tiny.model().logits(prompts), plain)


def test_states_that_do_not_point_along_the_vector_are_untouched() -> None:
    defense = astra()
    away = torch.cat([-torch.eye(32)[:1], torch.eye(32)[1:2]])
    defense.vector_, defense.reference_ = torch.eye(32)[0], torch.full((32,), 0.3)
    opposite_and_across = defense.reference_ + away
    assert torch.equal(changed(defense, opposite_and_across), opposite_and_across)
    along = (defense.reference_ + torch.eye(32)[0])[None]
    expected = along - 2.0 * along.norm() * torch.eye(32)[0]
    torch.testing.assert_close(changed(defense, along), expected, atol=1e-5, rtol=1e-5)


def test_in_the_model_a_prompt_is_untouched_exactly_where_its_score_is_zero() -> None:
    plain, untouched = read_plain(), []
    for flip in (1.0, -1.0):
        defense = astra(alpha=20.0)
        defense.vector_ = flip * defense.vector_
        doses = defense.doses(tiny.model(), media_prompts())
        with defense.steer(tiny.model(), doses):
            moved = (read_plain() - plain)[:, 1].abs().amax(-1)
        scores = torch.tensor([doses[p.id].score for p in media_prompts()])
        assert torch.equal(moved == 0, scores == 0)
        untouched.append(scores == 0)
    # No state points along a vector and along its opposite.
    assert (untouched[0] ^ untouched[1]).all()


def test_the_rule_in_closed_form() -> None:
    defense, states = astra(), read_plain()[:, 1]
    away = states - defense.reference_
    a = torch.nn.functional.cosine_similarity(away, defense.vector_[None]).clamp(0, 1)[:, None]
    expected = states - 2.0 * a * states.norm(dim=-1, keepdim=True) * defense.vector_ / defense.vector_.norm()
    torch.testing.assert_close(changed(defense, states), expected, atol=1e-4, rtol=1e-4)


def test_the_default_layer_is_the_last_of_the_first_half() -> None:
    assert astra().layers_.tolist() == [1] and astra(layer=-1).layers_.tolist() == [3]


def test_every_generated_token_is_steered_with_and_without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = media_prompts()
    defense = astra(alpha=3.0, inputs="all")
    # Seen from far off, against the vector, every state points along it, so that every token is steered.
    defense.reference_ = defense.reference_ - 1e4 * defense.vector_
    cached = [r.text for r in defense.wrap(tiny.model()).generate(prompts, tiny.SHORT)]
    monkeypatch.setattr(tiny.model(), "_use_cache", False)
    assert [r.text for r in defense.wrap(tiny.model()).generate(prompts, tiny.SHORT)] == cached
    first_alone = first_token_steered(defense, prompts)
    assert first_alone != cached


def first_token_steered(defense: ASTRA, prompts: list[Prompt]) -> list[str | None]:
    from harness.residual import edit

    with edit(tiny.model(), [1], defense.change, positions="last", phase="prefill", strength=3.0):
        return [r.text for r in tiny.model().generate(prompts, tiny.SHORT)]


def test_the_score_is_the_alignment_at_the_last_prompt_token() -> None:
    defense = astra()
    expected = defense.alignment(read_plain()[:, 1]).tolist()
    answers = defense.wrap(tiny.model()).generate(media_prompts(), tiny.SHORT)
    assert [r.trace.score for r in answers] == pytest.approx(expected, abs=1e-4)
    assert [r.trace.signals["astra_alignment"] for r in answers] == pytest.approx(expected, abs=1e-4)
    assert all(r.cost.extra_forward_passes == 0 and r.cost.target_calls == 1 for r in answers)


def test_text_is_left_alone() -> None:
    text = [p for p in tiny.prompts() if not p.media]
    answers = astra(alpha=50.0).wrap(tiny.model()).generate(text, tiny.SHORT)
    assert [r.text for r in answers] == [r.text for r in tiny.model().generate(text, tiny.SHORT)]
    assert all(r.trace.score is None for r in answers)


def test_the_vector_is_what_the_masked_patches_add() -> None:
    defense = astra()
    attack, opening = defense._attacks(tiny.model(), tiny.calibration().train.media("harmful"))[0]
    masked = defense._masked(tiny.model(), attack, opening)
    assert masked is not None and masked.images[0].size == attack.images[0].size and masked.id != attack.id
    one = astra(attacks=1)
    shown = [Prompt.user("", p.images[0]) for p in (attack, masked)]
    states = read(tiny.model(), shown, layers=[1])[:, 0]
    torch.testing.assert_close(one.vector_, states[0] - states[1], atol=1e-5, rtol=1e-5)


def test_the_target_and_the_text_of_the_vector_are_parameters() -> None:
    found = [astra(**p).vector_ for p in ({}, {"target": "Sure,"}, {"vector_text": None}, {"fill": "grey"})]
    assert len({tuple(v.tolist()) for v in found}) == 4


def test_the_reference_does_not_depend_on_the_batch() -> None:
    """Padding after the end of a short answer is no part of it."""
    alone = HFModel(tiny.model().path, batch_size=1)
    benign = tiny.calibration().train.media("benign")
    together, apart = (astra()._reference(m, benign) for m in (tiny.model(), alone))
    torch.testing.assert_close(together, apart, atol=1e-4, rtol=1e-4)


def test_it_works_on_pictures_alone_and_says_so() -> None:
    text_alone = CalibrationSplit(tuple(s for s in tiny.calibration().train.samples if not s.prompt.media))
    with pytest.raises(PluginError, match="pictures alone and needs harmful"):
        ASTRA(**QUICK).fit(tiny.model(), Calibration(text_alone, text_alone))
    with pytest.raises(PluginError, match="takes none"):
        ASTRA(**QUICK).fit(loaded("llama_text"), tiny.calibration())
    with pytest.raises(PluginError, match="no patch"):
        astra(penalty=1e6)
    with pytest.raises(PluginError, match="between 0 and 1"):
        ASTRA(keep=1.0)
    with pytest.raises(PluginError, match="mean, grey"):
        ASTRA(fill="sideways")  # type: ignore[arg-type]
