"""All but the last column of a batch's prompts, computed once for several calls on the same batch.

A method that reads a prompt twice and then answers it, editing nothing but the last prompt token, meets the same keys
and values in every other column. Whether a model goes on from kept keys and values as if it had computed them anew is
not assumed: the first batch of a kind is computed both ways, and a kind that differs is never shared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.models.hf_batch import Batch, signature
from harness.models.hf_memory import out_of_memory

if TYPE_CHECKING:
    import torch

    from harness.models.hf import HFModel

UNTOUCHED = ("last", "generated")
"""Positions of edits that leave every prompt column but the last as it is."""
SINGLE, HALF = 1e-3, 3e-2
"""Largest difference of two logits that counts as rounding, relative to the largest logit, by precision."""


class Prefix(NamedTuple):
    """Keys and values of all columns but the last, and the tensors that modules keep besides their weights."""

    past: Any
    notes: list[tuple[torch.nn.Module, str, torch.Tensor]]


class PrefixCache:
    """Inside `sharing`, `inputs_for` gives the inputs that go on from what an earlier call on the batch computed."""

    def __init__(self, model: HFModel) -> None:
        self.model = model
        self._sound: dict[object, bool] = {}
        self._kept: dict[tuple[str, ...], Prefix] | None = None

    @contextmanager
    def sharing(self) -> Iterator[None]:
        """Inside, keys and values are kept; they are freed at the end."""
        before, self._kept = self._kept, {}
        try:
            yield
        finally:
            self._kept = before

    def inputs_for(self, batch: Batch) -> dict[str, Any]:
        """The batch's inputs, or those for its last column with the keys and values of the others."""
        if self._kept is None or not self._possible(batch):
            return batch.inputs
        key = tuple(batch.prompt_ids)
        if key not in self._kept:
            kind = (signature(batch.rows[0]), len(set(batch.lengths)) > 1)
            if kind not in self._sound:
                self._sound[kind] = self._checked(batch)
            if not self._sound[kind]:
                return batch.inputs
            self._kept[key] = self._computed(batch)
        return self._continued(batch, self._kept[key])

    def _possible(self, batch: Batch) -> bool:
        whole = min(batch.lengths) > 1 and not bool(batch.media[:, -1].any())
        return whole and self.model._use_cache and all(e.positions in UNTOUCHED for e in self.model.edits)

    def _computed(self, batch: Batch) -> Prefix:
        import torch

        tokens = batch.rows[0].tokens | {"attention_mask"}
        inputs = {name: value[:, :-1] if name in tokens else value for name, value in batch.inputs.items()}
        out = self.model.run(batch, inputs, max_new_tokens=1, return_dict_in_generate=True)
        # A model may note on itself how the positions of this batch go on (the rope_deltas of Qwen-VL).
        notes = [(m, n, v) for m in self.model.module.modules() for n, v in vars(m).items() if torch.is_tensor(v)]
        return Prefix(out.past_key_values, notes)

    def _continued(self, batch: Batch, prefix: Prefix) -> dict[str, Any]:
        for module, name, value in prefix.notes:
            setattr(module, name, value)
        tokens = batch.rows[0].tokens | {"attention_mask"}
        inputs: dict[str, Any] = {n: v for n, v in batch.inputs.items() if n in tokens}
        # A copy: generation writes into it.
        return inputs | {"past_key_values": deepcopy(prefix.past)}

    def _checked(self, batch: Batch) -> bool:
        """Whether both ways give the same logits."""
        import torch

        how: Any = {"max_new_tokens": 1, "output_logits": True, "return_dict_in_generate": True}
        whole = self.model.run(batch, batch.inputs, **how).logits[0].float()
        try:
            parts = self.model.run(batch, self._continued(batch, self._computed(batch)), **how).logits[0].float()
        except Exception as error:
            if out_of_memory(error):
                raise
            return False  # a model that cannot go on from kept keys and values
        finite = torch.isfinite(whole)
        if not torch.equal(finite, torch.isfinite(parts)):
            return False
        half = next(self.model.module.parameters()).dtype in (torch.float16, torch.bfloat16)
        allowed = (HALF if half else SINGLE) * whole[finite].abs().max()
        close = bool((whole - parts)[finite].abs().max() <= allowed)
        return close and bool(torch.equal(whole.argmax(-1), parts.argmax(-1)))
