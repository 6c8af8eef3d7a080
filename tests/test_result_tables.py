"""What walks and runs found, as tables: the numbers of their objects, a row each."""

import math
from pathlib import Path

import torch

import filtergan as fg
from filtergan.measures.registry import result
from filtergan.runs.directory import RunDirectory
from filtergan.study.site_traversals import Traversals
from filtergan.walks.inverter import Inversion


def test_an_inversion_has_a_row_for_each_point() -> None:
    before = torch.tensor([0.5, 0.0, 0.2])
    after = torch.tensor([0.1, 0.0, 0.4])
    found = Inversion(torch.rand(3, 1, 4, 4), before, after)
    frame = found.to_dataframe()
    assert frame.index.tolist() == [0, 1, 2]
    assert frame["profile_residual_before"].tolist() == before.tolist()
    assert frame["profile_residual_after"].tolist() == after.tolist()
    undone, none, harmed = frame["compensation"].tolist()  # where nothing changed, none is defined
    torch.testing.assert_close(torch.tensor([undone, harmed]), torch.tensor([0.8, -1.0]))
    assert none != none
    assert "<td>0.8</td>" in found._repr_html_()


def test_a_long_inversion_is_shown_in_a_few_rows() -> None:
    found = Inversion(torch.rand(500, 1, 2, 2), torch.rand(500), torch.rand(500))
    assert len(found.to_dataframe()) == 500
    page = found._repr_html_()
    assert page.count("<tr>") < 25
    assert all(f"<th>{row}</th>" in page for row in (0, 499))


def test_traversals_have_a_row_for_each_measured_point() -> None:
    n, points, latent = 2, 3, 4
    numbers = ("before", "after", "compensation", "image_change")
    tensors = {f"points_{name}": torch.rand(n, points) for name in numbers}
    tensors |= {"points_index": torch.tensor([7, 5]), "null_compensation": torch.rand(n, points)}
    tensors |= {"points_targets": torch.rand(n, points, latent)}
    tensors |= {"points_labels_kept": torch.rand(n, points) > 0.5}
    found = Traversals("conv2@activation", tensors)
    frame = found.to_dataframe()
    assert len(frame) == n * points
    for i in range(n):
        for j in range(points):
            row = frame.iloc[i * points + j]
            assert row["image"] == (7, 5)[i]
            assert [row[f"z{k}"] for k in range(latent)] == found["points_targets"][i, j].tolist()
            for name, tensor in (
                ("profile_residual_before", "points_before"),
                ("profile_residual_after", "points_after"),
                ("compensation", "points_compensation"),
                ("compensation_null", "null_compensation"),
                ("image_change", "points_image_change"),
                ("labels_kept", "points_labels_kept"),
            ):
                assert row[name] == found[tensor][i, j].item(), name
    page = found._repr_html_()
    assert all(f"<th>{name}</th>" in page for name in frame.columns)


def test_a_run_has_a_row_for_each_site(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path / "run", fg.tiny())
    first, other = fg.open_run(tmp_path / "run").sites
    empty = fg.open_run(tmp_path / "run").to_dataframe()
    assert empty.index.tolist() == [first, other]
    assert list(empty.columns) == ["verdict"]
    directory.site(first).measures = {
        "labels_kept": result("labels_kept", 0.75, (0.5, 1.0), 4),
        "compensation": result("compensation", math.nan, None, 4),
    }
    directory.site(other).measures = {"labels_kept": result("labels_kept", 0.5, None, 4)}
    directory.set_verdict(first, "converged", "It is said to have.")
    run = fg.open_run(tmp_path / "run")
    frame = run.to_dataframe()
    assert list(frame.columns) == ["verdict", "compensation", "labels_kept"]  # the report's order
    assert frame["verdict"].isna().tolist() == [False, True]
    assert frame.loc[first, "verdict"] == "converged"
    assert frame.loc[[first, other], "labels_kept"].tolist() == [0.75, 0.5]
    assert frame["compensation"].isna().tolist() == [True, True]
    page = run._repr_html_()
    assert all(f"<th>{name}</th>" in page for name in (*run.sites, *frame.columns))
