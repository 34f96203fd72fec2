"""Finding and loading a transformers checkpoint: config and weights. Every failure is one `PluginError` sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from harness.contracts import PluginError
from harness.models.hf_quiet import one_sentence, quiet

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
AUTO_CLASSES = ("AutoModelForMultimodalLM", "AutoModelForImageTextToText", "AutoModelForCausalLM")


def split_ref(ref: str) -> tuple[str, str | None]:
    """`hf:<repo or path>[@revision]` as (path, revision); a folder whose name holds an "@" stays whole."""
    body = ref.removeprefix("hf:")
    if not body:
        raise PluginError("The reference 'hf:' names no repository or folder: write hf:owner/name or hf:/a/folder.")
    if "@" in body and not Path(body).expanduser().exists():
        path, _, revision = body.rpartition("@")
        return path, revision or None
    return body, None


def location(path: str) -> str:
    """The path as transformers wants it. Raises `PluginError` where a local folder is meant and is not there."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise PluginError(f"The model folder {path} holds no config.json: name a folder made by save_pretrained.")
        return str(folder)
    if path.startswith((".", "/", "~", "\\")) or path.count("/") > 1 or folder.exists():
        raise PluginError(f"The model folder {path} does not exist: check the path after 'hf:'.")
    return path


def guarded(path: str, what: str, load: Callable[[], T]) -> T:
    """Run `load` quietly; whatever goes wrong becomes one sentence."""
    try:
        with quiet():
            return load()
    except PluginError:
        raise
    except Exception as error:  # transformers, tokenizers and safetensors raise each their own
        raise PluginError(f"The {what} of {path} cannot be loaded: {one_sentence(error)}.") from error


def load_config(path: str, revision: str | None, trust: bool) -> Any:
    """The checkpoint's config. Encoder-decoders are refused: the batching here is for decoder-only models."""
    from transformers import AutoConfig

    where = location(path)
    config = guarded(
        path, "config", lambda: AutoConfig.from_pretrained(where, revision=revision, trust_remote_code=trust)
    )
    if getattr(config, "is_encoder_decoder", False):
        raise PluginError(f"{path} is an encoder-decoder model: name a decoder-only chat model.")
    return config


def pick_device(device: str) -> str:
    """`auto` is the first accelerator that there is (all of several CUDA devices), else the CPU."""
    import torch

    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "auto" if torch.cuda.device_count() > 1 else "cuda:0"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def pick_dtype(dtype: str, device: str, config: Any) -> torch.dtype:
    """`auto` is float32 on the CPU and what the checkpoint says elsewhere."""
    import torch

    if dtype == "auto":
        stored = getattr(config, "dtype", None) or getattr(config.get_text_config(), "dtype", None) or torch.float32
        chosen = torch.float32 if device == "cpu" else stored
    else:
        chosen = getattr(torch, dtype, None)
    if not isinstance(chosen, torch.dtype) or not chosen.is_floating_point:
        raise PluginError(f"There is no floating-point dtype {dtype!r}: use auto, float32, bfloat16 or float16.")
    return chosen


def load_model(
    path: str, config: Any, *, revision: str | None, dtype: torch.dtype, device: str, trust: bool, attn: str | None
) -> Any:
    """The weights in evaluation mode, through the first auto class that knows the config."""
    import transformers

    config = writing_part(config)
    known: dict[str, Any] = {
        "config": config,
        "revision": revision,
        "dtype": dtype,
        "device_map": device,
        "trust_remote_code": trust,
        "output_loading_info": True,
        **({"attn_implementation": attn} if attn else {}),
    }
    where = location(path)

    def load() -> Any:
        for name in AUTO_CLASSES:
            auto = getattr(transformers, name, None)
            if auto is not None and _knows(auto, config, name):
                return auto.from_pretrained(where, **known)
        raise PluginError(f"{path} is of type {config.model_type}, no chat model that transformers can generate with.")

    module, info = guarded(path, "weights", load)
    if missing := sorted(info["missing_keys"]):
        # transformers fills them with random numbers and only warns: the answers would be noise.
        count = f"{len(missing)} tensors are missing, such as {missing[0]}"
        raise PluginError(f"The weights of {path} are incomplete: {count}.")
    return module.eval()


def writing_part(config: Any) -> Any:
    """The config of the part of an omni model that writes, else the config itself.

    A model that also speaks holds a chat model of its own (same text config) beside what speaks, which is not loaded.
    """
    import transformers

    text = config.get_text_config()
    for name in getattr(config, "sub_configs", None) or {}:
        part = getattr(config, name, None)
        same = part is not None and part is not text and part.get_text_config() is text
        if same and _knows(transformers.AutoModelForMultimodalLM, part, ""):
            return part
    return config


def _knows(auto: Any, config: Any, name: str) -> bool:
    return type(config) in auto._model_mapping or name in (getattr(config, "auto_map", None) or {})
