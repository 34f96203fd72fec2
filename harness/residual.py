"""Reading and editing the residual stream of any transformers decoder: the two verbs of all activation-level methods.

The state of layer l is the OUTPUT of decoder layer l (0-based): what layer l + 1, or the final norm, takes in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.contracts import Model, PluginError
from harness.residual_edit import Edit, Fn, Phase, Positions, Site
from harness.residual_layers import find_layers, hidden_size, layers, n_layers, output_of
from harness.residual_read import Where, cached_states, states_of

if TYPE_CHECKING:
    import torch

    from harness.models.hf import HFModel

__all__ = ["Site", "edit", "hidden_size", "layers", "n_layers", "output_of", "read"]


def read(
    model: Model,
    prompts: Sequence[Any],
    layers: Sequence[int] | None = None,
    positions: Where = "last",
    cache: Path | None = None,
    on_error: Literal["raise", "nan"] = "raise",
) -> torch.Tensor:
    """States of the prompts, from one forward pass a batch: [n, len(layers), d] float32 on the CPU.

    `layers` None is all of them; negative numbers count from the end. `positions`: "last" the last prompt token,
    "last-<k>" the k-th token before it, "mean_prompt" the mean over all prompt tokens, "mean_media" over the
    placeholder tokens of images, video and sound, "mean_text" over the others, "mean_last-<k>" over the last k.
    Inside `edit` the edited states are seen. With `cache`, a folder, states of all layers are kept by model
    fingerprint, prompt and positions (never under an edit).

    A prompt that cannot be used (a broken image, "mean_media" without media) raises `PluginError`, or with
    `on_error="nan"` is a row of NaN, for defenses in `respond`, where one row must not end the others.
    """
    target = root(model)
    wanted = _layer_numbers(target, layers)
    if cache is not None and not target.edits:
        states = cached_states(target, prompts, positions, cache)
    else:
        states = states_of(target, prompts, positions)
    if on_error == "raise" and (bad := next((s for s in states if isinstance(s, str)), None)):
        raise PluginError(f"{sum(isinstance(s, str) for s in states)} of {len(states)} prompts cannot be read: {bad}.")
    return _stacked(states, wanted, hidden_size(target))


@contextmanager
def edit(
    model: Model,
    layers: Sequence[int],
    fn: Fn,
    *,
    positions: Positions = "prompt",
    phase: Phase = "both",
    strength: float | Mapping[str, float] = 1.0,
) -> Iterator[None]:
    """Inside, `fn(states [k, d], site) -> [k, d]` replaces the outputs of `layers` at the chosen positions.

    `positions`: "last" the last prompt token, "prompt" all prompt tokens, "media" placeholder tokens of images, video
    and sound, "generated" tokens after the prompt, "all". They are absolute, so that generation with and without a KV
    cache agree; padding is never edited. `phase`: "prefill" is positions inside the prompt, "decode" those after it.

    `strength` is given to `fn` as `site.strength`; by `Prompt.id` where it is a mapping (a missing id raises
    `PluginError`). Rows of strength 0 are not touched. A layer that the model itself skips for a batch (cross-attention
    without a picture) is not edited. Nested edits act in the order in which they were entered. Hooks are removed
    whatever happens.

    An exception in `fn` ends the call as a `PluginError`; running out of memory in it halves the batch.
    """
    target = root(model)
    one = Edit(target, fn, positions, phase, strength)
    modules = find_layers(target.module, n_layers(target), target.name)
    with ExitStack() as stack:
        target.edits.append(one)
        stack.callback(target.edits.remove, one)
        stack.callback(
            target.module.register_forward_pre_hook(one.note_position, with_kwargs=True, prepend=True).remove
        )
        for number in _layer_numbers(target, layers):
            stack.callback(modules[number].register_forward_hook(one.hook(number)).remove)
        yield


def root(model: Model) -> HFModel:
    """The transformers model under any wrappers. Raises `PluginError` when there is none."""
    from harness.models.hf import HFModel

    if not isinstance(model.root, HFModel):
        who = model.root.name or "This model"
        raise PluginError(f"{who} has no activations to read or edit: use a model of kind hf: or organism.")
    return model.root


def _layer_numbers(model: HFModel, chosen: Sequence[int] | None) -> list[int]:
    n = n_layers(model)
    if chosen is None:
        return list(range(n))
    if bad := [i for i in chosen if not -n <= i < n]:
        raise PluginError(f"{model.name} has no layer {bad[0]}: its layers are 0 to {n - 1}.")
    return [i % n for i in chosen]


def _stacked(states: Sequence[torch.Tensor | str], wanted: list[int], width: int) -> torch.Tensor:
    import torch

    empty = torch.full((len(wanted), width), torch.nan)
    rows = [empty if isinstance(s, str) else s[wanted] for s in states]
    return torch.stack(rows) if rows else torch.empty(0, len(wanted), width)
