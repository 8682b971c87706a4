"""The scalars of a fit's updates."""

from dataclasses import replace

import numpy as np
import pytest

from inrgen.core.config import InitConfig
from inrgen.fit.config import FitConfig, learning_rates, stop_loss, update_scalars

CONFIG = FitConfig(num_steps=100, lr=2e-3)


def test_a_constant_rate_stays():
    assert (learning_rates(CONFIG) == 2e-3).all()


def test_a_cosine_falls_from_lr_towards_zero():
    rates = learning_rates(replace(CONFIG, schedule="cosine"))
    assert rates[0] == 2e-3
    assert (np.diff(rates) < 0).all()
    assert rates[50] == pytest.approx(1e-3)
    assert 0 < rates[-1] < 1e-6


def test_warm_up_climbs_in_equal_steps_to_the_schedule():
    rates = learning_rates(replace(CONFIG, warmup_steps=4))
    np.testing.assert_allclose(rates[:5], [5e-4, 1e-3, 1.5e-3, 2e-3, 2e-3])


def test_no_updates_have_no_scalars():
    assert update_scalars(replace(CONFIG, num_steps=0, schedule="cosine")).shape == (0, 3)


def test_folded_bias_corrections_are_those_of_the_paper():
    size, epsilon, decay = update_scalars(replace(CONFIG, weight_decay=0.5))[6]
    m, v = 0.3, 0.2
    m_hat, v_hat = m / (1 - 0.9**7), v / (1 - 0.999**7)
    assert size * m / (v**0.5 + epsilon) == pytest.approx(2e-3 * m_hat / (v_hat**0.5 + 1e-8))
    assert decay == 1 - 2e-3 * 0.5


def test_a_target_in_decibels_is_a_loss():
    assert stop_loss(replace(CONFIG, stop_psnr_db=40.0), 1.0) == pytest.approx(1e-4)
    assert stop_loss(replace(CONFIG, stop_psnr_db=40.0), 2.0) == pytest.approx(4e-4)
    assert stop_loss(replace(CONFIG, stop_psnr_db=None), 1.0) < 0


def test_a_record_names_the_start_only_where_stores_of_sines_have_no_word_for_it():
    facts = CONFIG.to_dict()
    assert set(facts["init"]) == {"first_layer", "hidden_bias", "last_layer", "shared"}
    # so a store from before the other fields was begun by the rule for sines, and stays it
    assert FitConfig.from_dict(facts).init.hidden_layer == "siren"
    other = replace(CONFIG, init=InitConfig(hidden_layer="torch", first_bias=5.0))
    assert FitConfig.from_dict(other.to_dict()) == other
