"""Finding the layers of the language decoder by the structure of the module tree, whatever its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.contracts import PluginError

if TYPE_CHECKING:
    import torch

    from harness.models.hf import HFModel


def n_layers(model: HFModel) -> int:
    """Number of decoder layers, from the config, without loading weights."""
    return int(model.config.get_text_config().num_hidden_layers)


def hidden_size(model: HFModel) -> int:
    """Width d of the residual stream, from the config, without loading weights."""
    return int(model.config.get_text_config().hidden_size)


def layers(model: HFModel) -> list[torch.nn.Module]:
    """The decoder layers, first to last. Raises `PluginError` when they cannot be told."""
    return find_layers(model.module, n_layers(model), model.name)


def find_layers(module: Any, count: int, name: str = "this model") -> list[torch.nn.Module]:
    """The `ModuleList` of `count` layers nearest to the text embeddings.

    The owner of the input embeddings is where the language decoder lives; from there the search goes outwards, and in
    each subtree the shallowest list wins, so that neither a vision tower nor lists inside layers (experts) are taken.
    """
    for owner in _ancestors_of_embeddings(module):
        found = _shallowest_lists(module.get_submodule(owner), count)
        if len(found) == 1:
            return list(found[0])
        if found:
            break
    raise PluginError(
        f"The decoder layers of {name} ({type(module).__name__}) cannot be found: no single list of {count} layers "
        "lies next to its text embeddings, so activation-level methods cannot run on it."
    )


def output_of(output: Any) -> torch.Tensor:
    """The hidden states [rows, columns, d] in what a layer returned: a tensor, or a tuple that begins with it."""
    return output[0] if isinstance(output, tuple) else output


def with_output(output: Any, states: torch.Tensor) -> Any:
    """What a layer returned, with other hidden states."""
    return (states, *output[1:]) if isinstance(output, tuple) else states


def _ancestors_of_embeddings(module: Any) -> list[str]:
    embeddings = module.get_input_embeddings()
    path = next((name for name, m in module.named_modules() if m is embeddings), "")
    parts = path.split(".")[:-1]
    return [".".join(parts[:n]) for n in range(len(parts), -1, -1)]


def _shallowest_lists(module: Any, count: int) -> list[Any]:
    import torch

    named = ((n, m) for n, m in module.named_modules() if isinstance(m, torch.nn.ModuleList) and len(m) == count)
    lists = [(name.count("."), m) for name, m in named]
    depth = min((d for d, _ in lists), default=0)
    return [m for d, m in lists if d == depth]
