"""The model of a result, on its bins where parameters differ between them."""

from __future__ import annotations

import json
from typing import Any

import xarray as xr

from heterodyne_nb.models import ModelFactory
from heterodyne_nb.models.one_time_scopes import ScopedModel


def fitted_model(record: xr.Dataset) -> Any:
    """The model whose parameters the record of a fit holds.

    Parameters
    ----------
    record : xarray.Dataset
        Of a :class:`heterodyne_nb.result.FitResult`.
    """
    model = ModelFactory.create_model(str(record.attrs["mode"]))
    scopes = json.loads(record.attrs.get("extra", "{}")).get("scopes")
    if scopes is None:
        return model
    return ScopedModel(model, scopes, record["q"].values, record["phi"].values)
