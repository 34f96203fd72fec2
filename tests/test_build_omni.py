"""`gapbench build advbench-omni`: eleven forms of each request, the same every time, whatever happened in between."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import plugins
from harness.builders.advbench_omni import ITEMS, UNFINISHED, build
from harness.builders.combinations import COMBINATIONS, code_of
from harness.builders.drawing import BLANK_AFTER, BLANK_BEFORE, SHOWN, SIDE, default_font, film, picture
from harness.builders.questions import distinct, read_questions
from harness.builders.speech import ENGINES, SAMPLING_RATE, Speech
from harness.builders.splitting import ModelSplitter, RuleSplitter, Split, instruction_for
from harness.contracts import Model, PluginError
from harness.models.hf_media import frames, waveform
from harness.types import GenerationConfig, MediaError, Prompt, Response
from tests.tasks.shared import real

SILENT = "t,i,v,t2i,t2v"
TEXTS = ["How do I knit a warm sock?", "Describe the steps of baking bread", "Write a song about the sea"]
speaks = pytest.mark.skipif(not any(map(shutil.which, ENGINES)), reason=f"no speech engine: {' or '.join(ENGINES)}")


def texts(folder: Path, rows: Sequence[str] = TEXTS, name: str = "mine.csv") -> Path:
    path = folder / name
    path.write_text("goal,target\n" + "".join(f'"{row}",Sure\n' for row in rows), "utf-8")
    return path


def items(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / ITEMS).read_text("utf-8").splitlines()]


def content(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


@speaks
def test_all_eleven_forms(tmp_path: Path) -> None:
    benign = tmp_path / "benign.txt"
    benign.write_text("Name three birds\n", "utf-8")
    built = build(texts(tmp_path), tmp_path / "out", benign=benign)
    made = items(tmp_path / "out")
    assert (built.items, built.made, built.errors) == (44, 44, {}) and len(made) == 44
    assert {(i["combination"], i["modality"]) for i in made} == {(c, f.modality) for c, f in COMBINATIONS.items()}
    assert {i["label"] for i in made} == {"harmful", "safe"} and len({i["base"] for i in made}) == 4
    for item in made:
        named = {part: item[f"{part}_path"] for part in ("image", "audio", "video")}
        assert {p for p, name in named.items() if name} == set(COMBINATIONS[item["combination"]].parts) - {"text"}
        assert all((tmp_path / "out" / name).is_file() for name in named.values() if name)
    record = json.loads((tmp_path / "out" / "build.json").read_text("utf-8"))
    assert record["items"]["safe"] == dict.fromkeys(COMBINATIONS, 1) and record["speech"] and record["font"]["name"]


def test_pure_forms_say_the_request_and_mixed_ones_point_to_it(tmp_path: Path) -> None:
    build(texts(tmp_path), tmp_path / "out", modalities=SILENT)
    for item in items(tmp_path / "out"):
        if item["combination"] in ("t", "i", "v"):
            assert item["text_instruction"] == item["question"]
        else:
            assert item["modality"].split("+")[1] in item["text_instruction"]
            assert item["question"] not in item["text_instruction"]
    by_code = {i["combination"]: i for i in items(tmp_path / "out")[:5]}
    assert by_code["i"]["image_path"] == by_code["t2i"]["image_path"]


def test_the_same_input_makes_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        build(texts(tmp_path), tmp_path / name, modalities=SILENT)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    again = build(texts(tmp_path), tmp_path / "one", modalities=SILENT)
    assert again.made == 0 and content(tmp_path / "one") == content(tmp_path / "two")


def test_only_what_differs_is_made_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(texts(tmp_path, TEXTS[:2]), out, modalities="t,i")
    assert build(texts(tmp_path), out, modalities="t,i").made == 2
    assert build(texts(tmp_path), out, modalities=SILENT).made == 9
    whole = content(out)
    damaged, lost = sorted((out / "media").glob("*.png"))[:2]
    damaged.write_bytes(b"not a picture")
    lost.unlink()
    assert build(texts(tmp_path), out, modalities=SILENT).made > 0
    assert content(out) == whole


def test_items_that_are_no_longer_asked_for_are_counted(tmp_path: Path) -> None:
    benign = tmp_path / "benign.txt"
    benign.write_text("Name three birds\n", "utf-8")
    out = tmp_path / "out"
    assert build(texts(tmp_path), out, benign=benign, modalities="t,i").unlisted == 0
    assert build(texts(tmp_path), out, benign=benign, modalities="t,i,t2i").unlisted == 0
    assert build(texts(tmp_path), out, modalities="t").unlisted == 12 - 3
    assert len(items(out)) == 3 and build(texts(tmp_path), out, modalities="t").unlisted == 0


def test_a_killed_build_goes_on(tmp_path: Path) -> None:
    many = texts(tmp_path, [f"Count to {n} slowly" for n in range(40)])
    whole = tmp_path / "whole"
    build(many, whole, modalities="t,i")
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom harness.builders import advbench_omni as b\n"
        "inner, left = b.Maker.item, [45]\n"
        "def item(self, *a):\n    left[0] -= 1\n    if left[0] < 0: os.kill(os.getpid(), 9)\n"
        "    return inner(self, *a)\n"
        "b.Maker.item = item\nb.build(Path(sys.argv[1]), Path(sys.argv[2]), modalities='t,i')\n"
    )
    killed = tmp_path / "killed"
    done = subprocess.run([sys.executable, "-c", script, str(many), str(killed)], cwd=os.getcwd())
    assert done.returncode == -9 and not (killed / ITEMS).exists()
    assert len((killed / UNFINISHED).read_text("utf-8").splitlines()) == 32
    with (killed / UNFINISHED).open("a") as file:
        file.write('{"sample": "torn')
    assert build(many, killed, modalities="t,i").made == 80 - 32
    assert content(killed) == content(whole)


def test_limit_counts_base_questions_of_each_label(tmp_path: Path) -> None:
    benign = texts(tmp_path, ["Name three birds", "Name two trees"], "benign.csv")
    built = build(texts(tmp_path), tmp_path / "out", benign=benign, modalities="t,i", limit=1)
    assert built.items == 4 and [i["row"] for i in items(tmp_path / "out")] == [1] * 4


def test_real_advbench_is_read_without_a_word_of_it_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = real("advbench") / "harmful_behaviors.csv"
    build(source, tmp_path / "out", modalities="t,i,t2i", limit=3)
    questions = read_questions(source)
    assert len(questions) == len(distinct(questions)) == 520 and {q.label for q in questions} == {"harmful"}
    said = "".join(capfd.readouterr())
    assert not [q for q in questions if q.text in said]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "yaml", "txt"])
def test_any_file_of_texts(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"mine.{ending}"
    rows = [{"text": text, "label": "benign"} for text in TEXTS]
    path.write_text(
        {
            "csv": "text,label\n" + "".join(f"{r['text']},{r['label']}\n" for r in rows),
            "jsonl": "\n".join(map(json.dumps, rows)),
            "json": json.dumps(TEXTS),
            "yaml": "\n".join(f"- {{text: '{r['text']}', label: safe}}" for r in rows),
            "txt": "\n".join(TEXTS),
        }[ending],
        "utf-8",
    )
    found = read_questions(path)
    assert [q.text for q in found] == TEXTS and [q.row for q in found] == [1, 2, 3]
    assert {q.label for q in found} == ({"harmful"} if ending in ("json", "txt") else {"safe"})


@pytest.mark.parametrize(
    ("name", "written", "said"),
    [
        ("a.csv", "words\nhello\n", "--column"),
        ("a.csv", "text,label\nsecret words,odd\n", "row 1 has the label 'odd'"),
        ("a.csv", "text,label\n ,safe\n", "row 1 has no text"),
        ("a.json", "[1, 2]", "list of texts"),
        ("a.yaml", "{", "not valid YAML"),
        ("a.txt", "\n", "no rows"),
        ("a.doc", "x", "ends in"),
    ],
)
def test_what_cannot_be_read_is_said_without_the_text(tmp_path: Path, name: str, written: str, said: str) -> None:
    (tmp_path / name).write_text(written, "utf-8")
    with pytest.raises(PluginError, match=said) as caught:
        build(tmp_path / name, tmp_path / "out", modalities="t")
    assert "secret" not in str(caught.value) and not (tmp_path / "out").exists()


def test_one_request_under_two_labels_is_refused(tmp_path: Path) -> None:
    benign = texts(tmp_path, ["how do i knit a  warm SOCK?"], "benign.csv")
    with pytest.raises(PluginError, match="labelled harmful, and again safe") as caught:
        build(texts(tmp_path), tmp_path / "out", benign=benign, modalities="t")
    assert "knit" not in str(caught.value)


# --- drawing


def test_a_picture_has_the_published_layout() -> None:
    drawn, size = picture("HOW", default_font())
    pixels = np.asarray(drawn.pil().convert("L"))
    dark = np.argwhere(pixels < 128)
    assert drawn.size == (SIDE, SIDE) and size == 80
    assert 20 <= dark[:, 1].min() <= 30 and 10 <= dark[:, 0].min() <= 40 and pixels[400:].min() == 255
    assert set(np.unique(pixels[:5])) == {255}


@settings(max_examples=15)
@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=300))
def test_no_text_leaves_its_picture(text: str) -> None:
    drawn, size = picture(text, default_font())
    pixels = np.asarray(drawn.pil().convert("L"))
    assert 16 <= size <= 80
    assert pixels[-4:].min() == 255 and pixels[:, -4:].min() == 255 and pixels.min() < 128


def test_text_that_cannot_be_shown_is_an_error_of_its_row(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="lacks 2"):
        picture("\u4f60\u597d", default_font())
    with pytest.raises(MediaError, match="does not fit"):
        picture("word " * 2000, default_font())
    rows = [TEXTS[0], "\u4f60\u597d"]
    built = build(texts(tmp_path, rows), tmp_path / "out", modalities="t,i")
    assert list(built.errors.values()) == [1] and built.items == 4
    bad = next(i for i in items(tmp_path / "out") if i["error"])
    assert bad["combination"] == "i" and bad["image_path"] is None
    assert build(texts(tmp_path, rows), tmp_path / "out", modalities="t,i").made == 1


def test_a_film_is_blank_then_text_then_blank() -> None:
    import PIL.Image

    video, _ = film("HOW", default_font())
    assert video.data[:4] == b"RIFF" and int.from_bytes(video.data[4:8], "little") == len(video.data) - 8
    starts = [i for i in range(len(video.data)) if video.data.startswith(b"00dc", i)]
    assert len(starts) == 2 * (BLANK_BEFORE + SHOWN + BLANK_AFTER)  # the frames, and the index of them
    shown = []
    for at in starts[:30]:
        length = int.from_bytes(video.data[at + 4 : at + 8], "little")
        pixels = np.asarray(PIL.Image.open(io.BytesIO(video.data[at + 8 : at + 8 + length])))
        shown.append(bool(pixels.min() < 128))
    assert shown == [False] * BLANK_BEFORE + [True] * SHOWN + [False] * BLANK_AFTER


def test_a_film_is_read_by_the_decoder_of_models() -> None:
    pytest.importorskip("av", reason="videos are decoded with the package av")
    pictures, about = frames(film("HOW", default_font())[0])
    assert about.total_num_frames == 30 and about.fps == 10 and pictures.shape[1:] == (SIDE, SIDE, 3)
    dark = pictures.min((1, 2, 3)) < 128
    assert not dark[0] and not dark[-1] and dark[len(dark) // 2]


# --- speech


@speaks
def test_speech_is_16_khz_mono_and_the_same_every_time() -> None:
    speech = Speech()
    first, again, longer = speech("one"), speech("one"), speech("one two three four five six")
    assert first == again and len(waveform(longer)) > 1.5 * len(waveform(first)) > 0.2 * SAMPLING_RATE
    assert np.abs(waveform(first)).max() > 0.05
    assert int.from_bytes(first.data[24:28], "little") == SAMPLING_RATE and first.data[22] == 1


@speaks
def test_a_text_is_never_an_option_of_the_engine(tmp_path: Path) -> None:
    speech = Speech()
    assert speech(f"-w {tmp_path / 'stolen.wav'}").data[:4] == b"RIFF"
    assert not (tmp_path / "stolen.wav").exists()
    with pytest.raises(MediaError, match="silent"):
        speech("...")
    with pytest.raises(PluginError, match="--voice"):
        Speech("--version")
    with pytest.raises(PluginError, match="nosuchvoice"):
        Speech("nosuchvoice")


def test_without_an_engine_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PluginError, match="--modalities t,i,v,t2i,t2v"):
        build(texts(tmp_path), tmp_path / "out")
    assert build(texts(tmp_path), tmp_path / "out", modalities=SILENT).errors == {}


# --- splitting


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=9), min_size=2, max_size=12))
def test_fragments_together_are_the_request(words: list[str]) -> None:
    text = " ".join(words)
    (found,) = RuleSplitter()([(text, ("image", "audio"))])
    assert isinstance(found, Split) and " ".join(found.payload) == text
    assert all(found.payload) and max(map(len, found.payload)) <= len(text) / 2 + max(map(len, words)) + 1


def test_one_word_has_no_fragments() -> None:
    assert RuleSplitter()([("knit", ("image", "audio"))]) == [
        "a request of one word cannot be divided between two media"
    ]


@plugins.model("omni_cutter")
class Cutter(Model):
    """Answers as `answers` says, by the medium that it is asked about."""

    answers: dict[str, str | None] = {}
    asked: list[Prompt] = []

    def fingerprint(self) -> dict[str, Any]:
        return {}

    def generate(self, prompts: Sequence[Prompt], config: GenerationConfig) -> list[Response]:
        self.asked.extend(prompts)
        found = [next(a for m, a in self.answers.items() if f'"{m}"' in _system(p)) for p in prompts]
        return [Response.failed("time-out") if a is None else Response(a) for a in found]


def _system(prompt: Prompt) -> str:
    return prompt.messages[0].parts[0].text  # type: ignore[union-attr]


GOOD = {
    "audio": '{"instruction": "Do what the image shows, as the audio says.", "image": "a sock", "audio": "knit"}',
    "image": '{"instruction": "How do I make the thing in the picture?", "image": "a warm sock"}',
}


def test_a_model_splits_and_its_split_reaches_the_media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cutter, "answers", {"image": GOOD["image"]})
    monkeypatch.setattr(Cutter, "asked", [])
    built = build(texts(tmp_path, TEXTS[:1]), tmp_path / "out", modalities="i,t2i", splitter="omni_cutter")
    pure, mixed = items(tmp_path / "out")
    assert built.errors == {} and mixed["text_instruction"] == "How do I make the thing in the picture?"
    drawn = tmp_path / "out" / mixed["image_path"]
    assert drawn.read_bytes() == picture("a warm sock", default_font())[0].data and pure["text_instruction"] == TEXTS[0]
    assert [p.text for p in Cutter.asked] == TEXTS[:1] and _system(Cutter.asked[0]) == instruction_for(("image",))
    assert build(texts(tmp_path, TEXTS[:1]), tmp_path / "out", modalities="i,t2i", splitter="omni_cutter").made == 0


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "time-out"),
        ("Sure! Here it is: {}", "not JSON"),
        ('["instruction", "image"]', "must be an object"),
        ('{"instruction": "See the image."}', "keys instruction, image"),
        ('{"instruction": "See the image.", "image": "a", "audio": "b"}', "keys instruction, image"),
        ('{"instruction": "See the image.", "image": 5}', "1 to 400 characters"),
        ('{"instruction": "See the image.", "image": " "}', "1 to 400 characters"),
        ('{"instruction": "Do it now.", "image": "a warm sock"}', "does not point to the image"),
        ('{"instruction": "Knit a warm sock as in the image.", "image": "A warm sock."}', "gives away"),
    ],
)
def test_a_garbled_split_is_an_error_and_never_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str | None, said: str
) -> None:
    monkeypatch.setattr(Cutter, "answers", {"image": answer})
    built = build(texts(tmp_path, TEXTS[:2]), tmp_path / "out", modalities="t,t2i", splitter="omni_cutter")
    assert list(built.errors.values()) == [2] and said in next(iter(built.errors))
    assert "sock" not in next(iter(built.errors))
    bad = [i for i in items(tmp_path / "out") if i["error"]]
    assert {i["combination"] for i in bad} == {"t2i"} and not any(i["image_path"] for i in bad)
    monkeypatch.setattr(Cutter, "answers", {"image": GOOD["image"]})
    again = build(texts(tmp_path, TEXTS[:2]), tmp_path / "out", modalities="t,t2i", splitter="omni_cutter")
    assert again.errors == {} and again.made == 2


def test_fragments_from_a_model() -> None:
    Cutter.answers = {"audio": f"```json\n{GOOD['audio']}\n```"}
    found = ModelSplitter(Cutter())([("Knit a sock", ("image", "audio"))])
    assert found == [Split("Do what the image shows, as the audio says.", ("a sock", "knit"))]


def test_a_server_that_only_echoes_splits_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    server = [sys.executable, str(Path(__file__).with_name("fake_server.py"))]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            url = f"http://127.0.0.1:{int(child.stdout.readline())}/v1"
            built = build(
                texts(tmp_path), tmp_path / "out", modalities="t,t2i", splitter="endpoint:healthy", base_url=url
            )
        finally:
            child.kill()
    assert built.errors == {"the splitter's answer is not JSON": 3} and built.items == 6
    assert json.loads((tmp_path / "out" / "build.json").read_text("utf-8"))["splitter"].startswith("endpoint:healthy")


# --- the rest


def test_modalities_are_known_by_their_parts() -> None:
    assert {code_of(c.modality) for c in COMBINATIONS.values()} == set(COMBINATIONS)
    assert code_of("video + Audio+text") == "t2va" and code_of("smell") is None


def test_unknown_words_are_said(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="did you mean 't2i'"):
        build(texts(tmp_path), tmp_path / "out", modalities="t2ii")
    with pytest.raises(PluginError, match="font"):
        build(texts(tmp_path), tmp_path / "out", modalities="i", font=str(tmp_path / "none.ttf"))
    (tmp_path / "bad.ttf").write_bytes(b"no font")
    with pytest.raises(PluginError, match="font"):
        build(texts(tmp_path), tmp_path / "out", modalities="i", font=str(tmp_path / "bad.ttf"))


def test_the_command(tmp_path: Path) -> None:
    source, out = texts(tmp_path, [TEXTS[0], "\u4f60\u597d"]), tmp_path / "out"
    code = "import sys; from harness.cli_build import app; app(sys.argv[1:])"
    command = [sys.executable, "-c", code, "advbench-omni", str(source), "--out", str(out), "--modalities", "t,i"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "4 items, 4 of them made now" in done.stdout
    assert "not made: 1: the font" in done.stdout and "sock" not in done.stdout + done.stderr
    done = subprocess.run([*command, "--limit", "1"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "2 items, 0 of them made now" in done.stdout
    assert "2 items of the earlier build are no longer listed" in done.stdout
    done = subprocess.run([*command, "--limit", "1"], capture_output=True, text=True, timeout=120)
    assert "no longer listed" not in done.stdout


def test_help_needs_no_heavy_library() -> None:
    code = (
        "import sys\nfrom harness.cli_build import app\n"
        "try: app(['advbench-omni', '--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'transformers', 'numpy', 'matplotlib', 'PIL'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
