"""AI phone-calling campaigns with Graine as steps of an Apache Airflow pipeline."""

import re
from importlib.metadata import PackageNotFoundError, version

__version__ = "0.1.0"

#: Older ones do not start with the releases that others have made since.
_OLDEST_AIRFLOW = (3, 1, 3)


def _refuse_an_older_airflow() -> None:
    # By the installed distributions: the sandbox and the HTTP parts do without Airflow and must not import it.
    for distribution in ("apache-airflow-core", "apache-airflow"):
        try:
            found = version(distribution)
        except PackageNotFoundError:
            continue
        if tuple(map(int, re.findall(r"\d+", found)[:3])) < _OLDEST_AIRFLOW:
            oldest = ".".join(map(str, _OLDEST_AIRFLOW))
            raise RuntimeError(
                f"airflow-provider-graine {__version__} needs Apache Airflow {oldest} or newer; {found} is installed. "
                f'Upgrade it: pip install "apache-airflow>={oldest}"'
            )
        return


_refuse_an_older_airflow()
