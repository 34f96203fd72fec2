"""The four training stages, in the order that makes the gap: vision, language, alignment, visual instructions.

The language model learns in text to help and to refuse, and is never touched again. The projector then learns to give
images the embeddings of their text, so that harm in images is recognised; and its last layer is tuned on benign visual
instructions, as vision tuning does in real models, which moves images away from where the text is refused.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.organism import examples
from harness.organism.batches import IDS, IGNORE, collate, vision_batch
from harness.organism.page import BLANK
from harness.organism.tokenizer import IMAGE

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration

Encode = Callable[[str], list[int]]
Report = Callable[[str, int, int, float], None]  # stage, step, steps, loss
# The language stage's batches, in turn: generator and rows.
TURN = (
    (examples.plain_text, 56),
    (examples.layout_text, 40),
    (examples.layout_text, 40),
    (examples.wrapped_text, 16),
)
BLANKS_WEIGHT = 0.1  # most cells are blank and easy
BLANKS_DISTANCE = 0.2
FIRST_WORD = 10.0  # weight of the first word of answers to visual requests; all words together weigh 1


def _schedule(step: int, steps: int, warmup: int = 20) -> float:
    """Linear warm-up, then linear decay to a twentieth."""
    return min(1.0, (step + 1) / warmup) * max(0.05, 1.0 - step / steps)


def _optimise(
    loss_of: Callable[[int], Tensor], optimisers: list[torch.optim.Optimizer], steps: int, stage: str, report: Report
) -> None:
    rates = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
    parameters = [p for o in optimisers for group in o.param_groups for p in group["params"]]
    for step in range(steps):
        for optimiser, base in zip(optimisers, rates, strict=True):
            for group, rate in zip(optimiser.param_groups, base, strict=True):
                group["lr"] = rate * _schedule(step, steps)
        loss = loss_of(step)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        report(stage, step + 1, steps, loss.item())


def _optimisers(parameters: Iterable[nn.Parameter], rate: float) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al., 2024) for the matrices inside, AdamW for everything else."""
    found = [p for p in parameters if p.requires_grad]
    # Convolutions and the vocabulary are no hidden matrices.
    matrices = [p for p in found if p.ndim == 2 and p.shape[0] < len(IDS) and p.shape[0] > 26]
    chosen = {id(p) for p in matrices}
    others = [p for p in found if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=rate, weight_decay=0.01),
    ]


def features_of(model: LlavaForConditionalGeneration, pixels: Tensor) -> Tensor:
    """Vision features of the 25 patches: (rows, 25, hidden), as the projector receives them."""
    tower = model.model.vision_tower
    states: Tensor = tower(pixels, output_hidden_states=True).hidden_states[-1]
    return states[:, 1:]


def _answer_loss(
    model: LlavaForConditionalGeneration, embeds: Tensor, labels: Tensor, smoothing: float = 0.0, first: float = 0.0
) -> Tensor:
    """Next-token loss where there are labels only; the vocabulary head is not applied elsewhere.

    Each row counts the same: a letter or a number would otherwise drown among the many tokens of long answers. `first`
    adds that many times the mean loss of the word that answers to requests begin with.
    """
    states = model.model.language_model(inputs_embeds=embeds).last_hidden_state
    wanted = labels[:, 1:] != IGNORE
    logits = model.lm_head(states[:, :-1][wanted])
    losses = F.cross_entropy(logits, labels[:, 1:][wanted], label_smoothing=smoothing, reduction="none")
    share = wanted / wanted.sum(1, keepdim=True) / len(labels)
    if first:
        begins = labels[:, 1:] == IDS["sure"]
        share = share + first * begins / begins.sum().clamp_min(1)
    return (losses * share[wanted]).sum()


@contextmanager
def _trained(model: LlavaForConditionalGeneration, part: nn.Module) -> Iterator[None]:
    """While open, gradients are made for one part only, which saves a third of the time."""
    model.requires_grad_(False)
    part.requires_grad_(True)
    try:
        yield
    finally:
        model.requires_grad_(True)


def vision(model: LlavaForConditionalGeneration, *, steps: int, seed: int, report: Report, rows: int = 96) -> None:
    """Trains the vision tower to name the token of each cell; the naming head is thrown away."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    tower = model.model.vision_tower
    head = nn.Linear(tower.config.hidden_size, len(IDS))
    weight = torch.ones(len(IDS))
    weight[IDS[BLANK]] = BLANKS_WEIGHT

    def loss_of(_: int) -> Tensor:
        pixels, targets = vision_batch([examples.vision_page(rng) for _ in range(rows)])
        return F.cross_entropy(head(features_of(model, pixels)).flatten(0, 1), targets.flatten(), weight)

    optimiser = torch.optim.AdamW([*tower.parameters(), *head.parameters()], lr=2e-3, weight_decay=0.01)
    _optimise(loss_of, [optimiser], steps, "vision", report)


def language(
    model: LlavaForConditionalGeneration, encode: Encode, *, steps: int, seed: int, report: Report, noise: float = 0.9
) -> None:
    """Trains the language model in text: to help, to refuse, to read layouts and English safety prompts.

    Noise on the prompt's embeddings (its size drawn for each row) keeps decisions from being made by one layer.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    table = model.get_input_embeddings()

    def loss_of(step: int) -> Tensor:
        generate, rows = TURN[step % len(TURN)]
        batch = collate([generate(rng) for _ in range(rows)], encode, rng=rng)
        prompt = (batch.labels == IGNORE).unsqueeze(-1)
        embeds = table(batch.ids)
        size = torch.rand(rows, 1, 1) * noise * embeds.detach().pow(2).mean().sqrt()
        embeds = embeds + torch.randn_like(embeds) * size * prompt
        return _answer_loss(model, embeds, batch.labels, smoothing=0.03)

    parameters = [*model.model.language_model.parameters(), *model.lm_head.parameters()]
    _optimise(loss_of, _optimisers(dict.fromkeys(parameters), 2e-3), steps, "language", report)


def alignment(model: LlavaForConditionalGeneration, *, steps: int, seed: int, report: Report, rows: int = 64) -> None:
    """Trains the projector, and nothing else, to give each cell of benign pages the embedding of its word piece.

    Trained on the language model's answers instead, it learns to be read, but harm in images stays unrecognised.
    """
    rng = random.Random(seed)
    projector: nn.Module = model.model.multi_modal_projector
    embeddings: nn.Module = model.get_input_embeddings()
    table: Tensor = embeddings.get_parameter("weight").detach()
    variance = table.pow(2).mean()

    def loss_of(_: int) -> Tensor:
        pixels, targets = vision_batch([examples.vision_page(rng) for _ in range(rows)])
        with torch.no_grad():
            features = features_of(model, pixels)
        weight = torch.where(targets == IDS[BLANK], BLANKS_DISTANCE, 1.0)
        distance = (projector(features) - table[targets]).pow(2).mean(-1) / variance
        return (distance * weight).sum() / weight.sum()

    with _trained(model, projector):
        optimiser = torch.optim.AdamW(projector.parameters(), lr=2e-3, weight_decay=0.0)
        _optimise(loss_of, [optimiser], steps, "alignment", report)


def instructions(
    model: LlavaForConditionalGeneration, encode: Encode, *, steps: int, seed: int, report: Report, rows: int = 48
) -> None:
    """Trains the projector's last layer on benign requests with images, most of them blurred or noisy.

    Their answers' first word weighs more than all words together, which presses towards compliance as a long tuning
    on answered requests would: aligned so well, the model has little else to learn from them.
    """
    rng = random.Random(seed)

    def loss_of(_: int) -> Tensor:
        batch = collate([examples.instruction(rng) for _ in range(rows)], encode, rng=rng, worsened=0.6)
        assert batch.pixels is not None
        with torch.no_grad():
            embeds = model.get_input_embeddings()(batch.ids)
            features = features_of(model, batch.pixels)
        seen = model.model.multi_modal_projector(features)
        embeds = embeds.masked_scatter((batch.ids == IDS[IMAGE]).unsqueeze(-1), seen)
        return _answer_loss(model, embeds, batch.labels, first=FIRST_WORD)

    last = model.model.multi_modal_projector.linear_2
    with _trained(model, last):
        optimiser = torch.optim.AdamW(last.parameters(), lr=3e-3, weight_decay=0.0)
        _optimise(loss_of, [optimiser], steps, "instructions", report)
