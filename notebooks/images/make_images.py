"""Make the README's picture anew from the shipped example: ``python notebooks/images/make_images.py``."""

from pathlib import Path

import heterodyne_nb as hn

HERE = Path(__file__).parent


def main() -> None:
    """Fit the example and write ``comparison.png`` beside this file (needs kaleido and a Chromium)."""
    data = hn.example_dataset()
    data = hn.prepare.mask_frames(data, hn.prepare.detect_bad_frames(data))
    result = hn.fit(data, mode="heterodyne")
    figure = hn.plots.comparison(data, result, q=0.012, phi=22.5, max_size=100)
    hn.plots.save_png(figure, HERE / "comparison.png", scale=1.0)


if __name__ == "__main__":
    main()
