#!/usr/bin/env bash
# All that needs a GPU, in one go and under ten minutes:
#   bench/run_cuda.sh [STAGE ...] [SECONDS of training, default 60; 0: none]
# Stages, all of them in this order unless some are named: build doctor tests bench update envs train. Timings go to
# bench/results/<device>.json; where OUT names a folder they go there too, with the log and the tests' report.
# A bare machine wants Python with torch >= 2.11 for CUDA, nvcc, cmake, ninja, pybind11 and pytest; wheels of whatever
# else is missing may lie in .whl/ beside the sources. Where .git is missing, PYSLSAC_COMMIT says what is measured.
# DEVICE=cpu rehearses without a GPU; QUICK=1 takes small sizes and leaves bench/results alone.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
DEVICE=${DEVICE:-cuda} LIMIT=${LIMIT:-580} work=build/run_cuda results=bench/results
training=60 stages=() failed=() quick=()
for word; do
  case $word in
    build | doctor | tests | bench | update | envs | train) stages+=("$word") ;;
    *[!0-9]* | "") echo "there is no stage $word" >&2 && exit 2 ;;
    *) training=$word ;;
  esac
done
[ ${#stages[@]} -gt 0 ] || stages=(build doctor tests bench update envs train)
[ -z "${QUICK:-}" ] || quick=(--quick) results=$work
mkdir -p "$work" "${OUT:=$work}"
touch "$work/started"
exec > >(tee -a "$OUT/run_cuda.log") 2>&1

site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if compgen -G '.whl/*.whl' >/dev/null; then
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" .whl/*.whl
fi
export PYTHONPATH="$PWD:$site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1

run() { timeout "$((LIMIT > SECONDS ? LIMIT - SECONDS : 1))" "$@"; } # what is left of the limit
build() {
  run cmake -S . -B build -G Ninja -DPython_EXECUTABLE="$(command -v python3)" && run cmake --build build &&
    cmake --install build --prefix . >/dev/null
}
doctor() { run python3 -m pyslsac doctor; }
tests() { # the 16 million normals of test_philox_normal among them
  local which=(tests/ops tests/optim tests/train/test_graph.py tests/cuda_emulation/test_tile_product.py)
  [ -z "${QUICK:-}" ] || which=(tests/ops/test_philox_normal.py)
  run python3 -m pytest -q -rs -p no:cacheprovider --junitxml="$OUT/tests.xml" "${which[@]}"
}
bench() { # each op in a process of its own: an error on the device takes nothing else with it
  local script code=0
  for script in bench/bench_*.py; do
    case $script in *_update.py | *_envs.py) continue ;; esac
    run python3 "$script" --device "$DEVICE" --out "$results" "${quick[@]}" || code=1
  done
  return $code
}
update() { run python3 bench/bench_update.py --device "$DEVICE" --out "$results" "${quick[@]}"; }
envs() {
  run python3 bench/bench_envs.py --sections physics --rounds 3 --threads "$(nproc)" --out "$work/envs.json" "${quick[@]}"
}
train() {
  local left=$((LIMIT - SECONDS))
  [ "$training" -gt 0 ] || return 0
  rm -rf "$work/train"
  timeout --preserve-status "$((left > training ? training : left > 1 ? left : 1))" \
    python3 -m pyslsac train sl-sac SafetyPointGoal1-v0 --device "$DEVICE" --num-envs 16 --steps 200000 \
    --agent.multiplier-warmup 50000 --final-episodes 10 --quiet --out "$work/train"
  local code=$? # 143: stopped by the time limit, after a checkpoint
  [ $code = 0 ] || [ $code = 143 ] && cp "$work/train/seed-000/progress.csv" "$OUT" && tail -n 1 "$OUT/progress.csv"
}

for stage in "${stages[@]}"; do # go on after a failure, but remember it
  printf '\n== %s (%d s)\n' "$stage" "$SECONDS"
  "$stage" || failed+=("$stage")
  [ "$OUT" -ef "$work" ] || find "$results" "$work" -maxdepth 1 -name '*.json' -newer "$work/started" -exec cp {} "$OUT" \;
  [ "$stage ${failed[*]}" != "build build" ] || break
done

if [ ${#failed[@]} -gt 0 ]; then printf '\nFAILED: %s\n' "${failed[*]}"; exit 1; fi
printf '\nall passed (%d s)\n' "$SECONDS"
