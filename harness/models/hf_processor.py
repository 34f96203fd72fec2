"""The processor of a checkpoint, also where torchvision is absent and the checkpoint's video processor needs it."""

from __future__ import annotations

import json
from typing import Any

from harness.contracts import PluginError
from harness.models.hf_load import guarded, location


class NoVideo(dict[str, Any]):
    """Stands where a video processor would; holds its settings, which some image code reads, and processes nothing.

    A dict, because transformers writes a processor's parts out as JSON.
    """

    model_input_names: tuple[str, ...] = ()

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        vars(self).update(settings)


def load_processor(path: str, config: Any, *, revision: str | None, trust: bool) -> Any:
    """The checkpoint's processor, or its tokenizer where it is a text-only model. Raises `PluginError`."""
    from transformers import AutoProcessor

    known = {"revision": revision, "trust_remote_code": trust}
    where = location(path)

    def load() -> Any:
        try:
            return AutoProcessor.from_pretrained(where, **known)
        except ImportError as error:
            if "torchvision" not in str(error).lower():
                raise
            return _without_video(where, config, known)

    processor = guarded(path, "processor", load)
    tokenizer = tokenizer_of(processor)
    if not hasattr(tokenizer, "convert_tokens_to_ids"):
        raise PluginError(f"{path} has no tokenizer: name a folder or repository of a chat model.")
    if not (getattr(processor, "chat_template", None) or getattr(tokenizer, "chat_template", None)):
        raise PluginError(f"{path} has no chat template: name the chat (instruct) version of the model.")
    return processor


def tokenizer_of(processor: Any) -> Any:
    return getattr(processor, "tokenizer", processor)


def modalities_of(processor: Any) -> frozenset[str]:
    """What a processor takes: text, and image, video, audio where it has a part for them that works here."""
    video = getattr(processor, "video_processor", None)
    found = {
        "image": getattr(processor, "image_processor", None) is not None,
        "video": video is not None and not isinstance(video, NoVideo),
        "audio": any(getattr(processor, n, None) is not None for n in ("feature_extractor", "audio_processor")),
    }
    return frozenset({"text", *(name for name, there in found.items() if there)})


def _without_video(where: str, config: Any, known: dict[str, Any]) -> Any:
    """Puts the processor together from its parts: all video processors of transformers 5 need torchvision."""
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    name = PROCESSOR_MAPPING_NAMES.get(config.model_type)
    if name is None:
        raise PluginError(f"The processor of {where} needs torchvision: install it to use this model.")
    base = getattr(transformers, name)

    def check(self: Any, argument: str, value: Any) -> Any:
        return None if isinstance(value, NoVideo) else base.check_argument_for_proper_class(self, argument, value)

    # Same class name, so that whatever looks the processor up by name still finds it.
    image_only: Any = type(name, (base,), {"check_argument_for_proper_class": check, "__init__": base.__init__})
    settings, rest = base.get_processor_dict(where, **known)
    loaders: dict[str, Any] = {
        "tokenizer": transformers.AutoTokenizer,
        "image_processor": transformers.AutoImageProcessor,
        "feature_extractor": transformers.AutoFeatureExtractor,
    }
    parts = [
        NoVideo(_video_settings(where, known))
        if part == "video_processor"
        else loaders[part].from_pretrained(where, **known)
        for part in base.get_attributes()
    ]
    return image_only.from_args_and_dict(parts, settings, **{k: v for k, v in rest.items() if k not in known})


def _video_settings(where: str, known: dict[str, Any]) -> dict[str, Any]:
    from transformers.utils import cached_file

    found = cached_file(
        where,
        "video_preprocessor_config.json",
        revision=known["revision"],
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if found is None:
        return {}
    with open(found, encoding="utf-8") as file:
        return dict(json.load(file))
