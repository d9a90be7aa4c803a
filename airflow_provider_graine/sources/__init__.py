"""Airflow's databases and object stores as sources of rows and local files. Knows Airflow, knows no service."""
