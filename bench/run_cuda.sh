#!/usr/bin/env bash
# All that needs a GPU, in one go and under ten minutes: build, the ops' tests (the noise's bits among them), every
# microbenchmark, the update's timing, the environments' rates, a short training run. Results go to
# bench/results/<device>.json.
#   bench/run_cuda.sh [SECONDS of training, default 120]
# A bare machine wants Python with torch >= 2.11 for CUDA, nvcc, cmake, ninja, pybind11 and pytest; wheels of whatever
# else is missing may lie in .whl/ beside the sources. With DEVICE=cpu it rehearses on a machine without a GPU.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
DEVICE=${DEVICE:-cuda}
SECONDS_OF_TRAINING=${1:-120}
failed=()

stage() { # name, command...: go on after a failure, but remember it
  printf '\n== %s (%d s)\n' "$1" "$SECONDS"
  "${@:2}" || failed+=("$1")
}

site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if compgen -G '.whl/*.whl' >/dev/null; then
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" .whl/*.whl
fi
export PYTHONPATH="$PWD:$site${PYTHONPATH:+:$PYTHONPATH}"

build() { cmake -S . -B build -G Ninja -DPython_EXECUTABLE="$(command -v python3)" && cmake --build build && cmake --install build --prefix . >/dev/null; }
train() {
  rm -rf build/run_cuda
  timeout --signal=TERM "$SECONDS_OF_TRAINING" python3 -m pyslsac train sl-sac SafetyPointGoal1-v0 --device "$DEVICE" \
    --num-envs 16 --steps 200000 --agent.multiplier-warmup 50000 --final-episodes 10 --quiet --out build/run_cuda
  local code=$? # 143: stopped by the time limit after a checkpoint
  [ $code = 0 ] || [ $code = 143 ] && tail -n 1 build/run_cuda/seed-000/progress.csv
}

build || exit 1
stage doctor python3 -m pyslsac doctor
stage tests python3 -m pytest -q -p no:cacheprovider tests/ops tests/optim
for bench in philox_normal asgld quantile_huber quantile_features langevin_step update; do
  stage "bench $bench" python3 "bench/bench_$bench.py" --device "$DEVICE"
done
stage "bench envs" python3 bench/bench_envs.py --sections physics
stage training train

if [ ${#failed[@]} -gt 0 ]; then printf '\nFAILED: %s\n' "${failed[*]}"; exit 1; fi
printf '\nall passed (%d s)\n' "$SECONDS"
