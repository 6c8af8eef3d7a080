"""Stage train-judges: independent classifiers, from the cache or trained; their accuracies."""

from filtergan.classifiers.judges import judges_file
from filtergan.machine.files import sha256
from filtergan.measures.registry import result
from filtergan.measures.statistics import interval
from filtergan.runs.directory import RunDirectory
from filtergan.runs.record import JudgesRecord
from filtergan.study.materials import Materials

STAGE = "train-judges"


def run(run: RunDirectory, materials: Materials) -> None:
    """Make sure that the dataset's judges are there, and record how good they are."""
    config, test, judges = run.config, materials.dataset.test, materials.judges
    most = float(test.labels.bincount().max()) / len(test)
    accuracies = []
    for correct, value in zip(judges.correct.float(), judges.accuracies, strict=True):
        ci = interval(correct, resamples=config.measure.resamples, seed=config.seed)
        accuracies.append(result("judge_accuracy", value, ci, len(correct), most))
    run.record.judges = JudgesRecord(
        accuracies=accuracies,
        sha256=sha256(judges_file(materials.dataset, config.judges)),
        seconds=judges.seconds,  # of their training, whenever that was
    )
    run.save()
