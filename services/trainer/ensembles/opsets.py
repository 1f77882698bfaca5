"""Members brought to one version of the operators, or refused."""

from __future__ import annotations

from dataclasses import replace

import onnx
from onnx import helper, inliner, version_converter

from services.trainer.ensembles.members import SIDE_BY_SIDE, Member, one_line, refused
from services.trainer.ensembles.pooling import MIN_OPSET


def plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without local functions, whose names and opsets would have to be kept apart too."""
    if model.functions:
        return inliner.inline_local_functions(model)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if "" not in opsets(copy):  # trees alone need none, but what is put around them does
        copy.opset_import.append(helper.make_opsetid("", MIN_OPSET))
    return copy


def opsets(model: onnx.ModelProto) -> dict[str, int]:
    """Versions by domain; the default one is the empty string."""
    return {"" if each.domain == "ai.onnx" else each.domain: each.version for each in model.opset_import}


def at_one_opset(members: list[Member]) -> list[Member]:
    """All at the highest opset among them; raises DomainError for a member that cannot be brought there."""
    target = max(MIN_OPSET, *(opsets(member.model).get("", 0) for member in members))
    converted = [replace(member, model=_converted(member, target)) for member in members]
    known: dict[str, tuple[int, str]] = {}
    for member in converted:
        for domain, version in opsets(member.model).items():
            first, whose = known.setdefault(domain, (version, member.name))
            if version != first:
                why = f"it uses version {version} of the operators {domain!r}, member {whose!r} version {first}"
                raise refused(member.name, why, f"export both with the same version, or {SIDE_BY_SIDE}")
    return converted


def _converted(member: Member, target: int) -> onnx.ModelProto:
    own = opsets(member.model)
    if own.get("", target) == target:
        return member.model
    try:
        model = version_converter.convert_version(member.model, target)
    except Exception as error:  # the converter raises RuntimeErrors of several kinds
        why = f"it cannot be brought from opset {own['']} to {target}: {one_line(error)}"
        raise refused(member.name, why, f"export it at opset {target}, or {SIDE_BY_SIDE}") from error
    for domain, version in own.items():
        if domain and domain not in opsets(model):
            model.opset_import.append(helper.make_opsetid(domain, version))
    return model
