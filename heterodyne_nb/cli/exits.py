"""Exit codes, the same for every command."""

OK = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130

EXIT_CODES = (
    "Exit codes: 0 done; 1 the fit did not succeed, the data are wrong, or nothing could be saved; "
    "2 wrong usage or configuration; 130 interrupted."
)
