#!/usr/bin/env python3
"""An instrument that finds nothing may be blind. Each of these safeguards is left out on purpose; the instrument that
guards it must find that, and must find nothing where it is in its place.

    tests/torture/self_test.py --planted PROGRAM [PLANT …]

PROGRAM is `remora-planted` (CMake: REMORA_PLANTS): remora, but for the safeguard that $REMORA_PLANT names.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SKIPPED = 77
PATIENCE = 120

# Whether a cut of the power meets what was left out is chance: what the disk had written by itself, and what another
# agent's git had packed and synced. Most do within a few cuts.
CUTS = ["powercut.py", "--cuts", "8"], ["powercut.py", "--cuts", "200", "--until-failure"]
KILLS = ["kill.py", "--only", "run", "--points", "60"]

# Plant → the instrument that must find nothing where it is in its place, and find something where it is left out:
PLANTS = {
    # the removal of locks that a dead owner of the run left
    "lock-reaping": (KILLS, KILLS),
    # the sync of the journal before anything depends on it
    "journal-sync": CUTS,
    # the sync of a checkpoint's pack
    "pack-sync": CUTS,
    # the copy of what an agent's git wrote and need not have synced
    "agent-sync": CUTS,
}


def run(planted, plant, instrument, *arguments):
    env = {name: value for name, value in os.environ.items() if name != "REMORA_PLANT"}
    if plant:
        env["REMORA_PLANT"] = plant
    done = subprocess.run([sys.executable, str(HERE / instrument), "--remora", planted, *arguments], env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
    return done.returncode, done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--planted", required=True)
    parser.add_argument("plant", nargs="*", help="by default all")
    o = parser.parse_args()
    planted, bad = str(Path(o.planted).resolve()), 0
    for plant in o.plant or PLANTS:
        sound, left_out = PLANTS[plant]
        for name, instrument, wanted in ((plant, left_out, 1), ("", sound, 0)):
            status, said = run(planted, name, *instrument)
            if status == SKIPPED:
                print(f"{plant}: skipped: {said.strip()}")
                break
            print(f"{plant}, {'left out' if name else 'in its place'}: {instrument[0]} ends with {status}", flush=True)
            if status != wanted:
                bad += 1
                print(said)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
