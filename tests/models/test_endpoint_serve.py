"""The endpoint adapter against `transformers serve`, with an untrained organism behind it."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import PIL.Image
import pytest

from harness.models.endpoint import EndpointModel
from harness.types import GenerationConfig, Image, Prompt

missing = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(missing), reason=f"`transformers serve` needs {' and '.join(missing)}: pip install transformers[serving]"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    from harness.organism.model import build_model
    from harness.organism.tokenizer import build_processor

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("serve") / "tiny"
    build_model().save_pretrained(path)
    build_processor().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "transformers.cli.transformers",
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    log = folder.parent / "serve.log"
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environment) as child:
        try:
            for _ in range(600):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert child.poll() is None, log.read_text()
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            child.kill()


def test_images_and_text_are_answered(url: str, folder: Path) -> None:
    model = EndpointModel(str(folder), url, concurrency=2, max_retries=0)
    picture = Image.from_pil(PIL.Image.new("RGB", (80, 80), "red"))
    prompts = [Prompt.user("what is shown?", picture), Prompt.user("what is shown?", system="be brief")]
    with_picture, plain = model.generate(prompts, GenerationConfig(max_new_tokens=5))
    model.close()
    assert (with_picture.error, plain.error) == (None, None)
    assert with_picture.cost.prompt_tokens >= plain.cost.prompt_tokens + 20, "the picture's tokens are counted"
    assert 0 < plain.cost.generated_tokens <= 5


def test_an_unknown_model_fails_its_rows_alone(url: str, folder: Path) -> None:
    model = EndpointModel(str(folder / "nothing"), url, max_retries=0)
    (answer,) = model.generate([Prompt.user("hello")], GenerationConfig(max_new_tokens=5))
    model.close()
    assert answer.finish == "error" and "\n" not in str(answer.error)
