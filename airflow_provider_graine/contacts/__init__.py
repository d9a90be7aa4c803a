"""Lists of people: how they get in, are screened and become chunks. Knows no HTTP and no Airflow."""
