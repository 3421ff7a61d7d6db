#!/usr/bin/env bash
# kill_points.sh BUILD [KILLS] [SEED]: kills the program at 200 random instants of an experiment that has every kind
# of stage, goes on each time, and compares the database with that of an undisturbed run (resume_test.cc). What it
# printed stands in results/resume.md.
set -euo pipefail
HARNESS_KILLS=${2:-200} HARNESS_KILL_SEED=${3:-1} OMP_NUM_THREADS=1 \
  "$1/tests/app/resume_test" --gtest_filter='*KilledAtAnyInstant*'
