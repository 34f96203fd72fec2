"""The embedded default model, loaded as any other transformers checkpoint."""

from __future__ import annotations

from harness.models.hf import HFModel


class Organism(HFModel):
    """The embedded tiny model that really has the multimodal safety gap; no download, no GPU, no key."""

    plugin_name = "organism"
    calibration = ("microworld",)
    # Train combinations are known to the language model by heart: thresholds set on them would not hold elsewhere.
    validation = ("microworld(splits=['dev'])",)

    def __init__(self, batch_size: int = 32, device: str = "cpu") -> None:
        from harness import organism

        super().__init__(str(organism.path()), device=device, batch_size=batch_size)

    @property
    def name(self) -> str:  # type: ignore[override]
        return "organism"
