"""What a user does to a session: frames, bins, parameters, settings, and going back to a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heterodyne_nb.app.session.entries import asked_of, default_table, edited, with_values
from heterodyne_nb.app.session.running import Running
from heterodyne_nb.app.session.selection import places, without
from heterodyne_nb.app.session.state import action
from heterodyne_nb.errors import ConfigurationError

_KEEP: Any = object()


class Actions(Running):
    """The part of :class:`~heterodyne_nb.app.session.AnalysisSession` that changes the user's choices."""

    @action
    def mask_frames(self, first: int, last: int | None = None) -> None:
        """Leave the frames from `first` to `last` out (1-based, both included)."""
        last = first if last is None else last
        self._change(f"mask frames {first}-{last}", masked=(*self.masked, (first, last)))

    @action
    def unmask_frames(self, first: int | None = None, last: int | None = None) -> None:
        """Use frames again that this session masked; all of them without arguments."""
        if first is None:
            self._change("unmask all frames", masked=())
            return
        last = first if last is None else last
        self._change(f"unmask frames {first}-{last}", masked=without(self.masked, first, last))

    @action
    def crop_frames(self, first: int | None = None, last: int | None = None) -> None:
        """Keep the frames from `first` to `last` alone; all of them without arguments."""
        if first is None and last is None:
            self._change("all frames", crop=None)
            return
        frames = self._need_data()["frame"].values
        crop = (int(frames[0]) if first is None else first, int(frames[-1]) if last is None else last)
        self._change(f"crop to frames {crop[0]}-{crop[1]}", crop=crop)

    @action
    def exclude_points(self, points: Sequence[Sequence[float]] | None) -> None:
        """Leave points of g2 out of fits, by q (1/Å), phi (degrees) and tau (s); None uses all again."""
        new = () if points is None else (*self.excluded, *(tuple(map(float, point)) for point in points))
        new = tuple(dict.fromkeys(new))
        if new != self.excluded:
            self._change(
                "use all points" if points is None else f"leave out {len(points)} points", excluded=new
            )

    def asked(self) -> dict[str, dict[str, Any]]:
        """What is asked of the parameters, as ``fit(parameters=...)`` takes it; defaults are left out."""
        return asked_of(self.parameters)

    @action
    def select_bin(self, bin: int | None = None, *, q: float | None = None, phi: float | None = None) -> None:
        """Show a bin: by its place, or the one nearest to q (1/Å) and phi (degrees)."""
        if bin is None:
            here = self._place_shown() or (0.0, 0.0)
            wanted = (here[0] if q is None else q, here[1] if phi is None else phi)
            bin = _nearest(wanted, *places(self._need_data()))
        self._change("show another bin", merge=True, bin=bin)

    @action
    def fit_bins(self, bins: Sequence[int] | None) -> None:
        """Choose the bins that are fitted, by their places; None for all usable ones."""
        self._change("choose bins", bins=None if bins is None else tuple(bins))

    @action
    def set_parameter(
        self,
        name: str,
        *,
        value: float | None = _KEEP,
        min: float | None = _KEEP,
        max: float | None = _KEEP,
        vary: bool | None = _KEEP,
        tie: str | None = _KEEP,
        prior: tuple[float, float] | None = _KEEP,
        scope: str | None = _KEEP,
    ) -> None:
        """Change what is asked of one parameter; None takes a field back to its default.

        ``scope`` is for one-time modes; the numbers of a law are parameters too, named as ``Gamma.n``.

        Raises
        ------
        ConfigurationError
            As for :func:`heterodyne_nb.fit`; nothing is changed then.
        """
        given = {
            "value": value,
            "min": min,
            "max": max,
            "vary": vary,
            "tie": tie,
            "prior": prior,
            "scope": scope,
        }
        changes = {field: x for field, x in given.items() if x is not _KEEP}
        table = edited(self.parameters, name, changes)
        if table != self.parameters:
            self._change(f"{' and '.join(changes)} of {name}", merge=True, parameters=table)

    @action
    def set_parameters(self, values: Mapping[str, float]) -> None:
        """Take several start values at once, as one step of undo; they are moved into their bounds."""
        self._change("start values", parameters=with_values(self.parameters, values))

    @action
    def reset_parameters(self) -> None:
        """Ask nothing of any parameter: defaults of the mode, all free."""
        self._change("reset parameters", parameters=default_table(self.settings.mode))

    @action
    def change_settings(self, **changes: Any) -> None:
        """Change settings of the next fit, e.g. ``mode=``, ``method=``, ``loss=``, ``time_limit=``.

        Raises
        ------
        ConfigurationError
            There is no such setting, or its value is wrong; nothing is changed then.
        """
        settings = self.settings.changed(**changes)
        if settings != self.settings:
            self._change(f"change {', '.join(changes)}", merge=True, settings=settings)

    @action
    def show(self, index: int | None) -> None:
        """Show the result of a history entry."""
        self._change("show a result", merge=True, shown=self._checked_index(index))

    @action
    def revert(self, index: int | None = None) -> None:
        """Take the parameters and settings of a history entry, its fitted values as start values."""
        place = self._checked_index(self.shown if index is None else index)
        if place is None:
            raise ConfigurationError("there is no fit to go back to", hint="run a fit first")
        entry = self.history[place]
        table = with_values(entry.parameters, entry.result.values)
        self._change(f"revert to {entry.name}", settings=entry.settings, parameters=table, shown=place)

    @action
    def delete(self, index: int) -> None:
        """Take an entry out of the lists of the history; the latest other one is shown instead of it."""
        place = self._checked_index(index)
        assert place is not None
        left = [k for k in self.kept if k != place]
        shown = (left[-1] if left else None) if self.shown == place else self.shown
        name = self.history[place].name
        self._change(f"delete {name}", deleted=(*self.deleted, name), shown=shown)

    @action
    def annotate(self, index: int, note: str) -> None:
        """Write a note to a history entry; an empty one takes it away."""
        place = self._checked_index(index)
        assert place is not None
        name = self.history[place].name
        others = {k: v for k, v in self.notes.items() if k != name}
        self._change(f"note on {name}", notes={**others, name: note} if note else others)

    def _checked_index(self, index: int | None) -> int | None:
        if index is None:
            return None
        if not -len(self.history) <= index < len(self.history):
            raise ConfigurationError(
                f"there is no entry {index}", where="history", expected=f"0 to {len(self.history) - 1}"
            )
        return index % len(self.history)

    def _place_shown(self) -> tuple[float, float] | None:
        if self.original is None:
            return None
        q, phi = places(self.original)
        return float(q[self.bin]), float(phi[self.bin])


def _nearest(wanted: tuple[float, float], q: Any, phi: Any) -> int:
    turn = abs((phi - wanted[1] + 180) % 360 - 180)
    near = abs(q - wanted[0])
    return int(min(range(len(q)), key=lambda k: (round(near[k], 12), turn[k])))
