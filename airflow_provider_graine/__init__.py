"""AI phone-calling campaigns with Graine as steps of an Apache Airflow pipeline."""

__version__ = "0.1.0"
