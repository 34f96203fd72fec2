"""Controls of steering: the turned sign, and a direction between benign prompts."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from defenses.benign_direction import BenignDirection, halved
from defenses.drift_correction import DriftCorrection
from defenses.sign_flipped import SignFlipped
from harness import plugins, residual
from harness.calibration import Calibration, CalibrationSplit
from harness.composition import create_defense
from harness.contracts import Defense, PluginError
from harness.states import last_token_states
from harness.types import Prompt
from tests import tiny_world as tiny


def fitted(defense: Any) -> Any:
    return defense.fit(tiny.model(), tiny.calibration())


def texts(defense: Any) -> list[str | None]:
    return [r.text for r in defense.wrap(tiny.model()).generate(list(tiny.prompts()), tiny.SHORT)]


def media() -> list[Prompt]:
    return [p for p in dict.fromkeys(tiny.prompts()) if p.media]


def test_the_flipped_method_is_the_method_with_its_sign_turned() -> None:
    flipped = fitted(SignFlipped("drift_correction(alpha=20.0, layers=[1])"))
    by_hand = fitted(DriftCorrection(alpha=20.0, layers=[1], sign=-1))
    straight = fitted(DriftCorrection(alpha=20.0, layers=[1]))
    assert texts(flipped) == texts(by_hand) != texts(straight)


def test_it_moves_states_the_other_way_by_as_much() -> None:
    plain = residual.read(tiny.model(), media())
    flipped = fitted(SignFlipped("drift_correction(alpha=1.5, layers=[1])"))._method
    straight = fitted(DriftCorrection(alpha=1.5, layers=[1]))
    moves = []
    for method in (straight, flipped):
        with method.steer(tiny.model(), method.doses(tiny.model(), media())):
            moves.append((residual.read(tiny.model(), media()) - plain)[:, 1])
    torch.testing.assert_close(moves[0], -moves[1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("of", ["drift_correction", "actadd", "sarsteer"])
def test_auto_strengths_are_those_of_the_method(of: str) -> None:
    method, flipped = create_defense(of)[1], SignFlipped(of)
    assert fitted(flipped).state().keys() == fitted(method).state().keys()
    assert flipped.state()["strength_"] == method.state()["strength_"]


def test_every_steering_method_that_has_a_sign_can_be_flipped() -> None:
    known = [name for name in plugins.entries("defenses") if "sign" in _params(name)]
    assert {"actadd", "cast", "drift_correction", "regap", "sarsteer"} <= set(known)
    for name in known:
        assert SignFlipped(name)._method.params()["sign"] == -1


def _params(name: str) -> dict[str, Any]:
    try:
        made: Defense = plugins.create("defenses", name)
    except PluginError:
        return {}
    return made.params()


def test_a_sign_that_is_turned_already_is_turned_back() -> None:
    assert texts(fitted(SignFlipped("drift_correction(alpha=20.0,sign=-1)"))) == texts(fitted(DriftCorrection(20.0)))


@pytest.mark.parametrize("of", ["none", "adashield", "random_direction", "drift_correction+actadd", "sign_flipped"])
def test_what_has_no_sign_is_refused(of: str) -> None:
    with pytest.raises(PluginError, match="parameter `sign`"):
        SignFlipped(of)


def test_on_the_command_line_and_in_compositions() -> None:
    label, made = create_defense('sign_flipped(of="actadd(scale=0.3)")')
    assert isinstance(made, SignFlipped) and made._method.params()["scale"] == 0.3 and "actadd" in label
    outer, inner = (fitted(create_defense(s)[1]) for s in ("adashield+sign_flipped", "sign_flipped+adashield"))
    assert texts(outer) == texts(inner), "like all steering it acts at the bottom"
    with pytest.raises(PluginError, match="no defense 'nothing'"):
        SignFlipped("nothing")


@pytest.mark.parametrize("match", ["drift", "refusal"])
def test_the_benign_direction_has_the_norm_of_what_it_replaces(match: Any) -> None:
    straight = fitted(DriftCorrection(alpha=1.5))
    control = fitted(BenignDirection(alpha=1.5, match=match))
    wanted = straight.drift_ if match == "drift" else straight.refusal_
    torch.testing.assert_close(control.drift_.norm(dim=-1), wanted.norm(dim=-1), atol=1e-4, rtol=1e-4)
    assert control.layers_.equal(straight.layers_) and control.strength_ == straight.strength_
    assert not torch.allclose(control.drift_, straight.drift_)


def test_it_points_from_one_half_of_the_benign_prompts_to_the_other() -> None:
    control = fitted(BenignDirection(alpha=1.0, seed=4))
    samples = [s for s in tiny.calibration().train.samples if s.kind == "benign" and s.prompt.media]
    first, second = (last_token_states(tiny.model(), half).mean(0) for half in halved(samples, 4))
    cosines = torch.nn.functional.cosine_similarity(control.drift_, first - second, dim=-1)
    torch.testing.assert_close(cosines, torch.ones(4), atol=1e-4, rtol=0)
    assert not torch.allclose(fitted(BenignDirection(alpha=1.0, seed=5)).drift_, control.drift_)


def test_no_base_question_is_on_both_sides() -> None:
    samples = [s for s in tiny.calibration().train.samples if s.prompt.media]
    first, second = halved(samples, 0)
    clusters = {s.prompt.id: s.cluster for s in samples}
    assert len(first) + len(second) == len(samples)
    assert not {clusters[p.id] for p in first} & {clusters[p.id] for p in second}
    assert abs(len({clusters[p.id] for p in first}) - len({clusters[p.id] for p in second})) <= 1


def test_one_benign_request_has_no_halves() -> None:
    benign = [s.cluster for s in tiny.calibration().train.samples if s.kind == "benign"][0]
    kept = tuple(s for s in tiny.calibration().train.samples if s.kind == "harmful" or s.cluster == benign)
    calibration = Calibration(CalibrationSplit(kept), tiny.calibration().validation)
    with pytest.raises(PluginError, match="at least two benign requests"):
        BenignDirection(alpha=1.0).fit(tiny.model(), calibration)


def test_no_strength_is_the_undefended_model_bit_for_bit() -> None:
    control, prompts = fitted(BenignDirection(alpha=0.0)), list(tiny.prompts())
    with control.steer(tiny.model(), control.doses(tiny.model(), prompts)):
        steered = tiny.model().logits(prompts)
    assert torch.equal(steered, tiny.model().logits(prompts))
