"""Integrated gradients of real torch modules; and Captum's own Kernel SHAP beside ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from bmase.explaining.portable import local, players
from captum.attr import KernelShap

from services.kit.errors import InvalidArgument
from services.trainer.explanations import gradients

PLANTED = 2


class Planted(torch.nn.Module):
    """Looks at one feature, a little at all, and not in a straight line."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = 3 * x[:, PLANTED] + 0.1 * x.sum(dim=1)
        return torch.stack([torch.tanh(score), score**3], dim=1)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand((4, 6), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("target", [0, 1])
def test_sums_are_within_a_thousandth_of_the_output_and_the_planted_feature_is_first(
    x: torch.Tensor, target: int
) -> None:
    found = gradients.integrated_gradients(Planted(), (x,), (torch.zeros(1, 6),), target=target)
    scale = np.abs(found.explained - found.base).max()
    gap = found.attributions[0].sum(axis=1) - (found.explained - found.base)
    assert np.abs(gap).max() <= 1e-3 * scale
    assert (np.abs(found.attributions[0]).argmax(axis=1) == PLANTED).all()


def test_a_jump_is_not_passed_off_as_an_explanation(x: torch.Tensor) -> None:
    class Jump(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x.sum(dim=1, keepdim=True) > 0.01).float() + 0 * x[:, :1]

    with pytest.raises(InvalidArgument) as caught:
        gradients.integrated_gradients(Jump(), (x,), (torch.zeros(1, 6),))
    assert "misses the output" in str(caught.value)


def test_tokens_have_no_gradients() -> None:
    with pytest.raises(InvalidArgument) as caught:
        gradients.integrated_gradients(Planted(), (torch.ones((1, 6), dtype=torch.int64),), (torch.zeros(1, 6),))
    assert "by perturbation instead" in str(caught.value)


def test_an_exported_program_is_explained_like_its_module(x: torch.Tensor, tmp_path: Path) -> None:
    rows = {"x": {0: torch.export.Dim("rows", min=1, max=4096)}}
    torch.export.save(torch.export.export(Planted(), (x,), dynamic_shapes=rows), tmp_path / "model.pt2")
    base = (torch.zeros(1, 6),)
    ours, theirs = (
        gradients.integrated_gradients(module, (x,), base)
        for module in (Planted(), gradients.exported(tmp_path / "model.pt2"))
    )
    np.testing.assert_allclose(ours.attributions[0], theirs.attributions[0], atol=1e-6)


def test_our_kernel_shap_agrees_with_captums_and_is_no_less_additive(x: torch.Tensor) -> None:
    torch.manual_seed(0)
    module, row, base = Planted(), x[:1], torch.zeros(1, 6)
    captums = KernelShap(module).attribute(row, base, target=0, n_samples=2000, perturbations_per_eval=500).numpy()[0]
    ours = local.explain(
        lambda inputs: module(torch.tensor(inputs["x"])).numpy(),
        {"x": row.numpy()[0]},
        {"x": base.numpy()},
        players.of({"x": (6,)}),
    )
    np.testing.assert_allclose(ours.values[:, 0], captums, atol=0.02)
    difference = float(ours.whole[0] - ours.empty[0])
    assert local.additivity_error(ours, 0) <= abs(float(captums.sum()) - difference) + 1e-9
