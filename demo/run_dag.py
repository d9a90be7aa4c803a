"""Run one example DAG once, in this process: ``python -m demo.run_dag DAG_ID JSON_CONF``."""

from __future__ import annotations

import json
import os
import sys


def main() -> int:
    """Run the DAG and return the exit code."""
    from airflow.dag_processing.dagbag import DagBag

    dag_id, conf = sys.argv[1], json.loads(sys.argv[2])
    bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    if bag.import_errors:
        print(bag.import_errors, file=sys.stderr)
        return 1
    run = bag.get_dag(dag_id).test(run_conf=conf)
    return 0 if run.state == "success" else 1


if __name__ == "__main__":
    sys.exit(main())
