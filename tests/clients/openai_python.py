"""OpenAI's client library for Python against the gateway. The last line of the output is "N passed, N failed"."""

import asyncio
import base64
import json
import os
import re
import sys
import time
import traceback
import urllib.request

import openai

GATEWAY = os.environ["ECSO_GATEWAY"]
ENGINE = os.environ["ECSO_ENGINE"]
KEY = os.environ["ECSO_CLIENT_KEY"]
REFUSAL = os.environ["ECSO_REFUSAL"]
with open(os.environ["ECSO_PICTURE"], "rb") as file:
    PICTURE = base64.b64encode(file.read()).decode()

# The models that the gateway's routes know, by the path that their policies force.
MODELS = {"direct": "direct", "eyes_closed": "eyes-closed", "refused": "refused"}
TEXT = [{"role": "user", "content": "What is to be seen?"}]
SEEN = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is to be seen?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
        ],
    },
]
SHORT = {"max_tokens": 24, "temperature": 0}
LONG = {"max_tokens": 1500}

client = openai.OpenAI(base_url=f"{GATEWAY}/v1", api_key=KEY, max_retries=0)
cases = []


def case(name):
    return lambda run: cases.append((name, run))


def get(url):
    with urllib.request.urlopen(url, timeout=60) as reply:
        return reply.read().decode()


def is_busy():
    return any(slot["is_processing"] for slot in json.loads(get(f"{ENGINE}/slots")))


def clients_gone():
    lines = re.findall(r"^ecso_clients_gone_total(?:\{.*\})? (\S+)$", get(f"{GATEWAY}/metrics"), re.MULTILINE)
    return sum(float(value) for value in lines)


def wait_until(what, seconds, condition):
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"{what}: not within {seconds} s"
        time.sleep(0.02)


def check_text(text, path):
    assert isinstance(text, str) and text, "no text"
    assert (text == REFUSAL) == (path == "refused"), f"{text!r} came out as {path}"


def check_ecso(reply, path, choices=1):
    ecso = reply.model_extra["ecso"]
    assert ecso["path"] == path and ecso["policy"] == path, ecso
    assert [choice["path"] for choice in ecso["choices"]] == [path] * choices, ecso
    for choice in ecso["choices"]:
        assert choice["verdicts"][0]["step"] == "check", ecso
        assert choice["verdicts"][0]["verdict"] in ("safe", "harmful", "undecided"), ecso
    assert ecso["calls"] >= 2, ecso


def error_of(call, kind, status):
    try:
        call()
    except kind as error:
        if status is not None:
            assert error.status_code == status and len(error.message) > 10, error
        return error
    raise AssertionError(f"no {kind.__name__}")


def add_path_cases(path, model, what, messages):
    @case(f"a chat ({what}) comes out as {path}")
    def _():
        raw = client.chat.completions.with_raw_response.create(model=model, messages=messages, **SHORT)
        reply = raw.parse()
        check_text(reply.choices[0].message.content, path)
        check_ecso(reply, path)
        assert raw.headers["x-ecso-path"] == path and raw.headers["x-ecso-verdict"]
        assert reply.usage.total_tokens > 0

    for mode in ("hold", "window"):

        @case(f"a streamed chat ({what}, {mode}) comes out as {path}")
        def _(mode=mode):
            headers = {"x-ecso-stream": mode}
            stream = client.chat.completions.create(
                model=model, messages=messages, stream=True, extra_headers=headers, **SHORT
            )
            chunks = list(stream)
            deltas = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
            check_text("".join(deltas), path)
            with_ecso = [chunk for chunk in chunks if "ecso" in (chunk.model_extra or {})]
            check_ecso(with_ecso[-1], path)
            assert any(choice.finish_reason for chunk in chunks for choice in chunk.choices), "no finish_reason"


for path, model in MODELS.items():
    for what, messages in {"text": TEXT, "image": SEEN}.items():
        add_path_cases(path, model, what, messages)


@case("a long answer leaves a window before it has ended, word for word")
def _():
    request = {"model": "early", "messages": SEEN, "max_tokens": 1500, "temperature": 0}
    whole = client.chat.completions.create(**request)
    begun = time.monotonic()
    first, said, ecso = None, "", None
    for chunk in client.chat.completions.create(**request, stream=True, extra_headers={"x-ecso-stream": "window"}):
        said += "".join(choice.delta.content or "" for choice in chunk.choices)
        ecso = (chunk.model_extra or {}).get("ecso", ecso)
        first = first or (said and time.monotonic() - begun)
    assert said == whole.choices[0].message.content, said
    assert any(verdict.get("early") for verdict in ecso["choices"][0]["verdicts"]), ecso
    assert first < 0.8 * (time.monotonic() - begun), f"the first words came after {first} s"


@case("two choices come out each by itself")
def _():
    for path, model in MODELS.items():
        reply = client.chat.completions.create(model=model, messages=SEEN, n=2, max_tokens=24)
        assert [choice.index for choice in reply.choices] == [0, 1]
        for choice in reply.choices:
            check_text(choice.message.content, path)
        check_ecso(reply, path, 2)


@case("the helper for streams reads one")
def _():
    with client.chat.completions.stream(model=MODELS["direct"], messages=SEEN, **SHORT) as stream:
        done = [event.content for event in stream if event.type == "content.done"]
        check_text(done[0], "direct")


@case("tool definitions go through")
def _():
    function = {"name": "look_up", "parameters": {"type": "object", "properties": {"word": {"type": "string"}}}}
    tools = [{"type": "function", "function": function}]
    reply = client.chat.completions.create(model=MODELS["direct"], messages=SEEN, tools=tools, **SHORT)
    check_ecso(reply, "direct")


@case("the models are listed")
def _():
    assert [model.id for model in client.models.list()]


@case("bad requests are a BadRequestError")
def _():
    create = client.chat.completions.create
    image = {"type": "image_url", "image_url": {"url": f"{ENGINE}/a.png"}}
    error_of(lambda: create(model=MODELS["direct"], messages=[]), openai.BadRequestError, 400)
    error_of(
        lambda: create(model=MODELS["direct"], messages=[{"role": "user", "content": [image]}]), openai.BadRequestError, 400
    )


@case("the engine's own error comes through, whole and streamed")
def _():
    messages = [{"role": "user", "content": "word " * 9000}]
    for stream in (False, True):
        error = error_of(
            lambda: client.chat.completions.create(model=MODELS["direct"], messages=messages, stream=stream),
            openai.BadRequestError,
            400,
        )
        assert error.type == "exceed_context_size_error", error


@case("a wrong key is an AuthenticationError")
def _():
    stranger = client.with_options(api_key="wrong")
    error_of(
        lambda: stranger.chat.completions.create(model=MODELS["direct"], messages=TEXT), openai.AuthenticationError, 401
    )


def check_gives_up(end, is_stream=False):
    """`end()` begins a long call and leaves it while the engine works on it, which notices that of a stream."""
    wait_until("the engine is idle before", 60, lambda: not is_busy())
    gone = clients_gone()
    end()
    if is_stream:
        wait_until("the engine is idle after", 2, lambda: not is_busy())
    wait_until("the client is counted as gone", 60, lambda: clients_gone() > gone)


@case("closing a stream ends it at the engine")
def _():
    def end():
        stream = client.chat.completions.create(model=MODELS["direct"], messages=TEXT, stream=True, **LONG)
        wait_until("the engine has begun", 60, is_busy)
        stream.close()

    check_gives_up(end, is_stream=True)


@case("cancelling a whole call ends it")
def _():
    async def cancel():
        async with openai.AsyncOpenAI(base_url=f"{GATEWAY}/v1", api_key=KEY, max_retries=0) as one:
            call = asyncio.create_task(one.chat.completions.create(model=MODELS["direct"], messages=TEXT, **LONG))
            while not await asyncio.to_thread(is_busy):
                assert not call.done(), "answered"
            call.cancel()
            try:
                await call
            except asyncio.CancelledError:
                return
            raise AssertionError("answered")

    check_gives_up(lambda: asyncio.run(asyncio.wait_for(cancel(), 80)))


@case("a timeout is an APITimeoutError, and the client counts as gone")
def _():
    hasty = client.with_options(timeout=0.5)
    check_gives_up(
        lambda: error_of(
            lambda: hasty.chat.completions.create(model=MODELS["direct"], messages=TEXT, **LONG), openai.APITimeoutError, None
        )
    )


failed = 0
for name, run in cases:
    start = time.monotonic()
    try:
        run()
        print(f"ok      openai, Python: {name} ({(time.monotonic() - start) * 1000:.0f} ms)")
    except Exception:
        failed += 1
        print(f"FAILED  openai, Python: {name}\n{traceback.format_exc()}")
print(f"{len(cases) - failed} passed, {failed} failed")
sys.exit(1 if failed else 0)
