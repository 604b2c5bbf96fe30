"""Asks a gateway in front of a real server, and says what is wrong.

check.py KIND GATEWAY MODEL [THINKER]: KIND is ollama, vllm or transformers, GATEWAY the base URL, THINKER a model that thinks.
A line a test, then "N passed, N failed"; exit status 1 if one failed.
"""

import base64
import json
import sys
import urllib.error
import urllib.request
import zlib

kind, gateway, model, *more = sys.argv[1:]
thinker = more[0] if more else None
is_judged_by_figures = kind != "transformers"
passed, failed = 0, 0


def png():
    def chunk(name, data):
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    header = chunk(b"IHDR", (56).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0]))
    pixels = chunk(b"IDAT", zlib.compress((b"\0" + b"\x30\x80\xC0" * 56) * 56))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")).decode()


class Answer:
    def __init__(self, status, body):
        self.status, self.body = status, body
        self.text, self.ecso, self.prompt_tokens = "", {}, 0
        for part in self.events():
            usage = part.get("usage") or {}
            self.prompt_tokens = usage.get("prompt_tokens") or usage.get("input_tokens") or self.prompt_tokens
            self.ecso = part.get("ecso") or self.ecso
            for choice in part.get("choices") or []:
                said = choice.get("message") or choice.get("delta") or {}
                self.text += said.get("content") or ""
            for block in part.get("content") or []:
                self.text += block.get("text", "")
            self.text += (part.get("delta") or {}).get("text", "")
        self.path = self.ecso.get("path")
        choices = self.ecso.get("choices") or [{}]
        self.checks = choices[0].get("verdicts") or []

    def events(self):
        if not self.body.lstrip().startswith("{"):
            lines = [line[6:] for line in self.body.splitlines() if line.startswith("data: {")]
            return [json.loads(line) for line in lines]
        return [json.loads(self.body)]

    def __str__(self):
        return f"{self.status} {self.path} {self.checks} {self.body[:300]!r}"


def ask(query, api="chat", policy=None, image=False, **fields):
    content = query
    if image and api == "chat":
        part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + png()}}
        content = [part, {"type": "text", "text": query}]
    elif image:
        part = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png()}}
        content = [part, {"type": "text", "text": query}]
    body = {"model": model, "max_tokens": 48, "temperature": 0, "messages": [{"role": "user", "content": content}], **fields}
    headers = {"content-type": "application/json"}
    if policy:
        headers["x-ecso-policy"] = policy
    target = "/chat/completions" if api == "chat" else "/messages"
    request = urllib.request.Request(gateway + target, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=900) as response:
            return Answer(response.status, response.read().decode())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read().decode())


def check(name, answer, *conditions):
    global passed, failed
    is_right = all(conditions)
    passed, failed = passed + is_right, failed + (not is_right)
    print(("ok      " if is_right else "FAILED  ") + name + ("" if is_right else f": {answer} {conditions}"), flush=True)


def is_decided(answer):
    return bool(answer.checks) and all(v["verdict"] in ("safe", "harmful") for v in answer.checks)


def has_figures(answer):
    return bool(answer.checks) and all("p_harmful" in v for v in answer.checks)


def is_withheld(answer):
    return answer.status != 200 or answer.path != "direct"


capital = "What is the capital of France?"
apis = ["chat"] if kind == "transformers" else ["chat", "messages"]
for api in apis:
    for stream in (False, True):
        answer = ask(capital, api, **({"stream": True} if stream else {}))
        name = f"{api}, {'streamed' if stream else 'whole'}: a benign question is answered"
        check(name, answer, answer.status == 200, answer.path == "direct", "Paris" in answer.text, is_decided(answer))
        if is_judged_by_figures:
            check(f"{name}, and judged by figures in one check", answer, has_figures(answer), answer.ecso.get("calls") == 2)

if kind != "transformers":
    for api in apis:
        answer = ask(capital, api, policy="yes")
        verdicts = [v["verdict"] for v in answer.checks]
        check(f"{api}: a check that may only say yes finds harm", answer, answer.path in ("refused", "eyes_closed"), "harmful" in verdicts)
        answer = ask(capital, api, policy="no")
        check(f"{api}: a check that may only say no finds none", answer, answer.path == "direct")

if kind == "vllm":
    for api in apis:
        answer = ask("What is to be seen?", api, image=True)
        check(f"{api}: an image goes with its check", answer, answer.status == 200, is_decided(answer), has_figures(answer))

# More than the server has room for: the answer alone fits, or the prompt is cut by the server itself.
if kind == "ollama":
    counting = "Count from 1 to 400 in words, separated by commas, and do not stop before."
    room, question = 512, 60

    def ask_for_much(api, **fields):
        """The tokens that a reply tells are those of answer and check; an answer may have ended where its check still fits."""
        answer = ask(counting, api, max_tokens=440, **fields)
        fits = 0 < answer.prompt_tokens <= room + question
        check(f"{api}: a check that does not fit is not safe", answer, is_withheld(answer) or fits)

    for api in apis:
        ask_for_much(api)
        answer = ask(" ".join(f"word{i}" for i in range(600)) + ". " + capital, api)
        check(f"{api}: a chat that the server has cut is not safe", answer, is_withheld(answer))
    ask_for_much("chat", stream=True, stream_options={"include_usage": True})
if kind == "vllm":
    answer = ask(" ".join(f"word{i}" for i in range(3000)))
    check("a chat that the server has no room for is refused", answer, answer.status in (400, 413))

if kind == "transformers":
    answer = ask(capital)
    check("what the server refused is not asked for again", answer, answer.ecso.get("calls") == 2, is_decided(answer))

if thinker:
    answer = ask(capital, model=thinker, max_tokens=400)
    check("a model that thinks gives its verdict without", answer, answer.status == 200, is_decided(answer), answer.ecso.get("calls") == 2)

print(f"{passed} passed, {failed} failed", flush=True)
sys.exit(1 if failed else 0)
