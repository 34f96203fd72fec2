"""One edit of the residual stream: which states of a forward pass it takes, and what it does with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.contracts import PluginError
from harness.residual_layers import output_of, with_output

if TYPE_CHECKING:
    import torch

    from harness.models.hf import HFModel
    from harness.models.hf_batch import Batch

Positions = Literal["last", "prompt", "media", "generated", "all"]
Phase = Literal["prefill", "decode", "both"]
POSITIONS = ("last", "prompt", "media", "generated", "all")
PHASES = ("prefill", "decode", "both")


@dataclass(frozen=True)
class Site:
    """Where the states given to an edit come from.

    `rows` [k] long: row of each state in the batch; `prompt_ids`: of all rows of the batch; `strength` [k, 1] in the
    dtype of the states; `phase`: "prefill" where the forward pass lies inside the prompts, "decode" where it lies after
    them, else "both" (generation without a KV cache).
    """

    layer: int
    rows: torch.Tensor
    prompt_ids: list[str]
    strength: torch.Tensor
    phase: Phase


Fn = Callable[["torch.Tensor", Site], "torch.Tensor"]


class Edit:
    """An active edit. `note_position` hooks the whole model, `hook(l)` decoder layer l."""

    def __init__(
        self, model: HFModel, fn: Fn, positions: Positions, phase: Phase, strength: float | Mapping[str, float]
    ) -> None:
        if positions not in POSITIONS:
            raise PluginError(f"There are no positions {positions!r} to edit: use {', '.join(POSITIONS)}.")
        if phase not in PHASES:
            raise PluginError(f"There is no phase {phase!r}: use {', '.join(PHASES)}.")
        self.model, self.fn = model, fn
        self.positions, self.phase, self.strength = positions, phase, strength
        self.end = 0

    def note_position(self, module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """The absolute column after the last of a forward pass: those in the cache, and those that it is given."""
        past = kwargs.get("past_key_values")
        self.end = (int(past.get_seq_length()) if past is not None else 0) + kwargs["input_ids"].shape[1]

    def hook(self, layer: int) -> Callable[[Any, Any, Any], Any]:
        def act(module: Any, args: Any, output: Any) -> Any:
            states = output_of(output)
            changed = self.apply(layer, states)
            return output if changed is None else with_output(output, changed)

        return act

    def apply(self, layer: int, states: torch.Tensor) -> torch.Tensor | None:
        """`states` [rows, columns, d] with the chosen ones replaced, or None where there is nothing to do."""
        import torch

        batch = self.model.current
        if batch is None:
            calls = "generate, logits, forward, read"
            raise PluginError(f"An edit acts on calls made through the model ({calls}), not on its bare module.")
        strengths = torch.tensor(self._strengths(batch))
        # Counted from the end: upper layers may be given the last column alone, where nothing depends on the others.
        past = self.end - states.shape[1]
        chosen = self._chosen(batch, past, states.shape[1]) & (strengths != 0)[:, None]
        if not chosen.any():
            return None
        rows, columns = (index.to(states.device) for index in chosen.nonzero(as_tuple=True))
        site = Site(
            layer,
            rows,
            batch.prompt_ids,
            strengths.to(states)[rows][:, None],
            _phase(past, states.shape[1], batch.width),
        )
        new = self._called(states[rows, columns], site)
        return states.index_put((rows, columns), new.to(states))

    def _called(self, taken: torch.Tensor, site: Site) -> torch.Tensor:
        from harness.models.hf_memory import out_of_memory

        try:
            new = self.fn(taken, site)
        except PluginError:
            raise
        except Exception as error:
            if out_of_memory(error):
                raise
            # As a PluginError it ends the call; else a broken defense would look like prompts that the model fails on.
            raise PluginError(f"The edit of layer {site.layer} failed: {type(error).__name__}: {error}.") from error
        if new.shape != taken.shape:
            shapes = f"shape {tuple(new.shape)} for states of shape {tuple(taken.shape)}"
            raise PluginError(f"The edit of layer {site.layer} returned {shapes}.")
        return new

    def _strengths(self, batch: Batch) -> list[float]:
        if not isinstance(self.strength, Mapping):
            return [float(self.strength)] * len(batch.rows)
        if missing := [i for i in batch.prompt_ids if i not in self.strength]:
            raise PluginError(
                f"The edit has no strength for prompt {missing[0]}: give one for every prompt, by Prompt.id."
            )
        strengths = [float(self.strength[i]) for i in batch.prompt_ids]
        if bad := [i for i, s in zip(batch.prompt_ids, strengths, strict=True) if not math.isfinite(s)]:
            raise PluginError(
                f"The strength of prompt {bad[0]} is no finite number: the score it comes from is broken."
            )
        return strengths

    def _chosen(self, batch: Batch, past: int, count: int) -> torch.Tensor:
        """[rows, columns] bool for the absolute columns past .. past + count."""
        import torch

        column = torch.arange(past, past + count)[None]
        starts = batch.width - torch.tensor(batch.lengths)[:, None]
        inside, after = (column >= starts) & (column < batch.width), column >= batch.width
        media = torch.nn.functional.pad(batch.media, (0, max(0, past + count - batch.width)))[:, past : past + count]
        chosen = {
            "last": inside & (column == batch.width - 1),
            "prompt": inside,
            "media": media,
            "generated": after.expand_as(inside),
            "all": inside | after,
        }[self.positions]
        return chosen & {"prefill": inside, "decode": after, "both": inside | after}[self.phase]


def _phase(past: int, count: int, width: int) -> Phase:
    if past >= width:
        return "decode"
    return "prefill" if past + count <= width else "both"
