"""Reading replies: any bytes give a response or one known error; and the pauses that a server may ask for."""

from __future__ import annotations

import email.utils
import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.models.endpoint_session import retry_after
from harness.models.endpoint_wire import MalformedReply, error_text, read_reply
from harness.types import Response

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MESSAGE = st.fixed_dictionaries({}, optional={"content": JSON, "refusal": JSON, "role": JSON})
CHOICE = st.fixed_dictionaries({}, optional={"message": MESSAGE | JSON, "finish_reason": JSON})
USAGE = st.fixed_dictionaries({}, optional={"prompt_tokens": JSON, "completion_tokens": JSON})
REPLY = st.fixed_dictionaries(
    {}, optional={"choices": st.lists(CHOICE | JSON, max_size=2) | JSON, "usage": USAGE | JSON, "error": JSON}
)


def read(data: bytes) -> Response | None:
    try:
        return read_reply(data)
    except MalformedReply as error:
        assert "\n" not in str(error)
        return None


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(REPLY)
def test_any_shape_is_read_or_refused(reply: dict[str, Any]) -> None:
    response = read(json.dumps(reply).encode())
    if response is not None:
        assert response.cost.prompt_tokens >= 0 and response.cost.generated_tokens >= 0
        (response.text or response.error or "").encode("utf-8")


@given(st.binary(max_size=50))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    assert read(data) is None


@given(st.integers(min_value=0, max_value=400))
def test_a_reply_cut_anywhere_is_refused(at: int) -> None:
    whole = json.dumps({"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}], "pad": "é" * 40}).encode()
    response = read(whole[:at])
    assert (response is not None and response.text == "ok") if at >= len(whole) else response is None


@given(JSON)
def test_error_texts_are_one_short_line(body: Any) -> None:
    text = error_text(body)
    assert len(text) <= 203 and "\n" not in text


@pytest.mark.parametrize(
    ("value", "seconds"), [("2", 2.0), ("0.5", 0.5), ("-3", 0.0), ("nan", None), ("inf", None), ("soon", None)]
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}) == seconds


def test_retry_after_as_a_date() -> None:
    waited = retry_after({"retry-after": email.utils.formatdate(time.time() + 30, usegmt=True)})
    assert waited is not None and 28 < waited <= 30
    assert retry_after({}) is None
