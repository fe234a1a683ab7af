import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.assess.allometry import ASNER, LONGO, PUBLISHED, Allometry, density, response


def power(**kw):
    known = {"factor": 2.0, "exponent": 1.5, "is_carbon": False, "residual_factor": 0.0}
    known |= {"residual_exponent": 1.5, "plot_m": 30.0}
    return Allometry("power", "", citation="", checked="", **(known | kw))


def test_published_formulas_give_numbers_worked_by_hand():
    # 6.85 * 30^0.952 = 174.54 Mg C/ha; / 0.47
    assert density(ASNER, np.array([30.0]))[0] == pytest.approx(371.36, abs=0.05)
    # 0.054 kg/m2 * 30^1.76 = 21.49 kg/m2 = 214.9 Mg C/ha; / 0.47
    assert density(LONGO, np.array([30.0]))[0] == pytest.approx(457.1, abs=0.5)
    assert density(LONGO, np.array([30.0]), 1.0)[0] == pytest.approx(214.9, abs=0.2)


@pytest.mark.parametrize("allometry", PUBLISHED.values(), ids=lambda a: a.id)
def test_no_height_has_no_biomass_and_more_height_has_more(allometry):
    curve = response(allometry)
    assert curve.estimate[0] == 0
    assert (np.diff(curve.estimate) > 0).all()
    assert (np.diff(curve.deviation) > 0).all()


def test_the_deviation_of_residuals_alone_is_theirs():
    curve = response(power(residual_factor=0.3), height_error=0.0)
    at = np.flatnonzero(curve.given == 20)[0]
    assert curve.deviation[at] == pytest.approx(0.3 * 20**1.5, rel=0.03)


def test_an_error_of_height_grows_with_the_slope():
    # d/dh 2 h^1.5 = 3 h^0.5: at 25 m, 15 Mg/ha a metre
    curve = response(power(), height_error=0.5)
    at = np.flatnonzero(curve.given == 25)[0]
    assert curve.deviation[at] == pytest.approx(7.5, rel=0.03)


def test_errors_of_the_coefficients_count():
    curve = response(power(factor_error=0.1))
    at = np.flatnonzero(curve.given == 25)[0]
    assert curve.deviation[at] == pytest.approx(0.1 * 250, rel=0.03)
    curve = response(power(exponent_error=0.02))
    assert curve.deviation[at] == pytest.approx(250 * np.log(25) * 0.02, rel=0.05)


@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 100))
def test_the_same_seed_gives_the_same_curve(seed):
    one, other = (response(ASNER, 1.0, seed=seed) for _ in range(2))
    assert (one.deviation == other.deviation).all()
