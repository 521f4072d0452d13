"""How often a study of one method against itself calls the two different: it should be 1 in 20.

    python benchmarks/null_studies.py --studies 1000

Questions differ in how easy they are, and seeds in how good they are, by as much as those of our
studies do; all else is luck. Each study is tested as `kformer compare` does it, and by flipping the
signs of questions alone, which knows nothing of seeds.
"""

import argparse

import numpy as np

from kformer.evaluation.standard_error import standard_error, variance_of_seeds
from kformer.evaluation.statistics import paired_p_value, sign_flip_p_value

# Questions, accuracy, and the deviation between seeds beyond luck, in points of accuracy.
STUDIES = {
    "demo": (288, 0.25, 1.0),
    "QASC": (926, 0.24, 1.5),
    "Social IQA": (1954, 0.47, 0.7),
    "seeds that differ much": (926, 0.60, 4.0),
}
SEEDS = (2, 3, 5)
_SPREAD = 1.5  # of how easy questions are, in logits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    studies = parser.parse_args().studies
    print("| study | seeds | called different % | by signs of questions alone % |")
    print("|---|---|---|---|")
    for name, (questions, accuracy, points) in STUDIES.items():
        for seeds in SEEDS:
            rng = np.random.default_rng(seeds)
            found = [p_values(rng, questions, accuracy, points, seeds) for _ in range(studies)]
            both, signs = (np.array(found) < 0.05).mean(axis=0)
            print(f"| {name} | {seeds} | {100 * both:.1f} | {100 * signs:.1f} |", flush=True)


def p_values(
    rng: np.random.Generator, questions: int, accuracy: float, points: float, seeds: int
) -> tuple[float, float]:
    """Those of one study, as they are and by signs alone."""
    ease = np.log(accuracy / (1 - accuracy)) + rng.normal(0, _SPREAD, questions)
    # How many logits a point of accuracy is: the mean slope of the logistic function.
    slope = float(np.mean(1 / (2 + np.exp(ease) + np.exp(-ease))))
    logits = ease + rng.normal(0, points / 100 / slope, (2, seeds, 1))
    one, other = (rng.random((2, seeds, questions)) < 1 / (1 + np.exp(-logits))).astype(float)
    difference = one.mean(axis=0) - other.mean(axis=0)
    error = standard_error(difference, [variance_of_seeds(one), variance_of_seeds(other)])
    return paired_p_value(difference, error), sign_flip_p_value(difference)


if __name__ == "__main__":
    main()
