"""The calling services' HTTP interfaces. Knows HTTP, knows no Airflow."""
