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

# Plant → the instrument that must find it, with the points that it takes. What is planted is what is left out:
PLANTS = {
    # the removal of locks that a dead owner of the run left
    "lock-reaping": ["kill.py", "--only", "run", "--points", "60"],
    # the sync of the journal before anything depends on it
    "journal-sync": ["powercut.py", "--cuts", "4"],
    # the sync of a checkpoint's pack
    "pack-sync": ["powercut.py", "--cuts", "4"],
    # the copy of what an agent's git wrote and need not have synced
    "agent-sync": ["powercut.py", "--cuts", "8"],
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
        for name, wanted in ((plant, 1), ("", 0)):
            status, said = run(planted, name, *PLANTS[plant])
            if status == SKIPPED:
                print(f"{plant}: skipped: {said.strip()}")
                break
            print(f"{plant}, {'left out' if name else 'in its place'}: {PLANTS[plant][0]} ends with {status}", flush=True)
            if status != wanted:
                bad += 1
                print(said)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
