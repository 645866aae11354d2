"""How often a further scenario can be worse than all that were drawn: the wait-and-judge bound."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaln


def violation_bound(count: int, support: int, *, confidence: float = 1e-6) -> float:
    """Largest probability, but for a chance ``confidence``, that a new scenario exceeds the worst of those drawn.

    With N scenarios and k support ones the bound is 1 − t, t the root in (0, 1) of

        β/(N+1) Σ_{m=k}^{N} C(m, k) t^{m−k} = C(N, k) t^{N−k}

    (Campi & Garatti, Math. Program. 167 (2018) 155, theorem 2).

    Parameters
    ----------
    count : int
        N, the number of scenarios.
    support : int
        k, those without which the answer would change.
    confidence : float
        β, in (0, 1).

    Returns
    -------
    float
        1 when every scenario is needed.
    """
    if support >= count:
        return 1.0
    m = np.arange(support, count + 1)
    choose = gammaln(m + 1) - gammaln(support + 1) - gammaln(m - support + 1)

    def balance(t: float) -> float:
        terms = choose + (m - support) * np.log(t)
        top = terms.max()
        total = top + np.log(np.exp(terms - top).sum())
        return float(np.log(confidence / (count + 1)) + total - terms[-1])

    return float(1.0 - brentq(balance, 1e-12, 1.0 - 1e-12, xtol=1e-14))
