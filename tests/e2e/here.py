#!/usr/bin/env python3
"""What an agent asks of the run that started it: checkpoints, notes, its plan, what it has left; and who may not ask.

    tests/e2e/here.py --remora PROGRAM [TEST …]

Needs git and nothing else. Every test has a repository and a state directory of its own, and ends what it
started.
"""

import fnmatch
import json
import os
import socket
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import main_job
from main_job import Job, wait_until

# Does in its first life what the test has written to $SEEN/do, tells so, and works for ever; any later one finishes.
ASKER = r"""
cat > "$SEEN/stdin.$REMORA_ATTEMPT"
echo $$ >> "$SEEN/pids.$REMORA_TASK"
echo "$REMORA_SOCKET" > "$SEEN/socket.$REMORA_TASK"
here() { "$SEEN/remora" here "$@"; }
if [ "$REMORA_ATTEMPT" = 1 ]; then
  . "$SEEN/do"
  touch "$SEEN/done.$REMORA_TASK"
  exec sleep 987654
fi
echo '{"type":"finished","ok":true}'
"""

# Longer rules than any test takes: a checkpoint that is there was asked for.
RARELY = "checkpoint: {interval: 1h, min_gap: 10ms, turns: 1000, mutations: false}"


def ask(path, line, connection=None):
    """What is answered at `path`, of any length."""
    with connection or socket.socket(socket.AF_UNIX) as s:
        if not connection:
            directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
            s.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
            os.close(directory)
        s.settimeout(main_job.PATIENCE)
        s.sendall(line.encode() + b"\n")
        return json.loads(s.makefile().readline())


class Here(Job):
    def setUp(self):
        super().setUp()
        (self.seen / "remora").symlink_to(main_job.REMORA)

    def ask_in(self, script, more="defaults: {%s}" % RARELY, task="a", repo=None):
        """Starts a run whose agent does this; returns it once that is done."""
        (self.seen / "do").write_text(script)
        plan = self.plan([task], more, ASKER, repo)
        self.remora("run", plan, "--dry-run", cwd=repo)
        process = self.start("run", plan, cwd=repo)
        wait_until("the agent has done it", lambda: (self.seen / f"done.{task}").exists())
        return process

    def said(self, name):
        return (self.seen / name).read_text()

    def socket(self, task="a"):
        return self.said(f"socket.{task}").strip()

    def interrupt(self, process):
        process.terminate()
        self.assertEqual(process.wait(main_job.PATIENCE), 3)

    def shown(self):
        return json.loads(self.remora("checkpoint", "show", "last/a", "--json").stdout)

    # --- the commands ---

    def test_a_checkpoint_is_there_when_the_answer_is(self):
        process = self.ask_in("echo one > one; here checkpoint -m 'one is whole' > $SEEN/first; "
                              "here checkpoint > $SEEN/second; echo two > two; here checkpoint --json > $SEEN/third")
        shown = self.shown()
        self.assertEqual((shown["checkpoint"], shown["reason"]), (2, "request"))
        (older,) = self.events(self.remora("checkpoint", "list", "last/a", "--json"))[1:]
        self.assertEqual(self.said("first"), f"checkpoint 1: {older['commit'][:10]}\n")
        self.assertEqual(self.git("show", older["commit"] + ":one"), "one\n")
        self.assertEqual(self.said("second"), "nothing has changed since checkpoint 1\n")
        self.assertEqual(json.loads(self.said("third")), {
            "schema": "remora.here/1", "checkpoint": 2, "commit": shown["commit"], "changed": True})
        self.assertEqual(shown["state"]["notes"], "one is whole\n")
        self.interrupt(process)

    def test_one_that_comes_too_soon_after_another_is_waited_for(self):
        process = self.ask_in("echo one > one; here checkpoint; echo two > two; here checkpoint > $SEEN/second",
                              "defaults: {%s}" % RARELY.replace("10ms", "700ms"))
        self.assertIn("checkpoint 2: ", self.said("second"))
        self.interrupt(process)

    def test_notes_and_plan_reach_the_successor(self):
        process = self.ask_in("here note 'left is slower,' because of the lock > $SEEN/said; printf 'and\\nso on' | here note -; "
                              "printf -- '# plan\\n- [x] read the code\\n- [ ] mend the lock\\n' | here plan - >> $SEEN/said")
        self.assertEqual(self.said("said"), "noted\nthe plan: 1 of 2 done\n")
        self.interrupt(process)
        state = self.shown()["state"]
        self.assertEqual(state["notes"], "left is slower, because of the lock\nand\nso on\n")
        self.assertEqual([(p["text"], p["status"]) for p in state["plan"]],
                         [("read the code", "done"), ("mend the lock", "pending")])
        self.remora("resume", "last")
        told = self.said("stdin.2")
        for part in ("left is slower, because of the lock", "so on", "[x] read the code", "[ ] mend the lock"):
            self.assertIn(part, told)
        events = self.remora("show", "last/a", "--why", "--json").stdout
        self.assertIn('"succeeded"', events)

    def test_a_plan_survives_a_killed_orchestrator_in_its_place(self):
        # The agent's own list comes between two that it tells here: the last of all counts.
        plan = '{"type":"plan","items":[{"text":"%s","status":"done"}]}'
        (self.seen / "do").write_text(
            "echo '[{\"text\":\"first\"}]' | here plan -; echo '%s'; "
            "until here left --json > /dev/null && [ -e $SEEN/go ]; do sleep 0.1; done; "
            "echo '[{\"text\":\"last\",\"status\":\"in_progress\"}]' > plan.json; here plan plan.json" % (plan % "between"))
        file = Path(self.plan(["a"], "defaults: {%s}" % RARELY, ASKER))
        file.write_text(file.read_text().replace("adapter: text", "adapter: jsonl"))
        process = self.start("run", str(file))
        wait_until("the agent has asked", lambda: list((self.repo / ".git").glob("remora/runs/*/attempts/a.1/told")))
        (attempt,) = (self.repo / ".git").glob("remora/runs/*/attempts/a.1")
        wait_until("its own list", lambda: "between" in (attempt / "out").read_text())
        (self.seen / "go").touch()
        wait_until("the agent has done it", lambda: (self.seen / "done.a").exists())
        process.kill()
        process.wait()
        self.remora("resume", "last")
        told = self.said("stdin.2")
        self.assertIn("last", told)
        self.assertNotIn("between", told)
        self.assertNotIn("first", told.split("Do a, please.")[1].split("do not start again")[0])

    def test_what_is_left(self):
        process = self.ask_in("here left > $SEEN/text; here left --json > $SEEN/json",
                              "budget: {cost_usd: 9}\ndefaults: {limits: {wall: 1h, idle: 10m, soft: 1m, tokens: 2M}, %s}" % RARELY)
        left = json.loads(self.said("json"))
        self.assertEqual({k for k, v in left.items() if v is None}, {"turns", "cost_usd", "run_tokens"})
        self.assertEqual((left["schema"], left["attempt"], left["tokens"], left["run_cost_usd"]),
                         ("remora.here/1", 1, 2000000, 9))
        self.assertLess(left["soft_ms"], left["wall_ms"] - 59_000)
        self.assertLess(left["idle_ms"], 600_001)
        self.assertRegex(self.said("text"), r"^wall: \d+m\d\ds left\nidle, if nothing is heard: .* left\nsoft: .* left\n"
                                            r"tokens: 2.0M left\ncost of the run: \$9.00 left\n$")
        self.interrupt(process)

    def test_mistakes_are_told_and_cost_nothing(self):
        process = self.ask_in("echo nothing | here plan - 2> $SEEN/plan; echo $? >> $SEEN/plan; here note ' ' 2> $SEEN/note; "
                              "echo $? >> $SEEN/note; here plan missing 2> $SEEN/file; echo $? >> $SEEN/file; "
                              "head -c 1200000 /dev/zero | tr '\\0' x | here note - 2> $SEEN/long; echo $? >> $SEEN/long")
        self.assertRegex(self.said("plan"), r"(?s)remora: error: no plan is in it: write lines like .*\n2\n$")
        self.assertRegex(self.said("note"), r"'text' is empty\n2\n$")
        self.assertRegex(self.said("file"), r"cannot read .*missing.*\n2\n$")
        self.assertRegex(self.said("long"), r"that is too long: a request has at most 1048576 bytes\n2\n$")
        for line, part in (("nonsense", "one JSON object"), ('{"command":"stop"}', "'stop' is no command")):
            self.assertIn("is not of this attempt", ask(self.socket(), line)["error"], "who may not ask is told nothing else")
        self.interrupt(process)

    def test_fifty_notes_at_once(self):
        process = self.ask_in("for i in $(seq 50); do (here note \"note $i of many\" || echo lost >> $SEEN/lost) & done; wait")
        self.assertFalse((self.seen / "lost").exists())
        self.interrupt(process)
        self.assertEqual(sorted(self.shown()["state"]["notes"].splitlines()), sorted(f"note {i} of many" for i in range(1, 51)))

    def test_without_the_program_too(self):
        (self.seen / "ask.py").write_text("import os, socket\ns = socket.socket(socket.AF_UNIX)\n"
                                          "os.chdir(os.path.dirname(os.environ['REMORA_SOCKET']))\ns.connect('socket')\n"
                                          "s.sendall(b'{\"command\":\"note\",\"text\":\"by hand\"}\\n')\nprint(s.makefile().readline())\n")
        process = self.ask_in(f"{sys.executable} $SEEN/ask.py > $SEEN/answer")
        self.assertEqual(json.loads(self.said("answer")), {"ok": True})
        self.interrupt(process)

    def test_its_environment_is_what_agents_tells(self):
        process = self.ask_in("env | cut -d= -f1 > $SEEN/names")
        told = json.loads(self.remora("agents", "--json").stdout.splitlines()[0])
        known = told["base_env"] + told["set_env"] + ["SEEN", "PWD", "OLDPWD", "SHLVL", "_"]  # the last are the shell's
        names = set(self.said("names").split())
        self.assertEqual({n for n in names if not any(fnmatch.fnmatchcase(n, k) for k in known)}, set())
        self.assertEqual({k for k in told["set_env"] if not fnmatch.filter(names, k)}, set())
        self.interrupt(process)

    # --- who may not ---

    def test_nobody_else_may_ask(self):
        process = self.ask_in("(setsid \"$SEEN/remora\" here note 'of a daemon' > $SEEN/daemon 2>&1 &) ; "
                              "until [ -s $SEEN/daemon ]; do sleep 0.05; done")
        self.assertEqual(self.said("daemon"), "noted\n")
        self.env["REMORA_SOCKET"] = self.socket()
        refused = self.remora("here", "left", status=4).stderr
        self.assertRegex(refused, r"error: process \d+ is not of this attempt: only its agent, and what that started, may ask")
        self.interrupt(process)
        gone = self.remora("here", "left", status=4).stderr
        self.assertIn("nobody answers at ", gone)
        del self.env["REMORA_SOCKET"]
        self.assertIn("REMORA_SOCKET is not set", self.remora("here", "checkpoint", status=4).stderr)

    @unittest.skipIf(os.geteuid() != 0, "needs another user")
    def test_another_user_may_not_ask_either(self):
        as_user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        os.chmod(self.dir, 0o755)
        copy = self.dir / "bin"  # the build directory may be closed to others
        copy.mkdir()
        for name in ("remora", "remora-shim"):
            (copy / name).write_bytes((Path(main_job.REMORA).parent / name).read_bytes())
            (copy / name).chmod(0o755)
        (self.seen / "remora").unlink()
        (self.seen / "remora").symlink_to(copy / "remora")
        (self.seen / "do").write_text("here left > $SEEN/left")
        plan = self.plan(["a"], "defaults: {%s}" % RARELY, ASKER)
        subprocess.run(["chown", "-R", "65534:65534", str(self.dir)], check=True)
        process = subprocess.Popen([*as_user, str(copy / "remora"), "run", plan], cwd=self.repo, env=self.env,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.started.append(process)
        wait_until("the agent has done it", lambda: (self.seen / "done.a").exists())
        self.assertEqual(ask(self.socket(), "x"), {"error": "user 0 may not ask: the agent is user 65534's"})
        path = Path(self.socket())
        self.assertEqual((path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777), (0o600, 0o700))
        self.interrupt(process)

    # --- ends and bounds ---

    def test_a_request_while_the_attempt_is_being_ended(self):
        process = self.ask_in("here left > /dev/null; trap 'here note \"the last word\"; here checkpoint 2> $SEEN/refused; "
                              "here left 2>> $SEEN/refused; exit 0' TERM; touch $SEEN/done.a; sleep 987654 & wait")
        self.interrupt(process)
        self.assertEqual(self.said("refused").count("attempt 1 is being ended: what it did is saved"), 2)
        self.assertEqual(self.shown()["state"]["notes"], "the last word\n")

    def test_one_who_says_nothing_holds_nothing_up(self):
        (self.seen / "silent.py").write_text(
            "import os, socket, time\nopen_ones = []\nfor i in range(3):\n  s = socket.socket(socket.AF_UNIX)\n"
            "  s.connect(os.environ['REMORA_SOCKET'])\n  s.send(b'{' * i)\n  open_ones.append(s)\n"
            "open(os.environ['SEEN'] + '/connected', 'w').close()\ntime.sleep(987654)\n")
        process = self.ask_in(f"{sys.executable} $SEEN/silent.py & echo $! >> $SEEN/pids.b; "
                              "until [ -e $SEEN/connected ]; do sleep 0.05; done; here left > $SEEN/left")
        self.assertIn("wall: ", self.said("left"))
        path = Path(self.socket())
        self.assertTrue(path.is_socket())
        self.interrupt(process)
        self.assertFalse(path.exists())

    def test_a_path_longer_than_an_address(self):
        deep = self.dir
        for _ in range(4):
            deep = deep / ("d" * 60)
        deep.mkdir(parents=True)
        repo = deep / "repo"
        self.git("clone", "-q", str(self.repo), str(repo), cwd=self.dir)
        process = self.ask_in("here note 'from far below' > $SEEN/said 2>&1", repo=repo)
        self.assertGreater(len(self.socket()), 250)
        self.assertEqual(self.said("said"), "noted\n")
        self.interrupt(process)


if __name__ == "__main__":
    main_job.main()
