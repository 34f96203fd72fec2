"""The golden refusal vector: what modalities share, with the right sign and length."""

from __future__ import annotations

import pytest
import torch

from harness.calibration import CalibrationSplit
from harness.contracts import PluginError
from harness.directions import cosine, refusal_direction, unit
from harness.golden import golden_vector, refusal_vectors, spaced
from harness.states import last_token_states
from tests import tiny_world as tiny

LAYERS, WIDTH = 3, 32


def planted(noise: float, sign: float = 1.0, seed: int = 0) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Vectors of four modalities along one direction [layers, d], of lengths 1 to 4."""
    generator = torch.Generator().manual_seed(seed)
    shared = unit(torch.randn(LAYERS, WIDTH, generator=generator)) * sign
    names = ("text", "image", "audio", "video")
    rows = {m: (i + 1) * (shared + noise * torch.randn(LAYERS, WIDTH, generator=generator) / WIDTH**0.5)
            for i, m in enumerate(names)}  # fmt: skip
    return rows, shared


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_planted_direction_is_found_with_its_sign(sign: float, seed: int) -> None:
    rows, shared = planted(0.0, sign, seed)
    golden = golden_vector(rows)
    torch.testing.assert_close(golden, 2.5 * shared, atol=1e-5, rtol=0)


def test_the_sign_follows_the_mean_and_the_length_is_the_mean_length() -> None:
    rows, _ = planted(1.0)
    golden, mean = golden_vector(rows), torch.stack(list(rows.values())).mean(0)
    assert ((golden * mean).sum(-1) > 0).all()
    lengths = torch.stack([v.norm(dim=-1) for v in rows.values()]).mean(0)
    torch.testing.assert_close(golden.norm(dim=-1), lengths)
    torch.testing.assert_close(golden_vector(rows, norm="unit"), unit(golden))


def test_svd_and_mean_agree_where_modalities_do() -> None:
    rows, _ = planted(0.05)
    assert cosine(golden_vector(rows), golden_vector(rows, "mean")).min() > 0.999


def test_it_holds_more_energy_than_any_other_direction() -> None:
    rows, _ = planted(1.5)
    stacked = torch.stack(list(rows.values()), 1)
    axis = unit(golden_vector(rows))
    energy = (stacked * axis[:, None]).sum(-1).square().sum(-1)
    others = unit(torch.randn(500, LAYERS, WIDTH, generator=torch.Generator().manual_seed(1)))
    assert (energy > (stacked * others[:, :, None]).sum(-1).square().sum(-1)).all()


def test_centred_it_would_be_another_direction() -> None:
    rows, shared = planted(0.3)
    # Made equally long first: lengths that differ would show the centred one some of the shared direction.
    equal = unit(torch.stack(list(rows.values()), 1))
    centred = torch.linalg.svd(equal - equal.mean(1, keepdim=True), full_matrices=False).Vh[:, 0]
    assert cosine(centred, shared).abs().max() < 0.5 < 0.95 < cosine(golden_vector(rows), shared).min()


def test_text_alone() -> None:
    rows, _ = planted(0.5)
    torch.testing.assert_close(golden_vector(rows, "text"), rows["text"])
    with pytest.raises(PluginError, match="text"):
        golden_vector({"image": rows["image"]}, "text")


def test_vectors_are_differences_of_means_by_modality() -> None:
    split = tiny.calibration().train
    vectors = refusal_vectors(tiny.model(), split)
    assert list(vectors) == ["text", "image"]
    for name, prompts in (("text", split.text), ("image", split.media)):
        states = [last_token_states(tiny.model(), prompts(k)) for k in ("harmful", "benign")]  # type: ignore[arg-type]
        torch.testing.assert_close(vectors[name], refusal_direction(*states))
    few = refusal_vectors(tiny.model(), split, modalities=["image"], max_media=2)
    states = [last_token_states(tiny.model(), spaced(split.media(k), 2)) for k in ("harmful", "benign")]  # type: ignore[arg-type]
    torch.testing.assert_close(few["image"], refusal_direction(*states))


def test_a_system_turn_changes_what_is_read() -> None:
    split = tiny.calibration().train
    plain, told = (refusal_vectors(tiny.model(), split, system=system)["text"] for system in (None, "be brief"))
    assert not torch.allclose(plain, told)


def test_a_missing_modality_is_said() -> None:
    split = tiny.calibration().train
    with pytest.raises(PluginError, match="audio"):
        refusal_vectors(tiny.model(), split, modalities=["text", "audio"])
    harmful = CalibrationSplit(tuple(s for s in split.samples if s.kind == "harmful"))
    with pytest.raises(PluginError, match="no modality"):
        refusal_vectors(tiny.model(), harmful)


@pytest.mark.parametrize(("n", "most", "kept"), [(5, None, 5), (5, 9, 5), (6, 3, 3), (7, 1, 1)])
def test_spaced_keeps_every_share(n: int, most: int | None, kept: int) -> None:
    prompts = [tiny.prompts()[0]] * n
    assert len(spaced(prompts, most)) == kept
