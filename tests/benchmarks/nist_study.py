"""How many digits each optimiser gets right on the NIST nonlinear problems, and whether it says so when it does not.

Confident and wrong: success with fewer than four digits, at another sum of squares than the certified one (two parameters
of Eckerle4 may both change their signs).

Usage: ``python -m tests.benchmarks.nist_study [method ...]``, from the root of the repository.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable

import numpy as np

from heterodyne_nb.errors import OptimizationError
from heterodyne_nb.optimize import STRATEGIES, create_strategy
from tests.nist import Problem, WithEquations, problems

WAYS: dict[str, Callable[[Problem, np.ndarray], Callable[[np.ndarray], float]]] = {
    "plain": lambda problem, start: problem.function,
    "plain x 1e-12": lambda problem, start: lambda b: 1e-12 * problem.function(b),
    "plain + 1e8": lambda problem, start: lambda b: problem.function(b) + 1e8,
    "equations": lambda problem, start: WithEquations(problem),
    "equations, scaled": lambda problem, start: WithEquations(problem, np.abs(start)),
    "equations x 1e-12": lambda problem, start: WithEquations(problem, np.abs(start), 1e-12),
}


def main(methods: list[str]) -> None:
    """Print one row a method and way, and below it every answer that is wrong or short of six digits."""
    warnings.simplefilter("error", RuntimeWarning)
    print(
        f"{'method':14s} {'way':20s} {'>= 6 digits':>11s} {'>= 4':>5s} {'confident and wrong':>19s} {'s':>6s}"
    )
    for method in methods or STRATEGIES:
        for way, objective_of in WAYS.items():
            began, lines, digits, wrong = time.perf_counter(), [], [], 0
            for problem in problems().values():
                certified = problem.function(problem.certified)
                for number, start in enumerate(problem.starts, 1):
                    try:
                        found = create_strategy(method).optimize(objective_of(problem, start), start)
                        told, right = (found.success, found.stop_reason, found.nit), problem.digits(found.x)
                    except OptimizationError as error:
                        told, right = (False, str(error).splitlines()[0], 0), -30.0
                    digits.append(right)
                    wrong += told[0] and right < 4 and problem.function(found.x) > certified * (1 + 1e-9)
                    if right < 6:
                        lines.append(f"    {problem.name} {number}: {right:.1f} digits, {told}")
            counts = sum(d >= 6 for d in digits), sum(d >= 4 for d in digits)
            spent = time.perf_counter() - began
            print(f"{method:14s} {way:20s} {counts[0]:11d} {counts[1]:5d} {wrong:19d} {spent:6.1f}")
            print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
