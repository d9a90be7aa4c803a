"""Reports on calls: counted, and written as one HTML file. No HTTP, no Airflow, and nothing about a person."""
