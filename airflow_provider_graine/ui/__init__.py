"""The page "Calls" in Airflow: what the services say of the calls, for people who run them."""
