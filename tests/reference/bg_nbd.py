"""Numbers of the BG/NBD model from outside, for tests/it/bg_nbd.rs.

python3 tests/reference/bg_nbd.py > tests/data/bg_nbd_reference.csv
Made with mpmath 1.4.1, lifetimes 0.11.3, numpy 2.4.6, pandas 3.1.1, scipy 1.17.1. The grid's values are the paper's
formulas at 100 digits (mpmath). On standard error: lifetimes' fit of CDNOW's sample, and how far the two agree.
"""

import gzip
import pathlib
import sys

import mpmath as mp
import numpy as np
import pandas as pd
from lifetimes import BetaGeoFitter
from lifetimes.utils import summary_data_from_transaction_data

mp.mp.dps = 100
CDNOW = pathlib.Path(__file__).parent.parent / "data" / "CDNOW_sample.txt.gz"


def values(r, alpha, a, b, x, t_x, age, horizon):
    """Log-likelihood, P(alive), P(no order), expected orders: Fader, Hardie & Lee (2005), equations 6, 10 and their notes."""
    r, alpha, a, b, t_x, age, horizon = map(mp.mpf, (r, alpha, a, b, t_x, age, horizon))
    beta = lambda u, v: mp.gamma(u) * mp.gamma(v) / mp.gamma(u + v)
    rate = mp.gamma(r + x) / mp.gamma(r) * alpha**r
    density = beta(a, b + x) / beta(a, b) * rate / (alpha + age) ** (r + x)
    odds = mp.mpf(0)
    if x > 0:
        density += beta(a + 1, b + x - 1) / beta(a, b) * rate / (alpha + t_x) ** (r + x)
        odds = a / (b + x - 1) * ((alpha + age) / (alpha + t_x)) ** (r + x)
    alive = 1 / (1 + odds)
    silent = ((alpha + age) / (alpha + age + horizon)) ** (r + x)
    hyp = mp.hyp2f1(r + x, b + x, a + b + x - 1, horizon / (alpha + age + horizon))
    expected = (a + b + x - 1) / (a - 1) * (1 - silent * hyp) * alive
    return mp.log(density), alive, 1 - alive * (1 - silent), expected


def cdnow():
    with gzip.open(CDNOW, "rt") as file:
        rows = [line.split() for line in file]
    orders = pd.DataFrame({"customer": [r[1] for r in rows], "day": pd.to_datetime([r[2] for r in rows])})
    return summary_data_from_transaction_data(
        orders, "customer", "day", observation_period_end="1997-09-30", freq="D", freq_multiplier=7
    )


def grid():
    parameters = [
        ("0.2425945", "4.4136019", "0.7929199", "2.4258881"),
        ("0.7696", "66.8488", "0.0126", "1.8555"),
        ("3.5", "0.5", "12.25", "40.5"),
        ("0.01", "1000", "0.999", "0.03"),
        ("40", "300", "1.0001", "700"),
        ("1.5", "2", "200.5", "900"),
    ]
    customers = [(0, "0", "0"), (0, "0", "38.86"), (1, "0.14", "38.86"), (2, "30.43", "38.86"),
                 (12, "20", "20"), (29, "38.1", "38.86"), (100, "30", "35"), (1500, "730", "731.5")]
    for p in parameters:
        for c in customers:
            for horizon in ("0.25", "39", "5000"):
                yield p, c, horizon


print("r,alpha,a,b,x,t_x,T,horizon,log_likelihood,alive,no_order,expected")
for p, (x, t_x, age), horizon in grid():
    cells = [mp.nstr(v, 17) for v in values(*p, x, t_x, age, horizon)]
    print(",".join([*p, str(x), t_x, age, horizon, *cells]))

summary = cdnow()
fitter = BetaGeoFitter().fit(summary["frequency"], summary["recency"], summary["T"])
r, alpha, a, b = (float(fitter.params_[k]) for k in ("r", "alpha", "a", "b"))
lifetimes_sum = float(fitter._negative_log_likelihood(
    np.log([r, alpha, a, b]), summary["frequency"], summary["recency"], summary["T"], np.ones(len(summary)), 0.0
)) * -len(summary)
ours = sum(values(r, alpha, a, b, int(x), t_x, age, 39)[0]
           for x, t_x, age in zip(summary["frequency"], summary["recency"], summary["T"]))
print(f"lifetimes: n {len(summary)} r {r:.7f} alpha {alpha:.7f} a {a:.7f} b {b:.7f}", file=sys.stderr)
print(f"log-likelihood: lifetimes {lifetimes_sum:.6f}, formulas above {float(ours):.6f}", file=sys.stderr)
