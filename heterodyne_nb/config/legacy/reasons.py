"""Why a setting of the foreign templates has no use here, in one line each."""

from __future__ import annotations

_ROBUST = "optimization_config.robust_optimization"
_CLASSICAL = "optimization_config.classical_optimization"
_RADIUS = "measured in other units there; see optimization.robust.wasserstein.radius"

_REASONS = {
    "optimization_config.mcmc_sampling": "there is no Markov-chain sampling here",
    "optimization_config.scaling_parameters": "contrast and offset are solved for exactly, without bounds; "
    "see optimization.contrast",
    f"{_CLASSICAL}.subsampling": "every pixel is used",
    f"{_ROBUST}.subsampling": "every pixel is used",
    f"{_CLASSICAL}.selection_strategy": "the best chi-square is kept",
    f"{_ROBUST}.uncertainty_radius": _RADIUS,
    f"{_ROBUST}.method_options.wasserstein.uncertainty_radius": _RADIUS,
    f"{_ROBUST}.method_options.ellipsoidal.gamma": "measured in other units there; see "
    "optimization.robust.ellipsoidal",
    f"{_ROBUST}.robust_loss": "a loss serves every method here; see optimization.loss",
    f"{_ROBUST}.huber_delta": "see optimization.loss_scale",
    "experimental_data.exchange_key": "the layout of the file is recognised by itself",
    "experimental_data.cache_file_path": "files are read directly, without a cache",
    "experimental_data.cache_filename_template": "files are read directly, without a cache",
    "experimental_data.cache_compression": "files are read directly, without a cache",
    "advanced_settings.numerical_integration": "time integrals are exact",
    "performance_settings": "nothing to set here",
    "output_settings.logging": "logging is set on the command line",
}


def reason(path: str) -> str | None:
    """Return why the setting at a dotted path is not used; None when there is nothing special to say."""
    return _REASONS.get(path)
