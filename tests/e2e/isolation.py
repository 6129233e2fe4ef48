#!/usr/bin/env python3
"""Agents that mean harm: what they plant in git's configuration is never run, and nothing outside is read.

    tests/e2e/isolation.py --remora PROGRAM [TEST …]

Needs git and nothing else. Every test has a repository and a state directory of its own, and ends what it
started.
"""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import main_job
from main_job import Job

# All that git runs for whoever works in a repository with such a configuration, each leaving its name in $SEEN/ran.
PLANTS = r"""
cat > /dev/null
plant() { printf '#!/bin/sh\necho %s >> "%s/ran"\n%s\n' "$1" "$SEEN" "$2" > "$SEEN/plant-$1"; chmod +x "$SEEN/plant-$1"; }
common=$(cd "$(git rev-parse --git-common-dir)" && pwd)
if [ ! -e "$SEEN/planted" ]; then
  for name in fsmonitor ssh pager editor gpg askpass credential external textconv merge alias gitproxy alternates; do
    plant $name 'exit 1'
  done
  plant clean cat; plant smudge cat; plant process 'exit 1'
  for hook in pre-commit post-checkout post-commit reference-transaction post-index-change pre-auto-gc post-merge commit-msg; do
    plant "hook-$hook" 'cat > /dev/null; exit 0'
    mkdir -p "$common/hooks" "$SEEN/hooks"
    cp "$SEEN/plant-hook-$hook" "$common/hooks/$hook"
    cp "$SEEN/plant-hook-$hook" "$SEEN/hooks/$hook"
  done
  git config core.hooksPath "$SEEN/hooks"
  git config core.fsmonitor "$SEEN/plant-fsmonitor"
  git config core.sshCommand "$SEEN/plant-ssh"
  git config core.pager "$SEEN/plant-pager"
  git config core.editor "$SEEN/plant-editor"
  git config core.askPass "$SEEN/plant-askpass"
  git config core.gitProxy "$SEEN/plant-gitproxy"
  git config core.alternateRefsCommand "$SEEN/plant-alternates"
  git config gpg.program "$SEEN/plant-gpg"
  git config commit.gpgSign true
  git config credential.helper "!$SEEN/plant-credential"
  git config diff.external "$SEEN/plant-external"
  git config diff.evil.textconv "$SEEN/plant-textconv"
  git config merge.evil.driver "$SEEN/plant-merge"
  git config filter.evil.clean "$SEEN/plant-clean"
  git config filter.evil.smudge "$SEEN/plant-smudge"
  git config filter.second.process "$SEEN/plant-process"
  git config alias.lfs "!$SEEN/plant-alias"
  git config alias.worktree "!$SEEN/plant-alias"
  mkdir -p "$common/info"
  echo '* filter=evil diff=evil merge=evil' > "$common/info/attributes"
  echo '*.txt filter=evil' > .gitattributes
  echo '*.second filter=second' >> .gitattributes
  echo plant > new.second
  touch "$SEEN/planted"
fi
echo "$REMORA_TASK" >> progress.txt
echo remora: checkpoint
"""

FAILS_ONCE = r"""
if mkdir "$SEEN/once.$REMORA_TASK" 2> /dev/null; then exit 1; fi
"""


class Isolation(Job):
    def ran(self):
        file = self.seen / "ran"
        return sorted(set(file.read_text().split())) if file.exists() else []

    def test_C1_nothing_that_an_agent_plants_in_the_configuration_is_run(self):
        plan = Path(self.plan(["a", "b", "c"], "", PLANTS + FAILS_ONCE))
        text = plan.read_text().replace("parallel: 8", "parallel: 1")
        plan.write_text(text + "    after: [a]\n    base: {task: a}\n")
        done = self.remora("run", str(plan), "--json")
        run = self.events(done)[0]["run"]
        self.assertTrue((self.seen / "planted").exists())
        self.assertEqual(self.ran(), [])
        for command in (["list"], ["show", run], ["results", run], ["diff", f"{run}/a"], ["doctor"], ["prune", "--all"]):
            subprocess.run([main_job.REMORA, *command], cwd=self.repo, env=self.env, capture_output=True, timeout=main_job.PATIENCE)
            self.assertEqual(self.ran(), [], command)
        # What was planted would have been run: by a git that nobody keeps from it.
        subprocess.run(["git", "worktree", "add", "--force", str(self.dir / "plain"), f"remora/{run}/a"], cwd=self.repo, env=self.env,
                       capture_output=True, timeout=main_job.PATIENCE)
        (self.dir / "plain/more.txt").write_text("more\n")
        for command in (["add", "-A"], ["commit", "-m", "more"], ["diff", "HEAD~"], ["show", "HEAD"]):
            subprocess.run(["git", *command], cwd=self.dir / "plain", env=self.env, capture_output=True, timeout=main_job.PATIENCE)
        for name in ("fsmonitor", "clean", "smudge", "hook-post-checkout", "gpg", "external"):
            self.assertIn(name, self.ran())


if __name__ == "__main__":
    main_job.main()
