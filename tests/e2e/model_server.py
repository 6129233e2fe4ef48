#!/usr/bin/env python3
"""A model server that plays a script: OpenAI chat completions, streamed, on loopback.

    model_server.py SCENARIO.json LOG.jsonl

Prints its base URL (http://127.0.0.1:PORT/v1) as the first line on stdout and serves until its
stdin ends, so it cannot outlive who started it. Every request and what became of it is one JSON
object a line in LOG.jsonl.

A scenario is a list of conversations. A request belongs to the first one whose `when`, a regular
expression, is found in the request's newest user message; the turn that answers it is chosen by how
many answers follow that message. So the server keeps no state: a retry gets the same answer again,
and a client that dies and comes back with another prompt gets the conversation of that prompt.

    {"conversations": [
      {"when": "rename the module",
       "turns": [{"think": "…", "text": "…",
                  "calls": [{"tool": "write_file",
                             "args": {"file_path": "${cwd}/a.txt", "content": "…"}}]},
                 {"text": "This stops in the middle", "hang": true},
                 {"text": "Done."}]}]}

`hang` sends half of the text and then nothing, until the client goes away. `status` answers with
that HTTP status and an error body. `${cwd}` is the directory that the client says it works in.
Requests that offer no tools (titles, memories) and those that no conversation claims get a short
text: a client may ask for such things by itself.
"""

import json
import re
import select
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHUNK = 24  # characters of text in one server-sent event
CWD = re.compile(r"(?:working in the directory|current working directory)[^/\n]*(/[^\s`'\"]+)")


def text_of(message):
    """The text of a chat message, whose content is a string or a list of parts."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content if isinstance(part, dict))


def newest_prompt(messages):
    """The newest user message and how many answers follow it."""
    answers = 0
    for message in reversed(messages):
        if message.get("role") == "assistant":
            answers += 1
        elif message.get("role") == "user":
            return text_of(message), answers
    return "", answers


def working_directory(messages):
    for message in messages:
        found = CWD.search(text_of(message))
        if found:
            return found.group(1).rstrip(".")
    return "."


class Scenario:
    def __init__(self, description):
        self.conversations = [
            (re.compile(c["when"]), c["turns"]) for c in description["conversations"]
        ]

    def turn(self, body):
        """(conversation, turn number, turn) for a request; (None, 0, …) for one of no interest."""
        messages = body.get("messages", [])
        if body.get("tools"):
            prompt, answers = newest_prompt(messages)
            for number, (when, turns) in enumerate(self.conversations):
                if when.search(prompt):
                    at = min(answers, len(turns) - 1)
                    return number, at, turns[at]
        return None, 0, {"text": "OK."}


def pieces(text):
    return [text[i : i + CHUNK] for i in range(0, len(text), CHUNK)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass  # the log is a file of our own

    def do_GET(self):
        self.record("other", path=self.path)
        self.answer(200, {"object": "list", "data": [{"id": "scripted", "object": "model"}]})

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(raw) if raw else {}
        if not self.path.endswith("/chat/completions"):
            self.record("other", path=self.path, body=body)
            return self.answer(404, {"error": {"message": "not found", "type": "invalid_request"}})
        conversation, number, turn = self.server.scenario.turn(body)
        prompt, _ = newest_prompt(body.get("messages", []))
        self.record(
            "request",
            conversation=conversation,
            turn=number,
            prompt=prompt,
            roles=[m.get("role") for m in body.get("messages", [])],
            tools=[t.get("function", {}).get("name") for t in body.get("tools", [])],
        )
        if "status" in turn:
            self.record("refused", status=turn["status"])
            return self.answer(
                turn["status"], {"error": {"message": turn.get("text", ""), "type": "scripted"}}
            )
        try:
            self.play(turn, body)
        except (BrokenPipeError, ConnectionResetError):
            self.record("client_gone", conversation=conversation, turn=number)
        else:
            self.record("served", conversation=conversation, turn=number)

    def play(self, turn, body):
        cwd = working_directory(body.get("messages", []))
        message = {"role": "assistant", "content": turn.get("text", "")}
        calls = self.calls(turn, cwd)
        usage = {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050}
        reason = "tool_calls" if calls else "stop"
        if not body.get("stream"):
            if calls:
                message["tool_calls"] = calls
            choice = {"index": 0, "message": message, "finish_reason": reason}
            return self.answer(200, self.envelope("chat.completion", [choice], usage=usage))

        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.delta({"role": "assistant", "content": ""})
        for piece in pieces(turn.get("think", "")):
            self.delta({"reasoning_content": piece})
        text = pieces(turn.get("text", ""))
        if turn.get("hang"):
            for piece in text[: (len(text) + 1) // 2]:
                self.delta({"content": piece})
            return self.hang()
        for piece in text:
            self.delta({"content": piece})
        for index, call in enumerate(calls):
            self.delta({"tool_calls": [{"index": index, **call}]})
        self.delta({}, finish=reason)
        self.event(self.envelope("chat.completion.chunk", [], usage=usage))
        self.chunk(b"data: [DONE]\n\n")
        self.chunk(b"")

    def hang(self):
        """Silence until the client closes its side; the script's `hang` is known to be reached."""
        self.record("hang")
        select.select([self.connection], [], [])
        raise BrokenPipeError

    def calls(self, turn, cwd):
        calls = []
        for number, call in enumerate(turn.get("calls", [])):
            arguments = json.dumps(call["args"]).replace("${cwd}", cwd)
            function = {"name": call["tool"], "arguments": arguments}
            name = f"call_{self.server.next_number():04}_{number}"
            calls.append({"id": name, "type": "function", "function": function})
        return calls

    def delta(self, delta, finish=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        self.event(self.envelope("chat.completion.chunk", [choice]))

    def envelope(self, kind, choices, **more):
        return {
            "id": "chatcmpl-scripted",
            "object": kind,
            "created": int(time.time()),
            "model": "scripted",
            "choices": choices,
            **more,
        }

    def event(self, value):
        self.chunk(b"data: " + json.dumps(value).encode() + b"\n\n")

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def answer(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def record(self, event, **fields):
        self.server.record(event, **fields)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, scenario, log):
        super().__init__(("127.0.0.1", 0), Handler)
        self.scenario = scenario
        self.log = log
        self.lock = threading.Lock()
        self.started = time.monotonic()
        self.number = 0

    def next_number(self):
        with self.lock:
            self.number += 1
            return self.number

    def record(self, event, **fields):
        t_ms = round((time.monotonic() - self.started) * 1000)
        with self.lock:
            self.log.write(json.dumps({"t_ms": t_ms, "event": event, **fields}) + "\n")
            self.log.flush()

    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: model_server.py SCENARIO.json LOG.jsonl")
    with open(sys.argv[1], encoding="utf-8") as file:
        scenario = Scenario(json.load(file))
    with open(sys.argv[2], "a", encoding="utf-8") as log:
        server = Server(scenario, log)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.url(), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
